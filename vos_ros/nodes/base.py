# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What every tracker node does around its tracker: images in, results out, nothing silent."""

from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Mapping
import concurrent.futures
import contextlib
import math
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from vos_ros.budget.clock import StageClock
from vos_ros.budget.point import OperatingPoint
from vos_ros.msg import Latency
from vos_ros.nodes import images
from vos_ros.nodes.cdr import LabelMap
from vos_ros.nodes.counters import FrameCounters
from vos_ros.nodes.diagnostics import Diagnostics
from vos_ros.nodes.governing import Governing
from vos_ros.nodes.image_input import Arrival
from vos_ros.nodes.image_input import ImageInput
from vos_ros.nodes.live_parameters import LiveParameters
from vos_ros.nodes.live_parameters import Values
from vos_ros.nodes.outputs import Outputs
from vos_ros.nodes.parameters import Table
from vos_ros.nodes.priority import set_nice
from vos_ros.nodes.run import NodeFailure
from vos_ros.nodes.supervisor import Supervisor
from vos_ros.nodes.timejump import seconds
from vos_ros.nodes.timejump import Timeline
from vos_ros.nodes.worker import Worker
from vos_ros.tracking.tracks import StepResult


class TrackerNode(Node):
    """A node with one tracker.

    One thread takes images and puts them into a slot; the worker's thread owns the tracker: it
    decodes, steps and publishes; the executor's thread has all the rest.  A subclass gives
    ``step`` and ``reset``, calls ``start()`` at the end of its constructor, and may use the hooks
    below them.
    """

    # Stages of a result whose times depend on the operating point.
    scaled_stages: frozenset[str] = frozenset()
    # Those that make a frame a heavy one, unless they run after it was published.
    heavy_stages: frozenset[str] = frozenset()
    # Parameters that, when changed, make new operating points.
    budget_parameters: tuple[str, ...] = ('latency_budget_ms', 'budget_nice',
                                         'max_frame_skip')

    def __init__(self, name: str, table: Table, **kwargs: Any) -> None:
        """Declare parameters and advertise; images are taken from ``start`` on."""
        super().__init__(name, **kwargs)
        self.counters = FrameCounters()
        self.stages = StageClock()
        self.governing = Governing(self)
        self.parameters = LiveParameters(self, table, self.check_parameters, self._on_parameters)
        if self.parameters['nice']:
            refused = set_nice(self.parameters['nice'])
            if refused:
                self.get_logger().warning(refused)
        self.outputs = Outputs(self)
        self.diagnostics = Diagnostics(self)
        # Images stamped later than now, by this node's clock; ahead_ms of the last one.
        self.ahead_in_a_row, self.ahead_ms = 0, 0.0
        self.failures_in_a_row, self.failure_why = 0, ''
        self.fatal: str | None = None
        self.input: ImageInput | None = None
        # Of the frame in work; a step may paint in it.  Worker's thread.
        self.labels = LabelMap(Header())
        self.timeline = Timeline(
            self, lambda: self.parameters['time_jump'], lambda: self.reset())
        # Services that await the worker must leave images and timers running beside them; in the
        # node's own group, which is exclusive, everything would stand still until they return.
        self.service_group = ReentrantCallbackGroup()
        # Lets the worker wake the executor: creating entities there is not allowed, this is.
        self._wake = self.create_guard_condition(
            self._on_wake, callback_group=self.service_group)
        # Started last, so that a node that cannot be made leaves no thread behind.
        self._worker: Worker[Arrival] = Worker(self._process, self._on_worker_died)
        self._supervisor = Supervisor(self)

    # Whether ``step`` takes RGB as a view of BGR with its channels reversed, which spares a copy.
    takes_reversed = False

    # What a subclass must give.

    @abstractmethod
    def step(self, frame: NDArray[np.uint8], stamp: float | None) -> StepResult:
        """Track a frame, uint8 [H, W, 3] RGB; stamp in seconds, None for a zero stamp."""

    @abstractmethod
    def reset(self) -> None:
        """End all tracks; ids go on.  On the worker's thread."""

    @abstractmethod
    def operating_points(self, values: Values) -> tuple[list[OperatingPoint], str, bool]:
        """Return what a latency budget may choose among, best first; what bounds that, in words;
        and whether the costs are milliseconds of this machine or only ratios.

        May load and time networks; on a thread of its own.
        """

    def still_meant(self, best: OperatingPoint, values: Values) -> bool:
        """Return whether the best of the points in use is what parameters ask for."""
        return True

    @abstractmethod
    def take_point(self, settings: Mapping[str, Any]) -> None:
        """Go on at an operating point, {} for the settings given.  Worker's thread; quick."""

    # What a subclass may give.

    def check_parameters(self, values: Values) -> None:
        """Raise ValueError with the reason when values do not go together.  Executor's thread."""

    def apply_parameters(self, values: Values) -> None:
        """Take new values on, between two frames.  Worker's thread."""

    def on_image(self, arrival: Arrival) -> None:
        """Look at every image that arrives, dropped or not.  On the thread that takes images."""

    def after_step(self, header: Header, frame: NDArray[np.uint8], result: StepResult) -> None:
        """Do more with a result, after it was published.  Worker's thread."""

    def before_stop(self) -> None:
        """Do what is to be done last, as saving.  Worker's thread."""

    def operating_point(self) -> str:
        """Return what the tracker runs at now, for ~/latency and /diagnostics."""
        return ''

    def status(self) -> dict[str, Any]:
        """Return more figures for /diagnostics.  Executor's thread."""
        return {}

    def trouble(self) -> str:
        """Return what is wrong beside images and computing, '' for nothing.  Executor's thread."""
        return ''

    # What a subclass may call.

    def start(self) -> None:
        """Subscribe; the tracker must be ready."""
        self.governing.prepare(self.parameters.values, wait=True)
        self.create_service(
            Trigger, '~/reset', self._on_reset, callback_group=self.service_group)
        self.timeline.listen()
        self.input = ImageInput(
            self, self.parameters['image_transport'], self.counters, self._on_arrival,
            self._on_input_died)
        self._worker.start()
        self.get_logger().info(f'waiting for images on {self.input.topic}')

    def decode(self, message: Any) -> NDArray[np.uint8]:
        """Return an image message, raw or compressed, as uint8 [H, W, 3] RGB; raise ImageError."""
        return images.decode(message, reverse=self.takes_reversed)

    def made_up(self, timings: Mapping[str, float]) -> None:
        """From ``after_step``: tell what a step left to do after publishing, ms by stage."""
        if timings:
            self._supervisor.timed({f'late_{name}': spent for name, spent in timings.items()})
            self.governing.made_up(sum(
                spent for name, spent in timings.items() if name in self.scaled_stages))

    def submit(self, job: Callable[[], Any]) -> Future:
        """Run a job on the worker's thread between two frames; await the future in a service.

        That service must be made with ``callback_group=self.service_group``.

        An exception of the job is raised by the await; when the node stops, so is RuntimeError.
        """
        return self.awaitable(self._worker.call(job))

    def submit_job(self, job: Callable[[], Any]) -> None:
        """Run a job on the worker's thread between two frames; nobody hears how it went."""
        self._worker.call(job)

    def awaitable(self, running: concurrent.futures.Future) -> Future:
        """Return what a coroutine on the executor can await of a job on any other thread."""
        future: Future = Future(executor=self.executor)

        def deliver(done: Any) -> None:
            error = RuntimeError('the node is stopping') if done.cancelled() else done.exception()
            if error is not None:
                future.set_exception(error)
                future.exception()      # else one that nobody awaits any more is told on stderr
            else:
                future.set_result(done.result())
            # What is done after the end, as a slow save, has nobody to wake.
            with contextlib.suppress(RuntimeError):
                self._wake.trigger()

        running.add_done_callback(deliver)
        return future

    def busy(self) -> tuple[str, float]:
        """Return what is in work, 'frame', 'request' or '', and for how many seconds."""
        return self._worker.busy()

    def stop(self) -> None:
        """End the threads; called once, before destroy_node."""
        if self.input is not None and not self.input.stop():
            self.get_logger().error('the thread that takes images does not end; leaving it')
        try:
            self._worker.stop(self.before_stop)
        except Exception as error:
            self.get_logger().error(f'on stopping: {error}')

    # The thread that takes images.

    def _on_arrival(self, arrival: Arrival) -> None:
        self.on_image(arrival)
        self.governing.arrived()
        if self._worker.put(arrival):
            self.counters.dropped_busy += 1

    def _on_input_died(self, error: BaseException) -> None:
        self._fail(f'the thread that takes images ended: {type(error).__name__}: {error}')

    # Executor's thread.

    def _on_parameters(self, values: Values) -> None:
        self._worker.call(lambda: self._apply(values))
        self.governing.prepare(values)

    async def _on_reset(
            self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            await self.submit(self._reset_asked)
        except Exception as error:
            response.message = str(error)
            return response
        response.success = True
        response.message = 'all tracks ended; ids go on'
        return response

    def _on_wake(self) -> None:
        if self.fatal:
            self._supervisor.report()
            raise NodeFailure(self.fatal)

    # Worker's thread.

    def _apply(self, values: Values) -> None:
        self.apply_parameters(values)
        self.governing.reapply()

    def _reset_asked(self) -> None:
        self.reset()
        self.timeline.forget()

    def _on_worker_died(self, error: BaseException) -> None:
        self._fail(f'the worker ended: {type(error).__name__}: {error}')

    def _fail(self, reason: str) -> None:
        self.fatal = reason
        self._wake.trigger()

    def _process(self, arrival: Arrival) -> None:
        begin = time.perf_counter()
        header = arrival.message.header
        if self.governing.too_late(
                (begin - arrival.arrived) * 1e3, lambda: self._age_ms(header)):
            self.counters.dropped_late += 1
            return
        self.stages.start()
        try:
            with self.stages.stage('decode'):
                frame = self.decode(arrival.message)
        except images.ImageError as error:
            self.counters.dropped_bad += 1
            self.counters.unreadable(error)
            self.get_logger().error(f'image dropped: {error}', throttle_duration_sec=2.0)
            return
        self.counters.unreadable(None)
        try:
            self.timeline.check(header)
            self.labels = LabelMap(header)
            result = self.step(frame, seconds(header) or None)
        except Exception as error:
            self.counters.dropped_failed += 1
            self._on_failure('image dropped', error)
            return
        try:
            self._publish(arrival, begin, header, frame, result)
        except Exception as error:
            # After Ctrl-C the context is gone before the worker is; that is no error.
            if self.context.ok():
                self._on_failure('image not done with', error)
            return
        self.failures_in_a_row = 0

    def _on_failure(self, what: str, error: Exception) -> None:
        self.failures_in_a_row += 1
        self.failure_why = f'{type(error).__name__}: {error}'
        limit = self.parameters['max_failures']
        self.get_logger().error(
            f'{what}, {self.failures_in_a_row} in a row: {self.failure_why}',
            throttle_duration_sec=2.0)
        if limit and self.failures_in_a_row >= limit:
            self._fail(f'{limit} images in a row failed, the last by {self.failure_why}')

    def _publish(
            self, arrival: Arrival, begin: float, header: Header, frame: NDArray[np.uint8],
            result: StepResult) -> None:
        with self.stages.stage('publish'):
            self.outputs.publish_result(self.labels, header, result)
        self.counters.processed += 1
        own = self.stages.finish()
        timings = {'receive': arrival.receive_ms, 'wait': (begin - arrival.arrived) * 1e3,
                   'decode': own['decode'], **result.timings, 'publish': own['publish']}
        step_ms, age_ms = (time.perf_counter() - begin) * 1e3, self._age_ms(header)
        self.ahead_in_a_row, self.ahead_ms = self.ahead_in_a_row + 1 if age_ms < 0 else 0, -age_ms
        pipeline_ms = age_ms if age_ms >= 0 else math.nan
        self._supervisor.timed(timings)
        point = self.operating_point()
        budget = self.governing.published(timings, step_ms, pipeline_ms, result.keyframe)
        self.outputs.publish_latency(Latency(
            header=header, stages=list(timings), stage_ms=list(timings.values()),
            pipeline_ms=pipeline_ms, step_ms=step_ms, operating_point=point,
            **budget, **self.counters.message()))
        published = time.perf_counter()
        self._supervisor.drawn(self.outputs.publish_overlay(
            header, frame, result, self.parameters['overlay_opacity'],
            self.parameters['overlay_quality']))
        self.after_step(header, frame, result)
        self.governing.done((time.perf_counter() - published) * 1e3)

    def _age_ms(self, header: Header) -> float:
        """Return the milliseconds since an image's stamp, less than 0 before it, NaN for 0."""
        if not header.stamp.sec and not header.stamp.nanosec:
            return math.nan
        stamp = header.stamp.sec * 10 ** 9 + header.stamp.nanosec
        return (self.get_clock().now().nanoseconds - stamp) / 1e6
