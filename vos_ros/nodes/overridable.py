# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Publishers and subscriptions whose QoS a user may override."""

from collections.abc import Iterator
from contextlib import contextmanager

from rclpy.node import Node
from rclpy.qos_overriding_options import QoSOverridingOptions


@contextmanager
def overridable(node: Node, topic: str) -> Iterator[QoSOverridingOptions]:
    """Give the options to make a publisher or subscription of a topic with, in this context.

    Raises ValueError that names the topic when what qos_overrides parameters ask for cannot be.
    """
    try:
        yield QoSOverridingOptions.with_default_policies()
    except RuntimeError as error:   # RCLError is one
        # After Ctrl-C the context is gone, and no parameter is to blame.
        if not node.context.ok():
            raise
        raise ValueError(f'{node.resolve_topic_name(topic)} cannot be had with its qos_overrides: '
                         f'{error}') from error
