# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The most recent messages by their stamp, bounded in number, in time and in bytes."""

from collections import deque
import threading
from typing import Generic
from typing import TypeVar

Item = TypeVar('Item')


class StampRing(Generic[Item]):
    """Keeps what came last; the newest is kept whatever the bounds are.

    Any thread may use it.  Stamps are nanoseconds.  A stamp older than all that are kept starts a
    new timeline (a bag that begins again): what was kept is dropped.

    frames, seconds, bytes: the bounds; may be changed at any time.
    """

    def __init__(self, frames: int, seconds: float, bytes: int) -> None:
        """Start empty."""
        self.frames = frames
        self.seconds = seconds
        self.bytes = bytes
        self._entries: deque[tuple[int, Item, int]] = deque()
        self._held = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._entries)

    @property
    def held_bytes(self) -> int:
        """Return the bytes of all that is kept."""
        return self._held

    def put(self, stamp: int, item: Item, size: int) -> None:
        """Add the newest; size in bytes."""
        with self._lock:
            if self._entries and stamp < self._entries[0][0]:
                self._entries.clear()
                self._held = 0
            self._entries.append((stamp, item, size))
            self._held += size
            oldest = stamp - int(self.seconds * 1e9)
            while len(self._entries) > 1 and (
                    len(self._entries) > self.frames or self._held > self.bytes
                    or self._entries[0][0] < oldest):
                self._held -= self._entries.popleft()[2]

    def newest(self) -> tuple[int, Item] | None:
        """Return stamp and item of the one that came last, None when there is none."""
        with self._lock:
            return self._entries[-1][:2] if self._entries else None

    def at(self, stamp: int) -> Item | None:
        """Return the item of exactly this stamp, the last one if there are several."""
        since = self.since(stamp)
        return since[0] if since else None

    def since(self, stamp: int) -> list[Item]:
        """Return the item of exactly this stamp and all that came after it; [] if unknown."""
        with self._lock:
            entries = list(self._entries)
        for index in range(len(entries) - 1, -1, -1):
            if entries[index][0] == stamp:
                return [item for _, item, _ in entries[index:]]
        return []

    def after(self, item: Item) -> list[Item]:
        """Return all that came after this very item: everything, when it is kept no more."""
        with self._lock:
            entries = list(self._entries)
        for index in range(len(entries) - 1, -1, -1):
            if entries[index][1] is item:
                return [later for _, later, _ in entries[index + 1:]]
        return [later for _, later, _ in entries]

    def stamps(self) -> list[int]:
        """Return the stamps kept, in the order in which they came."""
        with self._lock:
            return [stamp for stamp, _, _ in self._entries]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._entries.clear()
            self._held = 0
