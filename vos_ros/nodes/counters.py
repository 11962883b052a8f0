# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What became of every image, by cause."""

from dataclasses import dataclass


@dataclass
class FrameCounters:
    """Counts since the node started; each field but the unreadable ones has one writing thread.

    frames_in = processed + dropped_busy + dropped_late + bad + dropped_failed + those still under
    way.
    dropped_garbled: messages that are no image message at all; dropped_bad: images that cannot be
    read, as of an unknown encoding.
    lost_transport counts images that were published and never arrived, which are not in
    frames_in.
    unreadable_in_a_row: images, garbled ones too, that could not be read since the last one that
    could; unreadable_why: what was wrong with the last of them.
    """

    frames_in: int = 0
    processed: int = 0
    dropped_busy: int = 0
    dropped_late: int = 0
    dropped_garbled: int = 0
    dropped_bad: int = 0
    dropped_failed: int = 0
    lost_transport: int = 0
    unreadable_in_a_row: int = 0
    unreadable_why: str = ''

    def unreadable(self, error: Exception | None) -> None:
        """Note that an image could not be read, None that one could.  Any thread."""
        if error is None:
            self.unreadable_in_a_row = 0
        else:
            self.unreadable_why = str(error)
            self.unreadable_in_a_row += 1

    def message(self) -> dict[str, int]:
        """Return the fields of ~/latency."""
        return {'frames_in': self.frames_in, 'frames_processed': self.processed,
                'dropped_busy': self.dropped_busy, 'dropped_late': self.dropped_late,
                'dropped_bad': self.bad + self.dropped_failed,
                'lost_transport': self.lost_transport}

    @property
    def bad(self) -> int:
        """Return how many messages held no readable image."""
        return self.dropped_garbled + self.dropped_bad


class SequenceGaps:
    """Counts lost messages by the gaps in a publisher's sequence numbers.

    The middleware numbers the messages of each publisher.  The number alone does not tell
    publishers apart, so a step back or a leap starts the count anew instead of inventing losses.
    """

    # More than half a minute of video in one gap is a restart, not a loss.
    LEAP = 1000
    _UNSUPPORTED = 2 ** 64 - 1

    def __init__(self) -> None:
        """Start without a publisher."""
        self._last: int | None = None

    def missed(self, number: int | None) -> int:
        """Return how many messages are missing just before this one."""
        if number is None or number == self._UNSUPPORTED:
            return 0
        last, self._last = self._last, number
        if last is None or not last < number <= last + self.LEAP:
            return 0
        return number - last - 1

    def restart(self) -> None:
        """Forget the last number: another publisher came or went."""
        self._last = None
