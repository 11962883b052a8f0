# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The operating points of a tracker, best first: what a budget gives up, and in what order.

Little things go first.  Instances: masks between keyframes moved by optical flow instead of the
network, then twice the reuse of kernels (new objects appear later), then the next smaller input
(small objects are lost), and so on down; still longer reuse comes after the smallest input, and
frames left out last.  That is the order of the mask overlap with the best point, see
docs/performance.md: twelve frames a keyframe cost more than half the input's side.  Memory:
rarer memory frames, then the next smaller input, and so on down; then a smaller working memory,
and frames left out last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from vos_ros.budget.point import OperatingPoint

# What a halved working memory is first thought to cost; the governor learns what it does.
_LEAN = 0.85
# A reuse interval so many times the user's costs less than a smaller input does.
_LITTLE = 2


@dataclass(frozen=True)
class SizeCost:
    """What frames cost at an input size (height, width): ms, ordinary ones and keyframes.

    motion_ms: ordinary ones by optical flow; None where that is not to be had.
    """

    size: tuple[int, int]
    light_ms: float
    heavy_ms: float
    motion_ms: float | None = None


@dataclass(frozen=True)
class MemoryBounds:
    """The user's memory cadence and working memory, and the longest cadence allowed."""

    mem_every: int
    max_mem_every: int
    working_memory_max_frames: int
    working_memory_min_frames: int


def input_sizes(size: tuple[int, int], min_short_side: int,
                multiple: int = 64) -> list[tuple[int, int]]:
    """Return input sizes (height, width), the given one first, then smaller ones of its shape.

    Both sides are multiples of ``multiple``; the short one goes down by that to ``min_short_side``
    and the other is the nearest one to the shape.  At least the given size is there.
    """
    short = min(size)
    sizes = [size]
    for side in range(short - multiple, min_short_side - 1, -multiple):
        if side < multiple:
            break
        other = max(side, round(max(size) * side / short / multiple) * multiple)
        sizes.append((side, other) if size[0] <= size[1] else (other, side))
    return sizes


def stretched(value: int, most: int) -> list[int]:
    """Return an interval and its doubles up to ``most``; at least the interval itself."""
    values = [value]
    while values[-1] * 2 <= most:
        values.append(values[-1] * 2)
    return values


def instance_points(costs: Sequence[SizeCost], interval: int, max_interval: int,
                    max_skip: int) -> list[OperatingPoint]:
    """Return the operating points of an instance tracker.

    costs: the input sizes, the user's own first.  interval: the user's reuse interval.
    max_skip: most frames in a row to leave out; 0 leaves out none.
    """
    points = []
    full = min(costs[0].size)
    for cost in costs:
        for longer in stretched(interval, max_interval):
            if longer > _LITTLE * interval and cost is not costs[-1]:
                continue
            given_up = []
            if cost is not costs[0]:
                given_up.append(f'short_side {full} -> {min(cost.size)}')
            if longer != interval:
                given_up.append(f'reuse_interval {interval} -> {longer}')
            settings = {'input_size': cost.size, 'reuse_interval': longer}
            plain = OperatingPoint(
                f'T={longer} {cost.size[0]}x{cost.size[1]}', cost.light_ms, cost.heavy_ms, longer,
                settings=settings, given_up=tuple(given_up))
            points.append(plain)
            if cost.motion_ms is not None:
                points.append(replace(
                    plain, name=f'{plain.name} motion', light_ms=cost.motion_ms,
                    light_kind='motion', settings={**settings, 'reuse_features': 'motion'},
                    given_up=(*given_up, 'the network between keyframes')))
    return with_skipping(points, max_skip)


def short_sides(side: int, min_short_side: int) -> list[int]:
    """Return working sizes of a memory tracker: the given side, then 0.8 of each one before.

    Multiples of 16, none below ``min_short_side`` but the given one.
    """
    sides = [side]
    while True:
        smaller = int(sides[-1] * 0.8) // 16 * 16
        if smaller < max(16, min_short_side):
            return sides
        sides.append(smaller)


def memory_points(costs: Sequence[SizeCost], params: MemoryBounds,
                  max_skip: int) -> list[OperatingPoint]:
    """Return the operating points of a memory tracker; costs and max_skip as for instances."""
    points = []
    full = min(costs[0].size)
    for cost in costs:
        side = min(cost.size)
        smaller = [f'short_side {full} -> {side}'] if side != full else []
        for rarer in stretched(params.mem_every, params.max_mem_every):
            less = [f'mem_every {params.mem_every} -> {rarer}'] \
                if rarer != params.mem_every else []
            points.append(OperatingPoint(
                f'r={rarer} short_side={side}', cost.light_ms, cost.heavy_ms, rarer,
                settings={'short_side': side, 'mem_every': rarer},
                given_up=(*smaller, *less)))
    frames = max(params.working_memory_min_frames + 1, params.working_memory_max_frames // 2)
    if frames < params.working_memory_max_frames:
        last = points[-1]
        points.append(replace(
            last, name=f'{last.name} frames={frames}', light_ms=_LEAN * last.light_ms,
            heavy_ms=_LEAN * last.heavy_ms,
            settings={**last.settings, 'working_memory_max_frames': frames},
            given_up=(*last.given_up, 'working_memory_max_frames '
                      f'{params.working_memory_max_frames} -> {frames}')))
    return with_skipping(points, max_skip)


def with_skipping(points: Sequence[OperatingPoint], max_skip: int) -> list[OperatingPoint]:
    """Return the points and, when skipping is allowed, the last one with it."""
    if not max_skip:
        return list(points)
    last = points[-1]
    return [*points, replace(
        last, name=f'{last.name} skip', max_skip=max_skip,
        given_up=(*last.given_up, f'frames that would be late, up to {max_skip} in a row'))]
