# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a tracker node publishes for a frame; nothing is built that nobody subscribes."""

from collections.abc import Sequence
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from vos_ros.msg import Latency
from vos_ros.msg import TrackArray
from vos_ros.nodes import cdr
from vos_ros.nodes import images
from vos_ros.nodes import messages
from vos_ros.nodes.overridable import overridable
from vos_ros.runtime.letterbox import ordered
from vos_ros.tracking.drawing import draw_tracks
from vos_ros.tracking.tracks import StepResult

# A subscriber may fall behind by so many frames before it loses one.
_DEPTH = 5


class Outputs:
    """The publishers of a tracker node; what says nothing else may run on the worker's thread."""

    def __init__(self, node: Node) -> None:
        """Advertise everything; raise ValueError for qos_overrides that cannot be."""
        self._node = node
        self._labels = self._publisher(Image, '~/labels')
        self._tracks = self._publisher(TrackArray, '~/tracks')
        self._latency = self._publisher(Latency, '~/latency')
        self._overlay = self._publisher(Image, '~/overlay')
        self._overlay_compressed = self._publisher(CompressedImage, '~/overlay/compressed')
        self._detections = None
        if messages.HAS_VISION_MSGS:
            self._detections = self._publisher(messages.Detection2DArray, '~/detections')

    def publish_classes(self, classes: Sequence[str], threshold: float) -> None:
        """Advertise and publish the latched class names, where vision_msgs is installed.

        Executor's thread, once: a topic that nothing ever comes on would be waited for in vain.
        """
        if messages.HAS_VISION_MSGS:
            self._label_info = self._node.create_publisher(
                messages.LabelInfo, '~/label_info',
                QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL))
            header = Header(stamp=self._node.get_clock().now().to_msg())
            self._label_info.publish(messages.label_info(header, classes, threshold))

    def publish_result(self, labels: cdr.LabelMap, header: Header, result: StepResult) -> None:
        """Publish labels, tracks and detections under the image's own header.

        labels: the message that the label map was perhaps painted in.
        The largest first: the subscriber that it wakes may run on this core, and what was still
        to be published would wait for it.
        """
        if self._labels.get_subscription_count():
            self._labels.publish(labels.serialised(result.label_map))
        if self._tracks.get_subscription_count():
            self._tracks.publish(cdr.track_array(header, result))
        if self._detections is not None and self._detections.get_subscription_count():
            self._detections.publish(messages.detection_array(header, result.tracks))

    def publish_latency(self, message: Latency) -> None:
        """Publish where the time of a frame went."""
        if self._latency.get_subscription_count():
            self._latency.publish(message)

    def publish_overlay(
            self, header: Header, frame: NDArray[np.uint8], result: StepResult, opacity: float,
            quality: int) -> float:
        """Draw and publish the overlay if someone subscribes; return the milliseconds it took."""
        raw = self._overlay.get_subscription_count()
        compressed = self._overlay_compressed.get_subscription_count()
        if not raw and not compressed:
            return 0.0
        begin = time.perf_counter()
        picture = draw_tracks(ordered(frame), result.label_map, result.tracks, opacity)
        if raw:
            self._overlay.publish(images.fill(Image(header=header), picture, 'rgb8'))
        if compressed:
            self._overlay_compressed.publish(
                images.to_compressed(CompressedImage(header=header), picture, quality))
        return (time.perf_counter() - begin) * 1e3

    def _publisher(self, kind: Any, topic: str) -> Any:
        with overridable(self._node, topic) as options:
            return self._node.create_publisher(
                kind, topic, QoSProfile(depth=_DEPTH), qos_overriding_options=options)
