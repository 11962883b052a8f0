# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The latency budget of a tracker node: the governor between its clock and its tracker."""

from collections.abc import Callable
from collections.abc import Mapping
import math
import os
import threading
import time
from typing import Any
from typing import TYPE_CHECKING

from vos_ros.budget.governor import Governor
from vos_ros.budget.point import Measured
from vos_ros.nodes.live_parameters import Values
from vos_ros.nodes.priority import set_nice

if TYPE_CHECKING:
    from vos_ros.nodes.base import TrackerNode

# Stamps older than this are of another time, as those of a file: latency counts from the arrival.
_OTHER_TIME_MS = 60e3


class Governing:
    """Feeds the governor with what the node measures, and the tracker with what it decides.

    Without a budget it does nothing at all.  All methods run on the worker's thread but
    ``arrived``, ``status`` and ``prepare`` with ``wait=False``.
    """

    def __init__(self, node: 'TrackerNode') -> None:
        """Start without a budget."""
        self._node = node
        self.governor: Governor | None = None
        self._after = 0.0
        self._late = 0.0
        self._p95 = math.nan
        self._misses = 0                    # of governors before the present one
        self._changes = 0
        self._failure = ''                  # why there are no new operating points
        self._wanted: tuple[Any, ...] | None = None     # the parameters taken on
        self._tries = 0                     # of making points of them, begun or waiting
        self._failed = False                # the last one did
        # Of these three.  Parameters, images and the thread that makes points all change them.
        self._turn = threading.Lock()
        self._nice: int | None = None       # what it was before a budget raised it
        self._lock = threading.Lock()

    @property
    def budget_ms(self) -> float:
        """Return the bound in force, 0 for none."""
        governor = self.governor
        return 0.0 if governor is None else governor.budget_ms

    @property
    def unmet(self) -> str:
        """Return why the budget cannot be met, or is not in force; '' while it is met."""
        governor = self.governor
        return ('' if governor is None else governor.unmet) or self._failure

    def prepare(self, values: Values, wait: bool = False) -> None:
        """Take on the parameters of the budget, if they are new.

        Loading and timing networks takes seconds: that is done on a thread of its own, and frames
        go on meanwhile, unless ``wait`` asks to have it done on return.  Raises then what
        ``operating_points`` raises.
        """
        wanted = self._wanted_of(values)
        with self._turn:
            # The same parameters set again after they failed are another try.
            if wanted == self._wanted and not self._failed:
                return
            first, self._wanted = self._wanted is None, wanted
            number = self._try()
        if not values['latency_budget_ms']:
            if not first:
                self._node.submit_job(lambda: self._install(None))
        elif wait:
            self._install(self._governor(values))
        else:
            self._start(values, wanted, number)

    def renew(self, values: Values) -> None:
        """Make the operating points anew, after something they depend on that is no parameter.

        Also where they could not be made before.
        """
        with self._turn:
            wanted = self._wanted
            if not values['latency_budget_ms'] or wanted is None:
                return
            number = self._try()
        self._start(values, wanted, number)

    def _try(self) -> int:
        self._tries, self._failed = self._tries + 1, False
        return self._tries

    def _wanted_of(self, values: Values) -> tuple[Any, ...]:
        return tuple(values[name] for name in self._node.budget_parameters)

    def _start(self, values: Values, wanted: tuple[Any, ...], number: int) -> None:
        threading.Thread(target=self._prepare_beside, args=(values, wanted, number), daemon=True,
                         name='operating points').start()

    def _governor(self, values: Values) -> Governor:
        # What is timed here is to run with that priority, too.
        self._prioritise(True, tell=False)
        points, limits, timed = self._node.operating_points(values)
        return Governor(points, values['latency_budget_ms'], limits, timed)

    def _prepare_beside(self, values: Values, wanted: tuple[Any, ...], number: int) -> None:
        with self._lock:
            # Set anew while others were timed: the priority taken here would stay for ever.
            if wanted != self._wanted:
                return
            try:
                governor = self._governor(values)
            except Exception as error:
                kept = self.governor is not None and self._node.still_meant(
                    self.governor.points[0], values)
                failure = f'no new operating points, {self.budget_ms:g} ms stay the latency ' \
                    f'budget: {error}' if kept else f'no latency budget: {error}'
                with self._turn:
                    self._failed = last = number == self._tries
                # Of a try that another one follows nothing is told: that one may do.
                if last:
                    self._node.submit_job(lambda: self._fail(failure, kept))
                return
            # In the order in which they were made.
            if wanted == self._wanted:
                self._node.submit_job(lambda: self._install(governor))

    def _fail(self, failure: str, kept: bool) -> None:
        # The reason before what follows from it.
        self._node.get_logger().error(failure)
        if self.governor is not None and not kept:
            self._install(None)
        self._failure = failure
        self._prioritise(kept)

    def _install(self, governor: Governor | None) -> None:
        old, self._failure = self.governor, ''
        if old is not None:
            if governor is not None and governor.same(old):
                self._prioritise(True)
                return
            self._misses += old.misses
            self._changes += old.changes
            if governor is not None:
                governor.follow(old, time.monotonic())
        self.governor = governor
        self.reapply()
        self._prioritise(governor is not None)
        logger = self._node.get_logger()
        if governor is None:
            if old is not None:
                logger.info('no latency budget: back to the settings given')
        else:
            logger.info(f'latency budget {governor.budget_ms:g} ms: {len(governor.points)} '
                        f'operating points, starting at {governor.point.name}')

    def _prioritise(self, budget: bool, tell: bool = True) -> None:
        """Put the process before others while there is a budget, as far as that is allowed.

        With every core busy even a small frame loses its turn for a tick of the kernel or more,
        several times on its way, and no operating point helps against that.
        """
        parameters = self._node.parameters
        if self._nice is None:
            self._nice = os.getpriority(os.PRIO_PROCESS, 0)
        raised = budget and parameters['budget_nice'] < 0 and not parameters['nice']
        refused = set_nice(parameters['budget_nice'] if raised else self._nice)
        if refused and raised and tell:
            self._node.get_logger().info(
                f'the latency budget is kept without priority over other programs: {refused}')

    def reapply(self) -> None:
        """Give the tracker the present point, after its parameters were set anew."""
        self._node.take_point({} if self.governor is None else self.governor.point.settings)

    def arrived(self) -> None:
        """Note that an image came.  The thread that takes images."""
        governor = self.governor
        if governor is not None:
            governor.arrived(time.monotonic())

    def too_late(self, wait_ms: float, age: Callable[[], float]) -> bool:
        """Say whether to leave a frame out.

        age: gives the ms since its stamp, NaN when not known; asking for the time is slow, so it
        is called only with a budget.
        """
        governor = self.governor
        if governor is None:
            return False
        age_ms = age()
        known = 0 <= age_ms < _OTHER_TIME_MS
        return governor.too_late(wait_ms, age_ms if known else wait_ms)

    def published(self, timings: Mapping[str, float], step_ms: float, pipeline_ms: float,
                  heavy: bool) -> dict[str, Any]:
        """Take in a frame's times, and change the operating point when the governor says so.

        Return the budget's fields of ~/latency, for the point that the frame ran at.
        """
        governor = self.governor
        if governor is None:
            return {'p95_ms': math.nan, 'misses': self._misses, 'changes': self._changes,
                    'unmet': self._failure}
        self._p95 = governor.p95()
        message = {'budget_ms': governor.budget_ms, 'given_up': list(governor.point.given_up),
                   'unmet': self.unmet, 'p95_ms': self._p95,
                   'changes': self._changes + governor.changes}
        wait = timings['wait']
        outside = pipeline_ms - step_ms - wait
        if not 0 <= pipeline_ms < _OTHER_TIME_MS:
            outside = timings['receive']
        scaled = sum(spent for name, spent in timings.items() if name in self._node.scaled_stages)
        heavy = heavy and self._node.heavy_stages <= timings.keys()
        before, unmet = governor.point, governor.unmet
        point = governor.published(Measured(
            heavy, scaled, max(0.0, step_ms - scaled), wait,
            0.0 if math.isnan(outside) else max(0.0, outside), self._after, self._late),
            time.monotonic())
        self._late = 0.0
        logger = self._node.get_logger()
        if point is not None:
            self._node.take_point(point.settings)
            logger.info(f'operating point {before.name} -> {point.name} for the latency budget of '
                        f'{governor.budget_ms:g} ms')
        if governor.unmet and not unmet:
            logger.warning(governor.unmet, throttle_duration_sec=10.0)
        return message | {'misses': self._misses + governor.misses}

    def made_up(self, late_ms: float) -> None:
        """Note what of a frame's network ran after it was published."""
        self._late = late_ms

    def done(self, after_ms: float) -> None:
        """Note how long the worker was busy with a frame once that was published."""
        self._after = max(0.0, after_ms - self._late)

    def status(self) -> dict[str, Any]:
        """Return the budget's figures for /diagnostics.  Executor's thread."""
        governor = self.governor
        if governor is None:
            return {'latency_budget_ms': 'none', 'unmet': self._failure or 'nothing'}
        return {'latency_budget_ms': f'{governor.budget_ms:g}',
                'p95_ms': f'{self._p95:.1f}',
                'given_up': '; '.join(governor.point.given_up) or 'nothing',
                'unmet': self.unmet or 'nothing',
                'budget_misses': self._misses + governor.misses,
                'operating_point_changes': self._changes + governor.changes}
