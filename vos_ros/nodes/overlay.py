# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The overlay node: images, labels and tracks of one stamp into a video and a contact sheet."""

from collections.abc import Sequence
from functools import partial
import json
import sys
import time
from typing import Any

from rclpy.clock import Clock
from rclpy.clock import ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Empty
from std_msgs.msg import Header

from vos_ros.msg import Latency
from vos_ros.msg import TrackArray
from vos_ros.nodes import images
from vos_ros.nodes import messages
from vos_ros.nodes import recorder
from vos_ros.nodes.live_parameters import LiveParameters
from vos_ros.nodes.matcher import StampMatcher
from vos_ros.nodes.overridable import overridable
from vos_ros.nodes.run import NodeDone
from vos_ros.nodes.run import run
from vos_ros.nodes.tables import OVERLAY
from vos_ros.tracking.drawing import draw_tracks

_DEPTH = 30
# Images wait for their results, as long as a slow tracker may be behind.
_WAITING_BYTES = 512 * 2 ** 20
_WAITING_SECONDS = 60.0
# A message or a track without its pixels is about this large as a Python object.
_OBJECT_BYTES = 1000
# After the end of the source, results that come within this many seconds of each other count.
_SETTLE = 1.5
# Seconds without a picture after which the log says what is missing.
_PATIENCE = 5.0


