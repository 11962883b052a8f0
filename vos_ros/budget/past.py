# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a governor remembers: frames, arrivals of images, and how far points are really apart."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from collections.abc import Sequence
import itertools

from vos_ros.budget.clock import percentile
from vos_ros.budget.point import Measured
from vos_ros.budget.point import OperatingPoint
from vos_ros.budget.record import ratios
from vos_ros.budget.record import Record
from vos_ros.budget.record import trace_of
from vos_ros.budget.replay import Spent
from vos_ros.budget.replay import Trace

SECONDS = 5.0
# So many stay at any rate: below 4 frames a second five seconds hold too few to tell from.
ENOUGH = 20
# So many frames of one kind before and after a change say how far the points are apart.
_FEW = 4
# Share of what a change shows that is believed, and the most that all of it may come to.
_LEARNING = 0.5
_MOST_CORRECTION = 2.0


class Past:
    """The last seconds.  One thread uses it, all but `arrived`, which any may call.

    It holds for other operating points, too, as long as their reference costs are of one scale.
    records: the frames, in order.
    """

    def __init__(self) -> None:
        """Start without anything."""
        self.records: deque[Record] = deque(maxlen=600)
        self._arrivals: deque[float] = deque(maxlen=600)
        # Of the reference costs, by the heavy one: what the network of an input size costs is the
        # same however often it runs.
        self._correction: dict[float, float] = {}

    def arrived(self, now: float) -> None:
        """Note that an image came, computed or not."""
        self._arrivals.append(now)

    def gaps_ms(self) -> list[float]:
        """Return the ms from each image of the last seconds to the next one."""
        times = list(self._arrivals)
        if len(times) > ENOUGH:
            del times[:min(bisect_left(times, times[-1] - SECONDS), len(times) - ENOUGH)]
        return [(after - before) * 1e3 for before, after in itertools.pairwise(times)]

    def add(self, frame: Measured, point: OperatingPoint, now: float) -> None:
        """Remember a frame that ran at a point."""
        self.records.append(Record(
            now, None if frame.heavy else point.light_kind,
            self._spent(frame.scaled, point, frame.heavy), self._spent(frame.late, point, True),
            frame.other, frame.outside, frame.after, frame.scaled + frame.other, frame.latency))

    def forget(self, now: float) -> None:
        """Drop the frames that are too old."""
        while len(self.records) > ENOUGH and self.records[0].at < now - SECONDS:
            self.records.popleft()

    def last(self, count: int) -> list[Record]:
        """Return the last frames, as many as are left of so many."""
        return list(self.records)[-count:] if count > 0 else []

    def corrected(self, point: OperatingPoint) -> float:
        """Return the factor by which a point's reference costs are off."""
        return self._correction.get(point.heavy_ms, 1.0)

    def traces(self, records: Iterable[Record], ratio: float) -> list[Trace]:
        """Return what replays need: the frames as they were, and dearer; [] for nothing spent."""
        records, gaps = list(records), self.gaps_ms()
        traces = (trace_of(records, gaps, dearer) for dearer in (1.0, ratio))
        return [trace for trace in traces if trace is not None]

    def learn(self, point: OperatingPoint, here: Sequence[Record],
              before: Sequence[Record]) -> None:
        """Correct a point's cost by the step that the ratios made when it was changed to.

        here: all frames since then.  before: what led to the change.
        """
        seen_here, seen_before = ratios(here), ratios(before)
        now, then = ([ratio for kind in seen_here.keys() & seen_before.keys()
                      for ratio in seen[kind]] for seen in (seen_here, seen_before))
        if min(len(now), len(then)) < _FEW:
            return
        step = percentile(now, 0.5) / percentile(then, 0.5)
        old = self.corrected(point)
        new = min(max(old * step ** _LEARNING, 1 / _MOST_CORRECTION), _MOST_CORRECTION)
        self._correction[point.heavy_ms] = new
        for _ in here:
            self.records.pop()
        self.records.extend(r.at_cost_times(new / old) for r in here)

    def _spent(self, ms: float, point: OperatingPoint, heavy: bool) -> Spent | None:
        cost = point.cost(heavy) * self.corrected(point)
        return Spent(ms / cost, cost) if ms else None
