# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Once a second: what a tracker node says of itself, in the log when it changes."""

from collections import defaultdict
from collections import deque
from collections.abc import Mapping
import math
import threading
from typing import Any
from typing import TYPE_CHECKING

from rclpy.clock import Clock
from rclpy.clock import ClockType

from vos_ros.budget.clock import percentile
from vos_ros.nodes.diagnostics import ERROR
from vos_ros.nodes.diagnostics import OK
from vos_ros.nodes.diagnostics import Status
from vos_ros.nodes.diagnostics import WARN
from vos_ros.nodes.image_input import InputState

if TYPE_CHECKING:
    from vos_ros.nodes.base import TrackerNode

_WINDOW = 150
# So many images in a row stamped later than now are no accident.
_AHEAD = 5
# Share of the images of a second that is told when they cannot be read or fail.
_MANY = 0.1


class Supervisor:
    """Watches input and worker of a node and publishes /diagnostics."""

    def __init__(self, node: 'TrackerNode') -> None:
        """Start the one-second timer."""
        self._node = node
        self._lock = threading.Lock()
        self._times: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_WINDOW))
        self._kind = 'ok'
        self._hung = ''             # what has been in work for too long
        self._before = self._ended()
        # By the wall: that simulated time stands still is to be told, too.
        node.create_timer(1.0, self.report, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def timed(self, timings: Mapping[str, float]) -> None:
        """Remember where a frame's time went.  Worker's thread."""
        with self._lock:
            for name, spent in timings.items():
                if not math.isnan(spent):
                    self._times[name].append(spent)

    def drawn(self, spent: float) -> None:
        """Remember what an overlay cost.  Worker's thread."""
        if spent:
            self.timed({'overlay': spent})

    def report(self) -> None:
        """Publish the statuses and log what changed.  Executor's thread."""
        if self._node.input is not None:
            self._node.diagnostics.publish(self._input(), self._processing())

    def _input(self) -> Status:
        source, counters = self._node.input, self._node.counters
        if source is None:
            return Status('input', OK, 'starting')
        state = source.state(self._node.parameters['image_timeout'])
        if state.kind == 'ok' and self._node.ahead_in_a_row >= _AHEAD:
            state = InputState('future stamps', self._ahead(source.topic))
        logger = self._node.get_logger()
        if state.kind != self._kind:
            if state.kind == 'ok':
                logger.info(f'input is well again: {state.text}')
            elif state.kind == 'waiting':
                logger.info(state.text)
            else:
                logger.warning(state.text)
            self._kind = state.kind
        level = OK if state.kind == 'ok' else WARN
        return Status('input', level, state.text, {
            'topic': source.topic, 'state': state.kind, 'frames_in': counters.frames_in,
            'lost_transport': counters.lost_transport})

    def _ahead(self, topic: str) -> str:
        # Only simulated time is zero, and only as long as nobody told it.
        why = '' if self._node.get_clock().now().nanoseconds else \
            ' (use_sim_time is true, but nothing came on /clock)'
        return (f'stamps of the images on {topic} are {self._node.ahead_ms / 1e3:.3f} s ahead of '
                f"this node's clock{why}: they are processed, but latency cannot be told, and a "
                'latency budget counts from when they come')

    def _ended(self) -> tuple[int, int, int]:
        """Return how many images were processed, could not be read, and failed."""
        counters = self._node.counters
        return counters.processed, counters.bad, counters.dropped_failed

    def _processing(self) -> Status:
        node, counters = self._node, self._node.counters
        before, self._before = self._before, self._ended()
        done, bad, failed = (now - then for now, then in zip(self._before, before, strict=True))
        values: dict[str, Any] = {
            'frames_processed': counters.processed, 'dropped_busy': counters.dropped_busy,
            'dropped_late': counters.dropped_late, 'dropped_bad': counters.bad,
            'dropped_failed': counters.dropped_failed,
            'rate': done, 'operating_point': node.operating_point()}
        with self._lock:
            for name, spent in self._times.items():
                values[f'{name}_ms'] = (f'p50 {percentile(spent, 0.5):.2f}, '
                                        f'p95 {percentile(spent, 0.95):.2f}')
        values.update(node.governing.status())
        values.update(node.status())
        work, busy = node.busy()
        hung = work if busy > node.parameters['watchdog_timeout'] else ''
        text = f'a {work} has been computing for {busy:.1f} s'
        if hung == self._hung:
            pass
        elif hung == 'frame':
            node.get_logger().error(text)
        elif hung:
            node.get_logger().warning(text)
        else:
            node.get_logger().info('computing again')
        self._hung = hung
        if node.fatal:
            return Status('processing', ERROR, node.fatal, values)
        if hung:
            return Status('processing', ERROR if hung == 'frame' else WARN, text, values)
        if node.failures_in_a_row:
            return Status('processing', WARN, f'{node.failures_in_a_row} images in a row failed',
                          values)
        if counters.unreadable_in_a_row:
            return Status('processing', WARN, f'{counters.unreadable_in_a_row} images in a row '
                          f'could not be read, the last: {counters.unreadable_why}', values)
        for count, what, why in ((bad, 'could not be read', counters.unreadable_why),
                                 (failed, 'failed', node.failure_why)):
            if count > _MANY * (done + bad + failed):
                return Status('processing', WARN, f'{count} of {done + bad + failed} images of '
                              f'the last second {what}, the last: {why}', values)
        if node.trouble():
            return Status('processing', WARN, node.trouble(), values)
        if node.governing.unmet:
            return Status('processing', WARN, node.governing.unmet, values)
        text = 'running' if counters.processed else 'no image yet'
        return Status('processing', OK, text, values)
