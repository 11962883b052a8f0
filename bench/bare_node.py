#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The least that a node of rclpy costs which takes an image and gives a label map of its size.

It takes the image as the bytes that rclpy gives, looks at nothing in them but header and size,
and publishes the bytes of a label map made beforehand, all in one callback, with the memory
settings of our nodes.  ros_overhead.py measures it beside the instance tracker, whose names it
takes: ~/labels and ~/latency, frames_in in /diagnostics.
"""

import sys
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos import ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from vos_ros.msg import Latency

from vos_ros.nodes import cdr
from vos_ros.nodes import images
from vos_ros.runtime.heap import keep_large_blocks


class BareNode(Node):
    """Answers each image with the same label map under the image's stamp."""

    def __init__(self) -> None:
        """Subscribe and advertise."""
        super().__init__('instance_tracker')
        self._frames_in = 0
        self._labels: dict[tuple[int, int], bytes] = {}
        self._read = cdr.ImageReader()
        self._publisher = self.create_publisher(Image, '~/labels', QoSProfile(depth=5))
        self._latency = self.create_publisher(Latency, '~/latency', QoSProfile(depth=5))
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_timer(1.0, self._report)
        self.create_subscription(
            Image, 'image', self._on_image,
            QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT), raw=True)

    def _on_image(self, data: bytes, info: Any) -> None:
        self._frames_in += 1
        image = self._read(data)
        receive_ms = (time.time_ns() - info['received_timestamp']) / 1e6
        begin = time.perf_counter()
        size = image.height, image.width
        if size not in self._labels:
            self._labels[size] = serialize_message(
                images.fill(Image(), np.ones(size, np.uint16), 'mono16'))
        self._publisher.publish(self._labels[size])
        step_ms = (time.perf_counter() - begin) * 1e3
        stamp = image.header.stamp
        age = (self.get_clock().now().nanoseconds - stamp.sec * 10**9 - stamp.nanosec) / 1e6
        self._latency.publish(Latency(
            header=image.header, stages=['receive', 'wait', 'network', 'publish'],
            stage_ms=[receive_ms, 0.0, 0.0, step_ms], step_ms=step_ms, pipeline_ms=age))

    def _report(self) -> None:
        self._diagnostics.publish(DiagnosticArray(status=[DiagnosticStatus(
            name='bare', values=[KeyValue(key='frames_in', value=str(self._frames_in))])]))


def main() -> int:
    """Run the node until it is interrupted."""
    keep_large_blocks()
    rclpy.init()
    try:
        rclpy.spin(BareNode())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    return 0


if __name__ == '__main__':
    sys.exit(main())
