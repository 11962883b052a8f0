# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A mobileinst package at several input sizes, and what a frame costs at each."""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import replace
import time
from typing import Any

import numpy as np

from vos_ros.budget.clock import percentile
from vos_ros.budget.ladder import falling
from vos_ros.budget.ladder import SizeCost
from vos_ros.runtime.letterbox import facing
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.motion import Motion
from vos_ros.runtime.package import ModelPackage
from vos_ros.runtime.package import PackageError

# Kernels in a timed reuse frame: about what a scene has.
_KERNELS = 8
# Timing at a node's start ends after so many seconds, but not before so many rounds.
_SECONDS = 1.0
_LEAST_ROUNDS = 3
# Other programs only ever make a frame slower, so the low end of its times is its own.
_QUANTILE = 0.25


class Sizes:
    """Networks of one package by input size, each loaded once and kept.

    Loading takes half a second and tens of megabytes, so nothing is loaded before it is asked for.
    messages: why sizes could not be had.
    """

    def __init__(self, first: MobileInst, load: Callable[[tuple[int, int]], MobileInst]) -> None:
        """Take a network that is loaded, and how to load others."""
        self._networks = {first.input_size: first}
        self._motion: dict[tuple[int, int], MobileInst] = {}
        self._load = load
        self._costs: dict[tuple[int, int], SizeCost] = {}
        self._fixed = False         # refused another size
        self.messages: list[str] = []

    @classmethod
    def of(cls, first: MobileInst, package: ModelPackage, threads: int,
           providers: Sequence[str]) -> 'Sizes':
        """Return the sizes of a package, loaded as the first one was."""
        return cls(first, lambda size: MobileInst(
            package, threads, providers, input_size=size, reuse_features=first.reuse_features))

    def __getitem__(self, size: tuple[int, int]) -> MobileInst:
        """Return the network at a size that `load` has loaded."""
        return self._networks[size]

    def motion(self, size: tuple[int, int]) -> MobileInst:
        """Return the same with optical flow on reuse frames; nothing more is loaded for it."""
        if size not in self._motion:
            self._motion[size] = self._networks[size].by_motion()
        return self._motion[size]

    def facing(self, network: MobileInst, frame_size: tuple[int, int]) -> MobileInst:
        """Return a network for frames of a size: the one given, or the same with its input turned.

        The first time that takes as long as loading.  A package of one size is never turned.
        """
        size = facing(network.input_size, frame_size)
        if size == network.input_size or not self.load([size]):
            return network
        moved = network is self._motion.get(network.input_size)
        return self.motion(size) if moved else self._networks[size]

    def load(self, sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Load and warm networks; return the sizes that can be had."""
        had = []
        for size in sizes:
            if size not in self._networks:
                if self._fixed:
                    break
                try:
                    network = self._load(size)
                except PackageError as error:
                    self._fixed = True
                    self.messages.append(f"no other input size than the package's own: {error}")
                    break
                network.warm()
                self._networks[size] = network
            had.append(size)
        return had

    def costs(self, sizes: Sequence[tuple[int, int]]) -> list[SizeCost]:
        """Return the costs of sizes, largest first; only what was not timed before is timed.

        Frames may run beside that: a size that is known is timed again with the new ones, and
        what it took longer, they are taken to have taken, too.
        """
        new = [size for size in sizes if size not in self._costs]
        if new:
            yard = list(self._costs)[-1:]
            timed = {cost.size: cost for cost in self.time(sorted([*yard, *new], reverse=True))}
            quiet = self._costs[yard[0]].heavy_ms / timed[yard[0]].heavy_ms if yard else 1.0
            for size in new:
                cost = timed[size]
                self._costs[size] = replace(
                    cost, light_ms=quiet * cost.light_ms, heavy_ms=quiet * cost.heavy_ms,
                    motion_ms=None if cost.motion_ms is None else quiet * cost.motion_ms)
        return falling([self._costs[size] for size in sizes])

    def time(self, sizes: Sequence[tuple[int, int]], rounds: int = 0) -> list[SizeCost]:
        """Time a keyframe and a reuse frame at each size; return the costs, ms.

        sizes: largest first.  rounds: 0 for as many as a second has.  The sizes take turns, so
        that a program that runs meanwhile meets them all, and no size counts as dearer than one
        before it.
        """
        spent: dict[tuple[int, int], tuple[list[float], list[float], list[float]]] = {
            size: ([], [], []) for size in sizes}
        # Copies: the search for the flow works in buffers of its own, and a worker may be in it.
        moving = {size: self._networks[size].by_motion() for size in sizes}
        begin = time.monotonic()
        done = 0
        while done < (rounds or _LEAST_ROUNDS) \
                or (not rounds and time.monotonic() < begin + _SECONDS):
            done += 1
            for size in sizes:
                network, motion = self._networks[size], moving[size]
                image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
                heavy, light, moved = spent[size]
                output, ms = _timed(network.key, image)
                heavy.append(ms)
                kernels = output.kernels[:_KERNELS]
                view = Motion.view(image, output.mask_features)
                moved.append(_timed(motion.reuse, image, kernels, view)[1])
                light.append(moved[-1] if network.reuse_features == 'motion' else
                             _timed(network.reuse, image, kernels, output.context)[1])
        alone = all(network.reuse_features == 'motion' for network in self._networks.values())
        costs: list[SizeCost] = []
        for size, (heavy, light, moved) in spent.items():
            key, reuse, flow = (
                percentile(taken, _QUANTILE) for taken in (heavy, light, moved))
            costs.append(SizeCost(size, min(reuse, key), key, None if alone else flow))
        return falling(costs)


def _timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    """Return what a call gives, and its milliseconds."""
    begin = time.perf_counter()
    value = call(*arguments)
    return value, (time.perf_counter() - begin) * 1e3
