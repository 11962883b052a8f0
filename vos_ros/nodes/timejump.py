# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Time that goes back: a bag that starts over, a simulation that is reset."""

from collections.abc import Callable

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node
from std_msgs.msg import Header

# Seconds ahead after which a stamp may be a driver's mistake.
_LEAP = 10.0


class TimeJump:
    """Finds the one frame at which a new timeline starts.

    Stamps decide, since they are what results are matched by.  The clock is asked only where
    stamps are zero and say nothing.
    """

    def __init__(self) -> None:
        """Start without a stamp."""
        self._last: float | None = None
        # The stamp before one that leapt ahead, as long as that one is the only one there.
        self._left: float | None = None
        self._clock_jumped = False

    def clock_jumped(self) -> None:
        """Note that the node's clock went back."""
        self._clock_jumped = True

    def check(self, stamp: float, threshold: float) -> str:
        """Return what happened when a frame starts a new timeline, '' else.

        stamp: seconds, 0 when there is none.  threshold: steps back up to this many seconds are
        images out of order.

        One image whose stamp leaps ahead is no timeline: the next one may go on where that left.
        """
        jumped, self._clock_jumped = self._clock_jumped, False
        if not stamp:
            last, self._last, self._left = self._last, stamp, None
            return 'the clock went back' if jumped and last == 0.0 else ''
        return self._went(stamp, threshold)

    def _went(self, stamp: float, threshold: float) -> str:
        last, left = self._last, self._left
        self._last, self._left = stamp, None
        if last is None:
            return ''
        if last - stamp > threshold:
            if left is not None and stamp > left:
                return ''
            return f'stamps went back by {last - stamp:.3f} s'
        if last and stamp - last > _LEAP:
            self._left = last
        # One image out of order must not make the next one look like a jump forth and back.
        self._last = max(last, stamp)
        return ''

    def ahead(self, stamp: float, threshold: float) -> str:
        """Return the same of a frame whose turn is still to come.

        What it says is kept only when it starts a new timeline, which is then not started again.
        """
        if not stamp or self._last is None or self._last - stamp <= threshold:
            return ''
        return self._went(stamp, threshold)

    def forget(self) -> None:
        """Take the next frame for the first: what is followed now may go on in any timeline."""
        self._last = self._left = None
        self._clock_jumped = False


class Timeline:
    """Ends all tracks of a node where a new timeline starts.  Used on the worker's thread."""

    def __init__(self, node: Node, threshold: Callable[[], float],
                 end: Callable[[], None]) -> None:
        """Take what ends all tracks.  threshold: see `TimeJump.check`."""
        self._node, self._threshold, self._end = node, threshold, end
        self._jump = TimeJump()

    def listen(self) -> None:
        """Hear of jumps of the node's clock."""
        # Kept: the clock calls it by a pointer that keeps nothing alive.
        self._handle = self._node.get_clock().create_jump_callback(
            JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1)),
            post_callback=lambda jump: self._jump.clock_jumped())

    def check(self, header: Header) -> None:
        """Look at a frame whose turn it is."""
        self._told(self._jump.check(seconds(header), self._threshold()))

    def ahead(self, header: Header) -> None:
        """Look at a frame that is used before its turn."""
        self._told(self._jump.ahead(seconds(header), self._threshold()))

    def before(self, one: Header, other: Header) -> bool:
        """Return whether a frame is of an earlier timeline than one that came after it."""
        return bool(seconds(other)) and seconds(one) - seconds(other) > self._threshold()

    def forget(self) -> None:
        """Take the next frame for the first one."""
        self._jump.forget()

    def _told(self, jump: str) -> None:
        if jump:
            self._node.get_logger().warning(f'{jump}: all tracks ended, new ids from here')
            self._end()


def seconds(header: Header) -> float:
    """Return a header's stamp as seconds."""
    return header.stamp.sec + header.stamp.nanosec * 1e-9
