# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the last frames would have cost at another operating point.

Absolute times change with the load of the board, ratios between operating points hardly do.  So a
frame is remembered as its time over the reference cost of the point it ran at, and played again at
another point: times that point's reference cost, through the same one-frame slot, at the camera's
rate.  Waiting, which is up to a camera period and often the larger part of a miss, comes out of
that by itself, and so does the share of heavy frames.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from vos_ros.budget.clock import percentile
from vos_ros.budget.point import OperatingPoint

# Frames played: at least, and at most; a long cadence is played three times over.
_FRAMES = 60
_MOST_FRAMES = 200
# A frame that waited less than this was as good as fresh.
FRESH_MS = 1.0


@dataclass(frozen=True)
class Trace:
    """What a replay needs of the frames remembered.

    light, heavy: time over reference cost of the frames of each kind, in order; light by
    `OperatingPoint.light_kind`; not all empty.
    other, outside, after: ms, as in `Measured`, in order.  period: of the camera, ms; 0 when
    unknown, then nothing waits.
    """

    light: Mapping[str, Sequence[float]]
    heavy: Sequence[float]
    other: Sequence[float]
    outside: Sequence[float]
    after: Sequence[float]
    period: float


def replay(point: OperatingPoint, trace: Trace, budget: float,
           correction: float = 1.0) -> list[float]:
    """Return the pipeline latencies, ms, that the trace's frames would have had at a point.

    budget: ms, for points that skip frames.  correction: a factor on the point's costs.
    """
    others = next(iter(trace.light.values()), ())
    light = trace.light.get(point.light_kind) or trace.heavy or others
    heavy = trace.heavy or light
    counts = [0, 0]
    latencies = []
    free = 0.0       # when the worker is free
    arrival = 0      # number of the next image that was not taken
    skipped = 0
    count = max(_FRAMES, len(trace.other), 3 * point.cadence)
    for i in range(min(count, _MOST_FRAMES)):
        is_heavy = i % point.cadence == 0
        ratios = heavy if is_heavy else light
        ratio = ratios[counts[is_heavy] % len(ratios)]
        counts[is_heavy] += 1
        cost = ratio * correction * point.cost(is_heavy) + trace.other[i % len(trace.other)]
        outside = trace.outside[i % len(trace.outside)]
        wait = 0.0
        if trace.period > 0:
            newest = int(free / trace.period)
            if newest >= arrival:
                wait = free - newest * trace.period
                arrival = newest
            else:
                free = arrival * trace.period
            arrival += 1
            if wait > FRESH_MS and skipped < point.max_skip and outside + wait + cost > budget:
                skipped += 1
                free, wait = arrival * trace.period, 0.0
                arrival += 1
            else:
                skipped = 0
            free += cost + trace.after[i % len(trace.after)]
        latencies.append(outside + wait + cost)
    return latencies


def predicted_p95(point: OperatingPoint, trace: Trace, budget: float,
                  correction: float = 1.0) -> float:
    """Return the p95 of `replay`."""
    return percentile(replay(point, trace, budget, correction), 0.95)
