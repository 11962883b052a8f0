# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The messages of one subscription, taken on a thread of its own.

rclpy's executor makes a wait set of everything that a node has for each message, and a task for
its callback: a quarter of a millisecond of Python on a fast core, before the message is looked at.
A wait set of the subscription alone is made once.
"""

from collections.abc import Callable
import threading
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.guard_condition import GuardCondition
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # before Iron
    from rclpy.qos_event import SubscriptionEventCallbacks  # type: ignore[assignment]

# Nanoseconds after which the thread looks without having been woken: should the middleware's
# condition ever be reset by another thread, an image is late by so much and not lost.
_LOOK_ANYWAY = 20_000_000


class Aside(CallbackGroup):
    """The group of what no executor may execute."""

    def can_execute(self, entity: Any) -> bool:
        """Say no."""
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Say no."""
        return False

    def ending_execution(self, entity: Any) -> None:
        """Do nothing: nothing was begun."""


def no_events() -> SubscriptionEventCallbacks:
    """Return the event callbacks of a subscription for a Taker: none, not even the usual ones."""
    return SubscriptionEventCallbacks(use_default_callbacks=False)


class Taker:
    """Takes what comes in and hands it to a function, until it is stopped.

    subscription: made by ``node`` with ``event_callbacks=no_events()``: an executor that waits for
        its events waits on the same condition of the middleware and, waking first, resets it, so
        that images were noticed late or never.  Executors leave it alone from here on.
    received: called with a message and what the middleware says of it, a dict, on this thread.
    died: called with the exception that ended the thread, if one did.
    """

    def __init__(
            self, node: Node, subscription: Any, received: Callable[[Any, Any], None],
            died: Callable[[BaseException], None]) -> None:
        """Start the thread; raise ValueError for a subscription with events."""
        if subscription.event_handlers:
            raise ValueError(f'the subscription of {subscription.topic_name} has events')
        self._context = node.context
        self._subscription = subscription
        self._received = received
        self._died = died
        self._stopping = False
        subscription.callback_group = Aside()
        self._wake = GuardCondition(None, None, context=node.context)
        self._thread = threading.Thread(target=self._run, name='images', daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> bool:
        """End the thread; return False when it did not end.  Before the node is destroyed."""
        self._stopping = True
        self._wake.trigger()
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        self._wake.destroy()
        return True

    def _run(self) -> None:
        try:
            self._take_all()
        except BaseException as error:
            # After Ctrl-C the context is gone before this thread is; that is no error.
            if self._context.ok() and not self._stopping:
                self._died(error)

    def _take_all(self) -> None:
        subscription, wake = self._subscription.handle, self._wake.handle
        kind = self._subscription.msg_type
        context: Any = self._context.handle
        with subscription, wake, context:
            wait_set = rclpy_implementation.WaitSet(1, 1, 0, 0, 0, 0, context)
            while not self._stopping:
                wait_set.clear_entities()
                wait_set.add_subscription(subscription)
                wait_set.add_guard_condition(wake)
                wait_set.wait(_LOOK_ANYWAY)
                # Taking from an empty subscription gives None.
                while not self._stopping and (
                        taken := subscription.take_message(kind, True)) is not None:
                    self._received(*taken)
                    # It must not live on while the thread waits for the next one.
                    del taken
