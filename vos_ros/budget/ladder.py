# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The operating points of a tracker, best first: what a budget gives up, and in what order.

Little things go first.  Instances: keyframes made up for after their frame was published (new
objects appear a frame later), masks between keyframes moved by optical flow instead of the
network, then twice the reuse of kernels (new objects appear later), then the next smaller input
(small objects are lost), and so on down; still longer reuse comes after the smallest input, and
frames left out last.  That is the order of the mask overlap with the best point, see
docs/performance.md: twelve frames a keyframe cost more than half the input's side.  Memory: the
next smaller input, and so on down, which costs XMem-Lite least; after the smallest rarer memory
frames, fewer elements read, a smaller working memory, the long-term memory left unread, and frames
left out last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from vos_ros.budget.point import OperatingPoint

# What fewer elements read, a halved working memory and an unread long-term memory are thought
# to cost at first; the governor learns what they do.
_FEWER = 0.9
_LEAN = 0.85
_UNREAD = 0.85
# Writing a frame into the memory costs this share of a frame, whatever was timed.
_LEAST_WRITING = 0.05
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
    """The user's settings of the memories, and how far each may be changed.

    min_top_k: not below top_k, too, where that is smaller.  long_term: whether there is one that
    may be left unread.
    """

    mem_every: int
    max_mem_every: int
    working_memory_max_frames: int
    working_memory_min_frames: int
    top_k: int
    min_top_k: int
    long_term: bool


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
                    max_skip: int, late: Sequence[bool] = (False,)) -> list[OperatingPoint]:
    """Return the operating points of an instance tracker.

    costs: the input sizes, the user's own first.  interval: the user's reuse interval.
    max_skip: most frames in a row to leave out; 0 leaves out none.  late: whether keyframes are
    made up for after their frame was published: as the user has it, then what may be, too.
    """
    points: list[OperatingPoint] = []
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
            variants = [plain]
            if cost.motion_ms is not None:
                variants.append(replace(
                    plain, name=f'{plain.name} motion', light_ms=cost.motion_ms,
                    light_kind='motion', settings={**settings, 'reuse_features': 'motion'},
                    given_up=(*given_up, 'the network between keyframes')))
            points += [_later(point) if after and not late[0] else replace(point, late=after)
                       for point in variants for after in late]
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


def working_costs(costs: Sequence[SizeCost], side: int) -> list[SizeCost]:
    """Return the costs of working sizes for images whose short side is ``side``.

    Images are never enlarged: of the sizes that are no smaller than they are, which are all the
    same, the last one stays, at what the image's own size costs.
    """
    kept = list(costs)
    while len(kept) > 1 and min(kept[1].size) >= side:
        kept.pop(0)
    share = min(1.0, side / min(kept[0].size)) ** 2
    return [replace(kept[0], light_ms=share * kept[0].light_ms,
                    heavy_ms=share * kept[0].heavy_ms), *kept[1:]]


def falling(costs: Sequence[SizeCost]) -> list[SizeCost]:
    """Return costs, largest input first, none dearer than one before it.

    A smaller input that took longer was held up by another program.
    """
    kept: list[SizeCost] = []
    for cost in costs:
        if kept:
            before, flow = kept[-1], cost.motion_ms
            if flow is not None and before.motion_ms is not None:
                flow = min(flow, before.motion_ms)
            cost = SizeCost(cost.size, min(cost.light_ms, before.light_ms),
                            min(cost.heavy_ms, before.heavy_ms), flow)
        kept.append(cost)
    return kept


def memory_points(costs: Sequence[SizeCost], params: MemoryBounds, max_skip: int,
                  image_side: int | None = None) -> list[OperatingPoint]:
    """Return the operating points of a memory tracker; costs and max_skip as for instances.

    image_side: the short side of the images, which are never enlarged, if known.
    All of them write the memory after the frame was published: what a memory frame costs beside an
    ordinary one comes late.
    """
    points = []
    full = min(costs[0].size)
    for cost in costs:
        side = min(cost.size)
        smaller = [f'short_side {min(full, image_side or full)} -> {side}'] \
            if side != full else []
        longest = params.max_mem_every if cost is costs[-1] else params.mem_every
        for rarer in stretched(params.mem_every, longest):
            less = [f'mem_every {params.mem_every} -> {rarer}'] \
                if rarer != params.mem_every else []
            points.append(OperatingPoint(
                f'r={rarer} short_side={side}', cost.light_ms,
                max(cost.heavy_ms - cost.light_ms, _LEAST_WRITING * cost.light_ms), rarer,
                settings={'short_side': side, 'mem_every': rarer},
                given_up=(*smaller, *less), late=True))
    if params.min_top_k < params.top_k:
        points.append(_less(points[-1], f'k={params.min_top_k}', _FEWER,
                            {'top_k': params.min_top_k},
                            f'top_k {params.top_k} -> {params.min_top_k}'))
    frames = max(params.working_memory_min_frames + 1, params.working_memory_max_frames // 2)
    if frames < params.working_memory_max_frames:
        points.append(_less(
            points[-1], f'frames={frames}', _LEAN, {'working_memory_max_frames': frames},
            f'working_memory_max_frames {params.working_memory_max_frames} -> {frames}'))
    if params.long_term:
        points.append(_less(points[-1], 'no long term', _UNREAD, {'read_long_term': False},
                            'reading the long-term memory'))
    return with_skipping(points, max_skip)


def _later(point: OperatingPoint) -> OperatingPoint:
    """Return a point that computes keyframes after their frames were published."""
    return replace(point, name=f'{point.name} late', late=True,
                   settings={**point.settings, 'late_keyframes': True},
                   given_up=(*point.given_up, 'keyframes before their frame is published'))


def _less(point: OperatingPoint, name: str, share: float, settings: dict[str, Any],
          given_up: str) -> OperatingPoint:
    """Return a point that gives up one thing more and costs a share of the given one."""
    return replace(
        point, name=f'{point.name} {name}', light_ms=share * point.light_ms,
        heavy_ms=share * point.heavy_ms, settings={**point.settings, **settings},
        given_up=(*point.given_up, given_up))


def with_skipping(points: Sequence[OperatingPoint], max_skip: int) -> list[OperatingPoint]:
    """Return the points and, when skipping is allowed, the last one with it."""
    if not max_skip:
        return list(points)
    last = points[-1]
    return [*points, replace(
        last, name=f'{last.name} skip', max_skip=max_skip,
        given_up=(*last.given_up, f'frames that would be late, up to {max_skip} in a row'))]
