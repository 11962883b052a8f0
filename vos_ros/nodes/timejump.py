# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Time that goes back: a bag that starts over, a simulation that is reset."""


class TimeJump:
    """Finds the one frame at which a new timeline starts.

    Stamps decide, since they are what results are matched by.  The clock is asked only where
    stamps are zero and say nothing.
    """

    def __init__(self) -> None:
        """Start without a stamp."""
        self._last: float | None = None
        self._clock_jumped = False

    def clock_jumped(self) -> None:
        """Note that the node's clock went back."""
        self._clock_jumped = True

    def check(self, stamp: float, threshold: float) -> str:
        """Return what happened when a frame starts a new timeline, '' else.

        stamp: seconds, 0 when there is none.  threshold: steps back up to this many seconds are
        images out of order.
        """
        jumped, self._clock_jumped = self._clock_jumped, False
        last, self._last = self._last, stamp
        if not stamp:
            return 'the clock went back' if jumped and last == 0.0 else ''
        if last is not None and last - stamp > threshold:
            return f'stamps went back by {last - stamp:.3f} s'
        # One image out of order must not make the next one look like a jump forth and back.
        if last is not None:
            self._last = max(last, stamp)
        return ''
