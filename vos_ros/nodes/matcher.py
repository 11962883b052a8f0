# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Messages of several topics brought together by their stamp."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import time
from typing import Any

# Stamps of so many sets that had to leave are known, which tells what comes for them too late.
_KNOWN = 1000


@dataclass
class _Group:
    """An incomplete set.  begun: time.monotonic() of its first message.  size: bytes."""

    begun: float
    size: int = 0
    messages: dict[str, Any] = field(default_factory=dict)


class StampMatcher:
    """Collects one message of each topic for each stamp; exact stamps only.

    Results carry the stamp of their image, so equality is enough.  Each topic's messages come in
    order: what began before a set that is complete never will be, and leaves.  By the order in
    which they came, not by value, so a bag that starts over does not starve it; a message whose
    stamp and topic are there already begins a set anew.

    topics: names of what makes a set complete; the others are results of the first.
    bytes, seconds: bounds of the incomplete sets that are kept; the newest one always is.
    evicted: how many incomplete sets had to leave so far.
    late: how many results came for what the bounds had made leave.
    """

    def __init__(self, topics: Sequence[str], bytes: int, seconds: float) -> None:
        """Start empty."""
        self._topics = frozenset(topics)
        self._first = topics[0]
        self._bytes = bytes
        self._seconds = seconds
        self._sets: OrderedDict[int, _Group] = OrderedDict()
        self._held = 0
        self._gone: OrderedDict[int, None] = OrderedDict()
        self.evicted = self.late = 0

    def __len__(self) -> int:
        """Return the number of incomplete sets."""
        return len(self._sets)

    def add(self, topic: str, stamp: int, message: Any, size: int) -> dict[str, Any] | None:
        """Put a message with its stamp in nanoseconds; return the set by topic when complete.

        size: bytes of the message.  Raises KeyError for a topic that was not named.
        """
        if topic not in self._topics:
            raise KeyError(topic)
        if topic == self._first:
            self._gone.pop(stamp, None)
        elif stamp in self._gone:
            self.late += 1
            return None
        if stamp in self._sets and topic in self._sets[stamp].messages:
            self._held -= self._sets.pop(stamp).size
            self.evicted += 1
        group = self._sets.setdefault(stamp, _Group(time.monotonic()))
        group.messages[topic] = message
        group.size += size
        self._held += size
        if group.messages.keys() == self._topics:
            while self._pop()[0] != stamp:
                self.evicted += 1
            return group.messages
        oldest = time.monotonic() - self._seconds
        while len(self._sets) > 1 and (
                self._held > self._bytes or next(iter(self._sets.values())).begun < oldest):
            left, old = self._pop()
            self.evicted += 1
            if self._first in old.messages:
                self._gone[left] = None
                if len(self._gone) > _KNOWN:
                    self._gone.popitem(last=False)
        return None

    def _pop(self) -> tuple[int, _Group]:
        stamp, group = self._sets.popitem(last=False)
        self._held -= group.size
        return stamp, group
