# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the last frames would have cost at another operating point.

Absolute times change with the load of the board, ratios between operating points hardly do.  So a
frame is remembered as its time over the reference cost of the point it ran at, and played again at
another point, through the same one-frame slot, with images as far apart as they came.  Waiting,
which is up to a camera period and often the larger part of a miss, comes out of that by itself,
and so does the share of heavy frames.

Not all of a frame's time scales with the point.  The median ratio of the frames does: that is how
slow the board is.  What a frame took beyond it was mostly stolen by other programs, a turn of the
processor at a time, and a smaller frame is robbed of as long a turn.  A larger one is robbed more
often.
"""

from bisect import bisect_right
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from vos_ros.budget.clock import percentile
from vos_ros.budget.point import OperatingPoint

# Frames played: at least, and at most; a long cadence is played three times over.
_FRAMES = 60
_MOST_FRAMES = 200
# A frame that waited less than this was as good as fresh.
FRESH_MS = 1.0
# The power of the ratio of costs by which stolen time grows on a dearer point.
_STOLEN_GROWS = 0.5


@dataclass(frozen=True)
class Spent:
    """What a frame took: times its reference cost; and that cost, ms."""

    ratio: float
    cost: float


@dataclass(frozen=True)
class Trace:
    """What a replay needs of the frames remembered.

    light, heavy: the frames of each kind, in order; light by `OperatingPoint.light_kind`; not all
    empty.
    other, outside, after: ms, as in `Measured`, in order.  gaps: ms between one image's arrival
    and the next one's, in order; they come again and again.  () when unknown, then nothing waits.
    """

    light: Mapping[str, Sequence[Spent]]
    heavy: Sequence[Spent]
    other: Sequence[float]
    outside: Sequence[float]
    after: Sequence[float]
    gaps: Sequence[float]


def at_cost(frames: Sequence[Spent], cost: float) -> list[float]:
    """Return what the frames would have taken at a reference cost, ms each."""
    slow = percentile([frame.ratio for frame in frames], 0.5)
    return [min(frame.ratio, slow) * cost
            + max(0.0, frame.ratio - slow) * frame.cost
            * max(1.0, cost / frame.cost) ** _STOLEN_GROWS for frame in frames]


def replay(point: OperatingPoint, trace: Trace, budget: float,
           correction: float = 1.0) -> list[float]:
    """Return the pipeline latencies, ms, that the trace's frames would have had at a point.

    budget: ms, for points that skip frames.  correction: a factor on the point's costs.
    """
    others = next((frames for frames in trace.light.values() if frames), ())
    seen = trace.light.get(point.light_kind) or trace.heavy or others
    light = at_cost(seen, correction * point.light_ms)
    heavy = at_cost(trace.heavy or seen, correction * point.heavy_ms)
    # Images arrive again and again at these times after the first one of a round.
    *times, length = accumulate(trace.gaps, initial=0.0)

    def arrives(number: int) -> float:
        rounds, index = divmod(number, len(times))
        return rounds * length + times[index]

    counts = [0, 0]
    latencies = []
    free = 0.0       # when the worker is free
    arrival = 0      # number of the next image that was not taken
    skipped = 0
    count = max(_FRAMES, len(trace.other), 3 * point.cadence)
    for i in range(min(count, _MOST_FRAMES)):
        is_heavy = i % point.cadence == 0
        late = heavy[counts[1] % len(heavy)] if is_heavy and point.late else 0.0
        counts[1] += is_heavy
        if is_heavy and not point.late:
            cost = heavy[counts[1] % len(heavy)]
        else:
            cost = light[counts[0] % len(light)]
            counts[0] += 1
        cost += trace.other[i % len(trace.other)]
        outside = trace.outside[i % len(trace.outside)]
        wait = 0.0
        if length > 0:
            rounds, rest = divmod(free, length)
            newest = int(rounds) * len(times) + bisect_right(times, rest) - 1
            if newest >= arrival:
                wait = max(0.0, free - arrives(newest))
                arrival = newest
            else:
                free = arrives(arrival)
            arrival += 1
            if wait > FRESH_MS and skipped < point.max_skip and outside + wait + cost > budget:
                skipped += 1
                free, wait = arrives(arrival), 0.0
                arrival += 1
            else:
                skipped = 0
            free += cost + late + trace.after[i % len(trace.after)]
        latencies.append(outside + wait + cost)
    return latencies


def predicted_p95(point: OperatingPoint, trace: Trace, budget: float,
                  correction: float = 1.0) -> float:
    """Return the p95 of `replay`."""
    return percentile(replay(point, trace, budget, correction), 0.95)
