# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The video source node: a file, a folder, a webcam, a bag or a pattern as a camera."""

from collections.abc import Iterator
from collections.abc import Sequence
import sys
import threading
import time
from typing import Any

from builtin_interfaces.msg import Time
import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Empty
from std_msgs.msg import Header

from vos_ros.msg import Latency
from vos_ros.nodes import images
from vos_ros.nodes.live_parameters import LiveParameters
from vos_ros.nodes.overridable import overridable
from vos_ros.nodes.run import NodeDone
from vos_ros.nodes.run import NodeFailure
from vos_ros.nodes.run import run
from vos_ros.nodes.sources import open_source
from vos_ros.nodes.sources import SourceFrame
from vos_ros.nodes.tables import VIDEO_SOURCE

_DEPTH = 5          # images that wait for a slow reader
# How long the latched end is kept alive for whoever has not heard it yet, seconds.
_LINGER = 1.0
# From a match until images really arrive, seconds; LARGE_DATA opens TCP connections in that time.
_SETTLE = 1.0


class VideoSourceNode(Node):
    """Publishes frames on its own thread, by the clock or as they are consumed."""

    def __init__(self) -> None:
        """Open the source; raise ValueError or OSError that names what is wrong with it."""
        super().__init__('video_source')
        self.parameters = LiveParameters(
            self, VIDEO_SOURCE, lambda values: None, lambda values: None)
        value = self.parameters
        self._source = open_source(
            value['source'], width=value['width'], height=value['height'],
            bag_topic=value['bag_topic'])
        self._rate = value['rate'] or self._source.rate
        with overridable(self, 'image') as options:
            self._images = self.create_publisher(
                Image, 'image', QoSProfile(depth=_DEPTH), qos_overriding_options=options)
        self._infos = self.create_publisher(CameraInfo, 'camera_info', QoSProfile(depth=_DEPTH))
        self._compressed: Any = None
        if value['compressed']:
            # Beside the images wherever these are remapped to, where subscribers look for it.
            topic = self.resolve_topic_name('image') + '/compressed'
            with overridable(self, topic) as options:
                self._compressed = self.create_publisher(
                    CompressedImage, topic, QoSProfile(depth=_DEPTH),
                    qos_overriding_options=options)
        self._finished = self.create_publisher(
            Empty, '~/finished',
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self._condition = threading.Condition()
        self._consumed: tuple[int, int] | None = None
        if value['lockstep'] != 'off':
            kind = Latency if value['lockstep'] == 'latency' else Header
            self.create_subscription(kind, 'consumed', self._on_consumed, QoSProfile(depth=10))
        self._stopping = threading.Event()
        self._failure: str | None = None
        self._done = False
        self._published = 0
        self._wake = self.create_guard_condition(self._on_wake)
        self._thread = threading.Thread(target=self._run, name='source', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        with self._condition:
            self._condition.notify()
        self._thread.join(10.0)

    def _on_wake(self) -> None:
        if self._failure:
            raise NodeFailure(self._failure)
        if self._done:
            raise NodeDone

    def _on_consumed(self, message: Latency | Header) -> None:
        header = message.header if isinstance(message, Latency) else message
        with self._condition:
            self._consumed = (header.stamp.sec, header.stamp.nanosec)
            self._condition.notify()

    # The rest runs on the source's thread.

    def _run(self) -> None:
        try:
            self._wait_for_subscribers()
            begin = time.monotonic()
            for frame in self._frames():
                if self._stopping.is_set() or not self.context.ok():
                    return
                self._publish(frame)
                if self.parameters['lockstep'] == 'off' and (
                        self.parameters['rate'] or not self._source.live):
                    due = begin + self._published / self._rate
                    self._stopping.wait(max(0.0, due - time.monotonic()))
            seconds = time.monotonic() - begin
            self.get_logger().info(
                f'end: {self._published} images in {seconds:.1f} s '
                f'({self._published / max(seconds, 1e-9):.1f} per second)')
            self._finished.publish(Empty())
            self._stopping.wait(_LINGER)
            self._done = True
        except Exception as error:
            if self._stopping.is_set() or not self.context.ok():
                return
            self._failure = f'{error}' if isinstance(error, (ValueError, OSError)) \
                else f'{type(error).__name__}: {error}'
        self._wake.trigger()

    def _wait_for_subscribers(self) -> None:
        wanted = self.parameters['min_subscribers']
        name = self.resolve_topic_name('image')
        told = time.monotonic() + 2.0
        while not self._stopping.is_set() and self.context.ok():
            count = self._images.get_subscription_count()
            if self._compressed is not None:
                count += self._compressed.get_subscription_count()
            heard = self.parameters['lockstep'] == 'off' \
                or self.count_publishers(self.resolve_topic_name('consumed'))
            if count >= wanted and heard:
                # A match is seen here before the other side can receive.
                self._stopping.wait(_SETTLE if wanted else 0.0)
                return
            if time.monotonic() > told:
                told = float('inf')
                self.get_logger().info(
                    f'waiting: {count} of {wanted} subscribers on {name}'
                    + ('' if heard else ', nobody publishes on '
                       + self.resolve_topic_name('consumed')))
            self._stopping.wait(0.05)

    def _frames(self) -> Iterator[SourceFrame]:
        limit = self.parameters['max_frames']
        count = 0
        while True:
            for frame in self._source:
                yield frame
                count += 1
                if limit and count >= limit:
                    return
            if not self.parameters['loop']:
                return
            self.get_logger().info('starting over')

    def _publish(self, frame: SourceFrame) -> None:
        picture = self._scaled(frame.image)
        header = Header(frame_id=self.parameters['frame_id'])
        encoding = self.parameters['encoding']
        message = images.fill(
            Image(header=header),
            picture if encoding == 'bgr8' else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), encoding)
        packed = None
        if self._compressed is not None:
            packed = images.to_compressed(
                CompressedImage(), picture, self.parameters['jpeg_quality'], bgr=True)
        # The last thing before publishing, so that latency is measured from there.
        header.stamp = self.get_clock().now().to_msg() if self.parameters['stamps'] == 'now' \
            else _stamp(frame)
        message.header = header
        with self._condition:
            # The one before may have had the same stamp.
            self._consumed = None
        self._images.publish(message)
        # Width and height only: K = 0 says that the camera is not calibrated.
        self._infos.publish(CameraInfo(
            header=header, height=picture.shape[0], width=picture.shape[1]))
        if packed is not None and self._compressed is not None:
            packed.header = header
            self._compressed.publish(packed)
        self._published += 1
        if self.parameters['lockstep'] != 'off':
            self._wait_until_consumed(header)

    def _wait_until_consumed(self, header: Header) -> None:
        wanted = (header.stamp.sec, header.stamp.nanosec)
        timeout = self.parameters['lockstep_timeout']
        with self._condition:
            there = self._condition.wait_for(
                lambda: self._consumed == wanted or self._stopping.is_set(), timeout)
        if not there:
            self.get_logger().warning(
                f'image {self._published} was not consumed in {timeout:g} s; going on')

    def _scaled(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        width = self.parameters['width']
        if not width or image.shape[1] == width:
            return image
        height = max(1, round(image.shape[0] * width / image.shape[1]))
        shrinks = width < image.shape[1]
        return cv2.resize(  # type: ignore[return-value]  # uint8 in, uint8 out
            image, (width, height),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _stamp(frame: SourceFrame) -> Time:
    exact = round(frame.seconds * 1e9) if frame.nanoseconds is None else frame.nanoseconds
    # Never 0, which would mean 'no stamp'.
    nanoseconds = max(1, exact)
    return Time(sec=nanoseconds // 10 ** 9, nanosec=nanoseconds % 10 ** 9)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run(VideoSourceNode, args)


if __name__ == '__main__':
    sys.exit(main())
