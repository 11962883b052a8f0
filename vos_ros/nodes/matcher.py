# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Messages of several topics brought together by their stamp."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any


class StampMatcher:
    """Collects one message of each topic for each stamp; exact stamps only.

    Results carry the stamp of their image, so equality is enough.  Each topic's messages come in
    order: what began before a set that is complete never will be, and leaves.  By the order in
    which they came, not by value, so a bag that starts over does not starve it; a message whose
    stamp and topic are there already begins a set anew.

    topics: names of what makes a set complete.  capacity: most incomplete sets that are kept.
    evicted: how many incomplete sets had to leave so far.
    """

    def __init__(self, topics: Sequence[str], capacity: int = 64) -> None:
        """Start empty."""
        self._topics = frozenset(topics)
        self._capacity = capacity
        self._sets: OrderedDict[int, dict[str, Any]] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        """Return the number of incomplete sets."""
        return len(self._sets)

    def add(self, topic: str, stamp: int, message: Any) -> dict[str, Any] | None:
        """Put a message with its stamp in nanoseconds; return the set by topic when complete.

        Raises KeyError for a topic that was not named.
        """
        if topic not in self._topics:
            raise KeyError(topic)
        if topic in self._sets.get(stamp, {}):
            del self._sets[stamp]
            self.evicted += 1
        group = self._sets.setdefault(stamp, {})
        group[topic] = message
        if group.keys() == self._topics:
            while self._sets.popitem(last=False)[0] != stamp:
                self.evicted += 1
            return group
        while len(self._sets) > self._capacity:
            self._sets.popitem(last=False)
            self.evicted += 1
        return None
