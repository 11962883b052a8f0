# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Time the operating points of a model on this board, for a node's latency budget."""

import argparse
from dataclasses import replace
import os
from pathlib import Path
import platform
import sys
import time

import cv2
import numpy as np

from vos_ros.budget.calibration import write_calibration
from vos_ros.budget.clock import percentile
from vos_ros.budget.ladder import falling
from vos_ros.budget.ladder import input_sizes
from vos_ros.budget.ladder import short_sides
from vos_ros.budget.ladder import SizeCost
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.mobileinst import REUSE_FEATURES
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import ModelPackage
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.session import GraphError
from vos_ros.runtime.sizes import Sizes
from vos_ros.runtime.xmem import load_network
from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.memory_params import MemoryTrackerParams

_QUICK_ROUNDS = 3
# Short side and shape of the frames timed, unless a larger size is asked for.
_SIDE = 480
_WIDE = 16 / 9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--model', default='mobileinst-lite0',
                        help='a model package: its folder, or its name')
    parser.add_argument('--threads', type=int, default=2, help='threads of the network, as the '
                        "node's parameter says")
    parser.add_argument('--provider', action='append', default=None,
                        help='what should compute, best first (repeatable); the CPU if not given')
    parser.add_argument('--reuse-features', choices=REUSE_FEATURES, default='cached',
                        help="what runs between keyframes of an instance tracker, as the node's "
                        'parameter says')
    parser.add_argument('--out', required=True, help='YAML file to write (calibration_path)')
    parser.add_argument('--short-side', type=int, default=0,
                        help="largest working size of a memory tracker (default: the model's)")
    parser.add_argument('--min-short-side', type=int, default=64, help='smallest size to time')
    parser.add_argument('--rounds', type=int, default=12, help='frames of each kind to time')
    parser.add_argument('--quick', action='store_true', help=f'{_QUICK_ROUNDS} frames of each')


def run(args: argparse.Namespace) -> int:
    """Time and write; return 0, or 1 with a message on stderr."""
    rounds = _QUICK_ROUNDS if args.quick else args.rounds
    try:
        if args.threads < 1 or rounds < 1:
            raise ValueError('--threads and --rounds must be at least 1')
        # Before minutes of timing, not after.
        folder = Path(args.out).expanduser().absolute().parent
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f'{folder}: cannot be written')
        cv2.setNumThreads(args.threads)
        package = load_package(args.model)
        begin = time.monotonic()
        timed = _instance_costs if package.kind == 'mobileinst' else _memory_costs
        costs, way = timed(package, args, rounds)
        write_calibration(
            args.out, costs, kind=package.kind, model=package.name, digest=package.digest,
            threads=args.threads, machine=f'{platform.machine()}, {os.cpu_count()} cores',
            reuse_features=way)
    except (OSError, ValueError, PackageError, GraphError) as error:
        print(f'vos-ros calibrate: {error}', file=sys.stderr)
        return 1
    for cost in costs:
        moved = '' if cost.motion_ms is None else f', by optical flow {cost.motion_ms:.1f} ms'
        print(f'{cost.size[0]}x{cost.size[1]}: ordinary frame {cost.light_ms:.1f} ms{moved}, '
              f'{"keyframe" if package.kind == "mobileinst" else "memory frame"} '
              f'{cost.heavy_ms:.1f} ms')
    print(f'{args.out} written in {time.monotonic() - begin:.0f} s')
    return 0


def _instance_costs(package: ModelPackage, args: argparse.Namespace,
                    rounds: int) -> tuple[list[SizeCost], str]:
    """Return the costs, and what ran between keyframes."""
    providers = args.provider or ('cpu',)
    first = MobileInst(package, args.threads, providers, reuse_features=args.reuse_features)
    first.warm()
    sizes = Sizes.of(first, package, args.threads, providers)
    costs = sizes.time(sizes.load(input_sizes(first.input_size, args.min_short_side)), rounds)
    for message in sizes.messages:
        print(f'vos-ros calibrate: {message}', file=sys.stderr)
    return costs, first.reuse_features


def _memory_costs(package: ModelPackage, args: argparse.Namespace,
                  rounds: int) -> tuple[list[SizeCost], str]:
    """Time frames with one object and a full working memory.

    The sizes take turns, so that a program that runs meanwhile meets them all.
    """
    network = load_network(package, 'onnxruntime', args.threads, args.provider or ('cpu',))
    sides = short_sides(args.short_side or min(package.input_size), args.min_short_side)
    # Images are never enlarged: a smaller one would be timed in place of the size asked for.
    height = max(_SIDE, *sides)
    width = round(height * _WIDE)
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint16)
    mask[height // 4:3 * height // 4, width // 3:2 * width // 3] = 1
    trackers = []
    for side in sides:
        params = MemoryTrackerParams(short_side=side, mem_every=1)
        tracker = MemoryTracker(network, params)
        tracker.step(image, mask)
        for _ in range(params.working_memory_max_frames - 2):
            tracker.step(image)
        trackers.append(tracker)
    spent: dict[tuple[int, int], list[float]] = {}
    # The ordinary frames first, while the memory is full.
    for every in (1000, 1):
        for tracker in trackers:
            tracker.params = replace(tracker.params, mem_every=every)
        for _ in range(rounds):
            for side, tracker in zip(sides, trackers, strict=True):
                begin = time.perf_counter()
                tracker.step(image)
                spent.setdefault((side, every), []).append((time.perf_counter() - begin) * 1e3)
    # Other programs only ever make a frame slower: the low end is its own.
    return falling([SizeCost((side, side), percentile(spent[side, 1000], 0.25),
                             percentile(spent[side, 1], 0.25)) for side in sides]), ''
