# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keeps the p95 of pipeline latency within a budget by choosing among operating points.

Down, to cheaper points, at once: when too many of the last frames missed, the governor replays
them at every cheaper point and takes the best one that would have met the budget.  Up, to better
points, with care: only when a replay of several seconds has left a margin all that time, and not
again where that went wrong, for a time that doubles with every failure.  Between the two lies a
band in which nothing happens, so that a steady load sees no change.

The reference costs are ratios that another load or another picture may bend a little.  Every
change up shows how far two points are really apart, and the costs are corrected by it.  Where
frames have missed for seconds although the replay says that they would not, it is believed in its
ratios only.
"""

from collections import deque
from collections.abc import Iterator
from collections.abc import Sequence
import math

from vos_ros.budget.clock import percentile
from vos_ros.budget.past import ENOUGH
from vos_ros.budget.past import Past
from vos_ros.budget.past import SECONDS
from vos_ros.budget.point import Measured
from vos_ros.budget.point import OperatingPoint
from vos_ros.budget.record import Record
from vos_ros.budget.replay import FRESH_MS
from vos_ros.budget.replay import predicted_p95
from vos_ros.budget.replay import Spent
from vos_ros.budget.replay import Trace

# Too many misses: so many among so many last frames at the present point.  The first acts within a
# few frames of a load step; the others catch what is only a little too slow, with fewer than one
# false alarm an hour at a true share of misses of 1 %.
_ALARMS = ((8, 4), (30, 6), (60, 7), (150, 9))
# So many frames, the slowest ones, are left out when an alarm looks for a load: after one hiccup,
# frames may be late for a while because each one waits for the one before.
_OUTLIERS = 1
# A point must be predicted to stay below this share of the budget; after too many misses, which
# few frames tell of, below the smaller one.
_SHARE = 0.92
_SHARE_DOWN = 0.85
# It must do so even if frames took longer by these factors, after an alarm and for a change up:
# other programs do not take the same from one second to the next, and close to the camera's period
# a little more cost is much more waiting, so that a share of the p95 is no margin there.  The
# frames as they were count, too: after one that took two periods the next image comes fresh, and a
# replay with dearer frames may look better.
_DOWN_RATIO = 1.25
_UP_RATIO = 1.15
# Where no point is below it, one counts as good as the best when it reaches this many times its
# p95; and soon after a change only one with this share of the present p95 is worth another.
_NOTHING = 1.03
_MUCH = 0.85
# Frames after a change that tell nothing yet: caches and buffers are being filled.
_SETTLING = 2
# Seconds that a better point must look good before it is taken.
_HOLD = 5.0
# Seconds after any change before the next one up; and within which a change down means that the
# last one up was wrong.
_UP_GAP = 10.0
_REGRET = 10.0
# After that, points as dear must look better than they did by this factor, for so many seconds,
# which double each time, up to the longest.
_BETTER = 0.85
_DISTRUST = 30.0
_LONGEST_DISTRUST = 300.0
# More misses than this share in both halves of the last seconds are believed, whatever a replay
# says.
_DOUBT = 0.1
# Seconds between two searches of the points: for better ones, and after an alarm that nothing
# could be done about.
_LOOK_EVERY = 0.5
_SEARCH_AGAIN = 0.2
# Before anything was measured: frames take longer than when they were timed alone.
_FIRST_RATIO = 1.15
_FIRST_OUTSIDE = 4.0


class Governor:
    """Chooses the operating point; one thread uses it, all but `arrived`, which any may call.

    points: best first; the first one is what the user set.  limits: in words, the bounds that end
    the list, for `unmet`.  timed: whether the reference costs are milliseconds of this machine; if
    only their ratios are known, the beginning is the best point.  Times `now` are seconds of any
    clock that only goes forward.
    Raises ValueError for no points or a budget that is not positive.
    """

    def __init__(self, points: Sequence[OperatingPoint], budget_ms: float, limits: str = '',
                 timed: bool = True) -> None:
        """Begin at the best point that the reference costs let hope for."""
        if not points:
            raise ValueError('there is no operating point')
        if not 0 < budget_ms < math.inf:
            raise ValueError(f'budget is {budget_ms} ms, must be positive')
        self.points = tuple(points)
        self.budget_ms = budget_ms
        self.misses = 0
        self.changes = 0
        self.unmet = ''
        self._limits = limits
        self._past = Past()
        self._came_from: list[Record] = []     # what led to the last change
        self._at_point = 0              # frames since the last change
        self._missed: deque[bool] = deque(maxlen=_ALARMS[-1][0])
        self._skipped = 0
        self._fits: tuple[float, int] | None = None     # since when a better point fits, and which
        self._scan: Iterator[int] = iter(())
        self._hoped = math.inf          # what the last change up was predicted to reach
        # Up to which point, the p95 it must show, and until when.
        self._distrust = (-1, math.inf, -math.inf)
        self._distrust_seconds = _DISTRUST
        self._last_change = -math.inf
        self._last_up = -math.inf
        self._next_look = -math.inf
        self._next_search = -math.inf
        first = Trace({}, (Spent(_FIRST_RATIO, 1.0),), (0.0,), (_FIRST_OUTSIDE,), (0.0,), ())
        self.index = self._choose(range(len(self.points)), [first], _SHARE) if timed else 0

    @property
    def point(self) -> OperatingPoint:
        """Return the operating point to run at."""
        return self.points[self.index]

    def follow(self, old: 'Governor', now: float) -> None:
        """Go on from a governor of other points or another budget, with what it has learnt.

        The reference costs of both must be of one scale.  Begins at the best point that its
        frames promise to fit; without frames at its own, or at the best one that is no dearer.
        """
        self._past = old._past
        same = self.budget_ms == old.budget_ms
        if same:
            upto, needed, until = old._distrust
            doubted = [point.settings for point in old.points[:upto + 1]]
            self._distrust = max((i for i, point in enumerate(self.points)
                                  if point.settings in doubted), default=-1), needed, until
            self._distrust_seconds, self._hoped = old._distrust_seconds, old._hoped
            self._last_change, self._last_up = old._last_change, old._last_up
        upto, _, until = self._distrust
        candidates = range(min(upto + 1, len(self.points) - 1) if now < until else 0,
                           len(self.points))
        records = self._past.records
        traces = self._past.traces(records, _UP_RATIO) if len(records) >= ENOUGH else []
        if traces:
            self.index = self._choose(candidates, traces, _SHARE)
        else:
            own = old.point
            alike = [i for i, point in enumerate(self.points)
                     if (point.settings, point.light_kind, point.late, bool(point.max_skip))
                     == (own.settings, own.light_kind, own.late, bool(own.max_skip))]
            cheap = [i for i, point in enumerate(self.points) if point.heavy_ms <= own.heavy_ms
                     and point.light_ms <= own.light_ms and point.late >= own.late]
            self.index = (alike + cheap + [len(self.points) - 1])[0]
        if same and self.point.settings == old.point.settings:
            self.unmet, self._came_from = old.unmet, old._came_from
            self._at_point, self._skipped = old._at_point, old._skipped
            self._missed.extend(old._missed)
        else:
            # Images whose size changes with every frame must not keep it from learning.
            self._at_point = min(old._at_point, _SETTLING)

    def same(self, other: 'Governor') -> bool:
        """Return whether another one decides by the same points, bounds and budget."""
        return (self.points, self._limits, self.budget_ms) == (
            other.points, other._limits, other.budget_ms)

    def p95(self) -> float:
        """Return the p95 of the latency over the last seconds at this point; NaN for too few."""
        recent = [r.latency for r in self._here()]
        return percentile(recent, 0.95) if len(recent) >= ENOUGH else math.nan

    def arrived(self, now: float) -> None:
        """Note that an image came, computed or not."""
        self._past.arrived(now)

    def too_late(self, wait: float, age: float) -> bool:
        """Say whether a frame should be left out: it would miss, and a fresh one might not.

        wait: ms in the slot.  age: ms since its stamp.  Only at points that allow skipping, and
        never more than their ``max_skip`` in a row.
        """
        steps = [r.step for r in self._here()[-ENOUGH:]]
        late = bool(steps) and wait > FRESH_MS and self._skipped < self.point.max_skip \
            and age + percentile(steps, 0.75) > self.budget_ms
        self._skipped = self._skipped + 1 if late else 0
        return late

    def published(self, frame: Measured, now: float) -> OperatingPoint | None:
        """Take a frame's times in; return the point to change to, None to stay."""
        missed = frame.latency > self.budget_ms
        self.misses += missed
        self._at_point += 1
        if self._at_point > _SETTLING:
            self._missed.append(missed)
            self._past.add(frame, self.point, now)
        self._past.forget(now)
        # A load that comes makes points look apart, and with it the point is changed down.
        if self._at_point == _SETTLING + ENOUGH and self._last_change == self._last_up:
            self._past.learn(self.point, self._here(), self._came_from)
        before = self.index
        alarm = self._alarm()
        if alarm and now >= self._next_search:
            self._go_down(*alarm, now)
        elif not alarm:
            self._look_up(now)
            if self.unmet and not self._over():
                self.unmet = ''
        return self.point if self.index != before else None

    def _here(self) -> list[Record]:
        """Return the frames remembered that ran at the present point."""
        return self._past.last(self._at_point - _SETTLING)

    def _predict(self, index: int, *traces: Trace) -> float:
        """Return the worst of what a point would reach with each of some traces."""
        point = self.points[index]
        return max(predicted_p95(point, trace, self.budget_ms, self._past.corrected(point))
                   for trace in traces)

    def _over(self) -> bool:
        recent = self._here()[-ENOUGH * 3:]
        return len(recent) >= ENOUGH and sum(
            r.latency > self.budget_ms for r in recent) > 0.05 * len(recent)

    def _alarm(self) -> tuple[list[Record], list[Trace], float] | None:
        """Return the frames with too many misses among them, None when there were not.

        The shortest window tells of a sudden load: what was before the first miss is no part of
        it.  With them come what replays need, and how many times longer than a replay says the
        frames take.
        """
        missed = list(self._missed)
        for count, limit in _ALARMS:
            if sum(missed[-count:]) < limit:
                continue
            first = missed[-count:].index(True)
            records = self._here()[-count:][first if count == _ALARMS[0][0] else 0:]
            slowest = sorted(records, key=lambda record: record.step)[-_OUTLIERS:]
            records = [r for r in records if all(r is not other for other in slowest)]
            traces = self._past.traces(records, _DOWN_RATIO)
            if traces and self._predict(self.index, traces[0]) > self.budget_ms:
                return records, traces, 1.0
            if self._missing_for_seconds():
                records = self._here()
                traces = self._past.traces(records, _DOWN_RATIO)
                return (records, traces, max(1.0, self.p95() / self._predict(
                    self.index, traces[0]))) if traces else None
        return None

    def _missing_for_seconds(self) -> bool:
        here = self._here()
        if len(here) < ENOUGH or here[-1].at - here[0].at < 0.8 * SECONDS:
            return False
        half = len(here) // 2
        return all(sum(r.latency > self.budget_ms for r in part) > _DOUBT * len(part)
                   for part in (here[:half], here[half:]))

    def _choose(self, candidates: Sequence[int], traces: Sequence[Trace], share: float) -> int:
        """Return the first candidate predicted to fit, or the one predicted to come nearest."""
        reached = {}
        for index in candidates:
            reached[index] = self._predict(index, *traces)
            if reached[index] <= share * self.budget_ms:
                return index
        # Quality is not given up for next to nothing.
        least = min(reached.values())
        return next(index for index, p95 in reached.items() if p95 <= _NOTHING * least)

    def _go_down(self, records: list[Record], traces: list[Trace], longer: float,
                 now: float) -> None:
        # A keyframe before its frame is published makes no frame cheaper.
        target = self._choose([index for index in range(self.index, len(self.points))
                               if self.points[index].late >= self.point.late], traces,
                              _SHARE_DOWN / longer)
        trace = traces[0]
        soon = now - self._last_change < _UP_GAP
        present = self._predict(self.index, trace)
        if target == self.index or (soon and self._predict(target, trace) > max(
                _SHARE * self.budget_ms / longer, _MUCH * present)):
            self._next_search = now + _SEARCH_AGAIN
            self._cannot(trace)
            return
        if longer > 1 or now - self._last_up < _REGRET:
            hoped = present if longer > 1 else self._hoped
            self._distrust = self.index, _BETTER * hoped, now + self._distrust_seconds
            self._distrust_seconds = min(2 * self._distrust_seconds, _LONGEST_DISTRUST)
        self._change(target, records, now)

    def _cannot(self, trace: Trace) -> None:
        p95, outside = self.p95(), percentile(trace.outside, 0.5)
        # An alarm looks at fewer frames than that; what was met on the whole was met.
        if math.isnan(p95) or p95 <= self.budget_ms:
            return
        reason = f'images are {outside:.0f} ms old when they arrive' \
            if outside > 0.5 * p95 else self._limits or 'there is no cheaper point'
        self.unmet = (f'a p95 of {self.budget_ms:.3g} ms cannot be met: {p95:.3g} ms is reached '
                      f'at {self.point.name}, and no point allowed does much better ({reason})')

    def _look_up(self, now: float) -> None:
        """Go through the better points, one a frame, so that no frame pays for all of them."""
        if not self.index or len(self._past.records) < ENOUGH \
                or self._past.records[-1].at - self._past.records[0].at < 0.5 * SECONDS:
            self._fits = None
            return
        candidate = next(self._scan, None)
        if candidate is None:
            if now >= self._next_look:
                self._next_look = now + _LOOK_EVERY
                self._scan = iter(range(self.index))
            return
        traces = self._past.traces(self._past.records, _UP_RATIO)
        if not traces:
            return
        p95 = self._predict(candidate, *traces)
        upto, needed, until = self._distrust
        limit = _SHARE * self.budget_ms
        if candidate <= upto and now < until:
            limit = min(limit, needed)
        if p95 > limit:
            if candidate == self.index - 1:
                self._fits = None       # none of them does
            return
        self._scan = iter(())
        since, worst = self._fits or (now, candidate)
        self._fits = since, max(worst, candidate)
        if now - since >= _HOLD and now - self._last_change >= _UP_GAP:
            # Peace counts from when it might have tried again, not from before that waiting.
            if now - max(self._last_up, self._distrust[2]) > 3 * _DISTRUST:
                self._distrust_seconds = _DISTRUST
            self._last_up, self._hoped = now, p95
            self._change(self._fits[1], self._here()[-ENOUGH:], now)

    def _change(self, target: int, why: list[Record], now: float) -> None:
        self._came_from = why
        self.index = target
        self.changes += 1
        self.unmet = ''
        self._at_point = 0
        self._skipped = 0
        self._missed.clear()
        self._fits = None
        self._scan = iter(())
        self._last_change = now
