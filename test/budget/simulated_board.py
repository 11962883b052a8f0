# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A board, a camera and a node in plain Python: real governor, simulated time."""

from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import random

from vos_ros.budget.point import Measured
from vos_ros.budget.point import OperatingPoint

# Cost of a keyframe, ms, by short side on the quiet board; other frames take 0.85 of it.
SIDES = {320: 30.0, 256: 20.0, 192: 11.0, 128: 5.5}


def ladder(sides=SIDES, intervals=(3, 6), max_skip=3, motion=False, late=False):
    """Operating points as a tracker has them: sizes, each with its intervals, skipping last.

    motion: after each of them one whose ordinary frames take 1 ms, of another kind.  late: after
    each of those one with keyframes that are computed after their frame was published.
    """
    points = [OperatingPoint(f'T={interval} {side}{kind}{" late" if after else ""}', light, cost,
                             interval, settings={'side': side, 'interval': interval},
                             light_kind=kind, late=after)
              for side, cost in sides.items() for interval in intervals
              for light, kind in ((0.85 * cost, ''), (1.0, 'motion'))[:1 + motion]
              for after in (False, True)[:1 + late]]
    last = points[-1]
    return [*points, replace(last, name=f'{last.name} skip', max_skip=max_skip)]


@dataclass
class Frame:
    """A published frame: when its image was stamped, ms from there, and the point it ran at."""

    stamp: float
    latency: float
    index: int


@dataclass
class Board:
    """Runs a governor against a camera.

    load: seconds to slow-down, 1 on the quiet board.  noise: spread of the cost of a frame.
    error: the true costs of each point are off the reference by a factor within 1 ± error.
    hiccups: share of frames that take twice as long.  ticks: share of frames that another program
    holds up for `tick` ms, however small they are, or a function of seconds.  outside: ms from
    stamp to node.  gap: number of an image to seconds until the next, None to go by the rate.
    empty: seconds to whether there is nothing to follow: then ordinary frames cost nothing.
    """

    load: object
    rate: float = 30.0
    noise: float = 0.06
    error: float = 0.0
    hiccups: float = 0.005
    outside: float = 3.0
    other: float = 2.0
    ticks: object = 0.0
    tick: float = 4.0
    gap: object = None
    empty: object = lambda t: False
    seed: int = 0
    frames: list = field(default_factory=list)
    changes: list = field(default_factory=list)
    unmet: list = field(default_factory=list)
    skipped: int = 0

    def run(self, governor, seconds):
        """Play so many seconds; every governor call is one that the node makes."""
        rng = random.Random(self.seed)
        wrong = [1 + rng.uniform(-self.error, self.error) for _ in governor.points]
        arrivals, t = [], 0.0
        while t < seconds:
            arrivals.append((t, t + (self.outside + rng.uniform(-0.5, 1.0)) / 1e3))
            t += self.gap(len(arrivals)) if self.gap else 1 / self.rate + rng.uniform(-1e-3, 1e-3)
        now, i, since_heavy, told, late = 0.0, 0, 0, 0, 0.0
        while i < len(arrivals):
            while told < len(arrivals) and arrivals[told][1] <= max(now, arrivals[i][1]):
                governor.arrived(arrivals[told][1])
                told += 1
            while i + 1 < len(arrivals) and arrivals[i + 1][1] <= now:
                i += 1      # the newest wins
            stamp, came = arrivals[i]
            i += 1
            now = max(now, came)
            wait = (now - came) * 1e3
            if governor.too_late(wait, (now - stamp) * 1e3):
                self.skipped += 1
                continue
            index, point = governor.index, governor.point
            heavy = since_heavy % point.cadence == 0
            since_heavy = 1 if heavy else since_heavy + 1
            slow = self.load(now) * rng.lognormvariate(0, self.noise) \
                * (2.0 if rng.random() < self.hiccups else 1.0)
            ticks = self.ticks(now) if callable(self.ticks) else self.ticks
            cost, later = point.cost(heavy and not point.late) * wrong[index] * slow, 0.0
            if self.empty(now) and (not heavy or point.late):
                cost = 0.0
            stolen = self.tick if ticks and rng.random() < ticks and cost else 0.0
            if heavy and point.late:
                later = point.heavy_ms * wrong[index] * slow \
                    + (self.tick if ticks and rng.random() < ticks else 0.0)
            frame = Measured(heavy and not point.late, cost + stolen, self.other * slow,
                             wait, (came - stamp) * 1e3, 0.0, late)
            now += (frame.scaled + frame.other) / 1e3
            self.frames.append(Frame(stamp, frame.latency, index))
            changed = governor.published(frame, now)
            now += later / 1e3
            late = later
            if changed is not None:
                self.changes.append(now)
                since_heavy = 0
            self.unmet.append((now, governor.unmet))
        return self

    def latencies(self, begin, end):
        """Return the latencies of the images stamped in [begin, end)."""
        return [frame.latency for frame in self.frames if begin <= frame.stamp < end]

    def changes_in(self, begin, end):
        """Return how often the point changed in [begin, end)."""
        return sum(begin <= t < end for t in self.changes)

    def used(self, begin, end):
        """Return the indices of the points used in [begin, end)."""
        return {frame.index for frame in self.frames if begin <= frame.stamp < end}
