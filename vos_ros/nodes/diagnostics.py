# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""diagnostic_msgs on /diagnostics; diagnostic_updater is not everywhere, and this is enough."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_msgs.msg import KeyValue
from rclpy.node import Node

OK = DiagnosticStatus.OK
WARN = DiagnosticStatus.WARN
ERROR = DiagnosticStatus.ERROR


@dataclass(frozen=True)
class Status:
    """One line of /diagnostics: level (OK, WARN, ERROR), what, and figures beside it."""

    name: str
    level: bytes
    text: str
    values: Mapping[str, Any] = field(default_factory=dict)


class Diagnostics:
    """Publishes a node's statuses, each named 'node: name'."""

    def __init__(self, node: Node) -> None:
        """Advertise /diagnostics."""
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', 10)

    def publish(self, *statuses: Status) -> None:
        """Publish the statuses with the node's time."""
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        prefix = self._node.get_fully_qualified_name().lstrip('/')
        message.status = [
            DiagnosticStatus(
                level=status.level, name=f'{prefix}: {status.name}', message=status.text,
                values=[KeyValue(key=key, value=str(value))
                        for key, value in status.values.items()])
            for status in statuses]
        self._publisher.publish(message)