class OverlayNode(Node):
    """Draws and writes every image for which labels and tracks came; see docs/topics.md."""

    def __init__(self) -> None:
        """Subscribe."""
        super().__init__('overlay')
        self.parameters = LiveParameters(
            self, OVERLAY, lambda values: None, lambda values: None)
        value = self.parameters
        self._recorder = recorder.Recorder(
            value['output'], value['contact_sheet'], value['fps'])
        self._matcher = StampMatcher(
            ('image', 'labels', 'tracks'), _WAITING_BYTES, _WAITING_SECONDS)
        self._inputs: dict[str, tuple[str, str]] = {}       # topic and type by key
        self._came: dict[str, float] = {}
        self._missing = ''
        self._late_told = False
        self._latency: Latency | None = None
        self._images_in = 0
        self._refused = 0
        self._finished = False
        self._last = self._drawn = self._matched = time.monotonic()
        self._told = 0
        self._stopped = False
        compressed = value['image_transport'] == 'compressed'
        name = self.resolve_topic_name('image') + ('/compressed' if compressed else '')
        for kind, topic, key, reliability in (
                (CompressedImage if compressed else Image, name, 'image',
                 ReliabilityPolicy.BEST_EFFORT),
                (Image, 'labels', 'labels', ReliabilityPolicy.RELIABLE),
                (TrackArray, 'tracks', 'tracks', ReliabilityPolicy.RELIABLE)):
            with overridable(self, topic) as options:
                self.create_subscription(
                    kind, topic, partial(self._on_message, key),
                    QoSProfile(depth=_DEPTH, reliability=reliability),
                    qos_overriding_options=options)
            self._inputs[key] = (self.resolve_topic_name(topic),
                                 f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}')
        self.create_subscription(
            Latency, 'latency', self._on_latency, QoSProfile(depth=_DEPTH))
        self.create_subscription(
            Empty, 'finished', self._on_finished,
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        # By the wall: simulated time may end before the last picture is written.
        wall = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.25, self._on_timer, clock=wall)
        self.create_timer(2.0, self._tell, clock=wall)
        # Last: whoever sees it finds the node ready.
        self._written = self.create_publisher(Header, '~/written', QoSProfile(depth=10))

    def stop(self) -> None:
        """Write the files and print the summary, whatever ended the node."""
        if self._stopped:
            return
        self._stopped = True
        try:
            self._recorder.close()
        except (OSError, ValueError) as error:
            self.get_logger().error(f'not written: {error}')
        summary = self.summary()
        print(recorder.table(summary), flush=True)
        print(json.dumps(summary), flush=True)
        if self.parameters['summary']:
            try:
                recorder.write_json(self.parameters['summary'], summary)
            except OSError as error:
                self.get_logger().error(f'summary not written: {error}')

    def summary(self) -> dict[str, Any]:
        """Return counts of frames, tracks, and the times of the tracker's stages."""
        result: dict[str, Any] = {'images_in': self._images_in}
        if self._latency is not None:
            for name in ('frames_in', 'frames_processed', 'dropped_busy', 'dropped_bad',
                         'lost_transport', 'operating_point'):
                result[name] = getattr(self._latency, name)
        result['not_matched'] = self._matcher.evicted + len(self._matcher)
        result['not_drawn'] = self._refused
        return {**result, **self._recorder.summary()}

    def _on_message(self, key: str, message: Any) -> None:
        self._last = self._came[key] = time.monotonic()
        if key == 'image':
            self._images_in += 1
        stamp = message.header.stamp
        size = _OBJECT_BYTES + (_OBJECT_BYTES * len(message.tracks) if key == 'tracks'
                                else len(message.data))
        complete = self._matcher.add(key, stamp.sec * 10 ** 9 + stamp.nanosec, message, size)
        if complete is None:
            return
        self._matched = time.monotonic()
        rows = messages.tracks_of(complete['tracks'])
        try:
            picture = draw_tracks(images.decode(complete['image']),
                                  images.to_labels(complete['labels']), rows,
                                  self.parameters['opacity'])
        except ValueError as error:
            self._refused += 1
            self.get_logger().error(f'not drawn: {error}', throttle_duration_sec=2.0)
        else:
            self._drawn = time.monotonic()
            try:
                self._recorder.add(picture, stamp.sec + stamp.nanosec / 1e9, rows)
            except (OSError, ValueError) as error:
                self.get_logger().error(f'not recorded: {error}')
        self._written.publish(message.header)

    def _on_latency(self, message: Latency) -> None:
        self._latency = message
        self._recorder.timed({
            **dict(zip(message.stages, message.stage_ms, strict=False)),
            'step': message.step_ms, 'pipeline': message.pipeline_ms})

    def _on_finished(self, _message: Empty) -> None:
        self._finished = True

    def _on_timer(self) -> None:
        idle = time.monotonic() - self._last
        limit = self.parameters['idle_exit']
        if (self._finished and idle > _SETTLE) \
                or (limit and self._recorder.written and time.monotonic() - self._drawn > limit):
            raise NodeDone

    def _tell(self) -> None:
        if self._recorder.written != self._told:
            self._told = self._recorder.written
            ended = '' if self._recorder.recording or not self.parameters['output'] \
                else ', but no longer into the video'
            self.get_logger().info(f'{self._told} pictures written{ended}')
        if self._matcher.late and not self._late_told:
            self._late_told = True
            self.get_logger().warning(
                f'results came for images that are kept no longer: at most '
                f'{_WAITING_BYTES // 2 ** 20} MiB of images wait for {_WAITING_SECONDS:.0f} s; '
                'smaller or fewer images, or compressed ones, wait longer')
        missing = self._what_is_missing()
        if missing != self._missing:
            self._missing = missing
            if missing:
                self.get_logger().warning(f'no picture for {_PATIENCE:.0f} s: {missing}')

    def _what_is_missing(self) -> str:
        """Return why no picture has come for some seconds, '' where one has."""
        since = time.monotonic() - _PATIENCE
        if self._finished or self._matched > since:
            return ''
        silent = [key for key in self._inputs if self._came.get(key, 0.0) <= since]
        return '; '.join(f'no {key} on {self._why(*self._inputs[key])}' for key in silent) \
            or 'image, labels and tracks come, but no three of one stamp'

    def _why(self, topic: str, type_name: str) -> str:
        types = {entry.topic_type for entry in self.get_publishers_info_by_topic(topic)}
        if not types:
            return f'{topic} ({type_name}), which has no publisher'
        if type_name not in types:
            return f'{topic}, published as {", ".join(sorted(types))}, not as {type_name}'
        return f'{topic}, which has a publisher'


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run(OverlayNode, args)


if __name__ == '__main__':
    sys.exit(main())
