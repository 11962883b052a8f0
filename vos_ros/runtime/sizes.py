# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A mobileinst package at several input sizes, and what a frame costs at each."""

from collections.abc import Callable
from collections.abc import Sequence
import time

import numpy as np

from vos_ros.budget.clock import percentile
from vos_ros.budget.ladder import SizeCost
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import ModelPackage
from vos_ros.runtime.package import PackageError

# Kernels in a timed reuse frame: about what a scene has.
_KERNELS = 8


class Sizes:
    """Networks of one package by input size, each loaded once and kept.

    Loading takes half a second and tens of megabytes, so nothing is loaded before it is asked for.
    messages: why sizes could not be had.
    """

    def __init__(self, first: MobileInst, load: Callable[[tuple[int, int]], MobileInst]) -> None:
        """Take a network that is loaded, and how to load others."""
        self._networks = {first.input_size: first}
        self._load = load
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

    def load(self, sizes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Load and warm networks; return the sizes that can be had."""
        had = []
        for size in sizes:
            if size not in self._networks:
                try:
                    network = self._load(size)
                except PackageError as error:
                    self.messages.append(f"no other input size than the package's own: {error}")
                    break
                network.warm()
                self._networks[size] = network
            had.append(size)
        return had

    def time(self, sizes: Sequence[tuple[int, int]], rounds: int = 3) -> list[SizeCost]:
        """Time a keyframe and a reuse frame at each size, in turns; return the medians, ms."""
        spent: dict[tuple[int, int], tuple[list[float], list[float]]] = {
            size: ([], []) for size in sizes}
        for _ in range(rounds):
            for size in sizes:
                network = self._networks[size]
                image = np.full((*size, 3), 127, np.uint8)
                begin = time.perf_counter()
                output = network.key(image)
                middle = time.perf_counter()
                network.reuse(image, output.kernels[:_KERNELS], output.context)
                heavy, light = spent[size]
                heavy.append((middle - begin) * 1e3)
                light.append((time.perf_counter() - middle) * 1e3)
        return [SizeCost(size, percentile(light, 0.5), percentile(heavy, 0.5))
                for size, (heavy, light) in spent.items()]
