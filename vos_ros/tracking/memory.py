# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""XMem's working and long-term memory over one token store (XMem section 3.3).

Rows are ordered [long-term | frames of the working memory, oldest first].  Objects that appeared
on the same frame form a group and see the same tokens.  The oldest group leads: its frames are
counted, its affinity is the usage, its candidates become prototypes.  A group that came later sees
its own frames only; its first frame is kept for it, under its own keys, for as long as it lives.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.memory_ops import Array
from vos_ros.runtime.memory_ops import MemoryOps
from vos_ros.runtime.memory_ops import ReadGroup
from vos_ros.tracking.consolidation import prototypes_of
from vos_ros.tracking.consolidation import survivors_of
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.token_store import TokenStore


@dataclass
class Frame:
    """A frame in the working memory: its number, its tokens, and the groups that see it."""

    number: int
    count: int
    groups: set[int]


@dataclass
class Group:
    """Objects that appeared on one frame.

    key: names the group.  first: number of that frame.  long_term: bool [long-term tokens], the
    prototypes that hold a value of these objects.
    """

    key: int
    first: int
    objects: list[int]
    long_term: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))


class Memory:
    """Working and long-term memory of any number of objects.

    events: what the last `add` consolidated and forgot, for tests and logs.
    consolidations, forgotten: how often that happened, and long-term tokens dropped, in all.
    """

    def __init__(self, ops: MemoryOps, key_dim: int, value_dim: int,
                 params: MemoryTrackerParams) -> None:
        """Start empty."""
        self.params = params
        self.store = TokenStore(ops, key_dim, value_dim)
        self.frames: list[Frame] = []
        self.groups: list[Group] = []
        self.long_term_size = 0
        self.events: list[dict[str, Any]] = []
        self.consolidations = 0
        self.forgotten = 0
        self.next_group = 0

    @property
    def objects(self) -> list[int]:
        """Return the ids remembered, in the order of their groups."""
        return [obj for group in self.groups for obj in group.objects]

    @property
    def working_size(self) -> int:
        """Return the tokens in the working memory."""
        return self.store.size - self.long_term_size

    def read(self, key: Array, selection: Array) -> Array:
        """Return readouts [objects, Q, C^v] for queries [Q, C^k], and count the usage.

        Objects are in the order of `objects`.  Raises ValueError when nothing is remembered.
        """
        if not self.groups:
            raise ValueError('the memory is empty: no object was given yet')
        # The long-term memory lies before the working memory.
        start = 0 if self.params.read_long_term or not self.frames else self.long_term_size
        groups = []
        for group in self.groups:
            allowed = self._allowed(group)
            groups.append(ReadGroup(None if allowed is None else allowed[start:],
                                    [self.store.value(o)[start:] for o in group.objects]))
        readouts, usage = self.store.ops.read(key, selection, self.store.stored[start:], groups,
                                              self.params.top_k)
        self.store.count_read(usage, start)
        return readouts[0] if len(readouts) == 1 else self.store.ops.concatenate(readouts)

    def _allowed(self, group: Group) -> NDArray[np.bool_] | None:
        """Return which tokens a group may see, None for all."""
        if group.long_term.all() and all(group.key in f.groups for f in self.frames):
            return None
        frames = [np.full(f.count, group.key in f.groups) for f in self.frames]
        return np.concatenate([group.long_term, *frames])

    def add(self, number: int, key: Array, shrinkage: Array, selection: Array,
            values: Mapping[int, Array]) -> None:
        """Write a memory frame, then consolidate if the working memory is full.

        number: of the frame.  key, selection: [n, C^k].  shrinkage: [n].  values: [n, C^v] for
        every object remembered so far and for new ones, which form a group of their own.
        Raises ValueError when an object that is remembered has no value.
        """
        self.events = []
        known = self.objects
        missing = [obj for obj in known if obj not in values]
        if missing:
            raise ValueError(f'no value for objects {missing}')
        new = [obj for obj in values if obj not in known]
        for obj in new:
            self.store.add_object(obj)
        self.store.append(self.store.ops.stored(key, shrinkage), selection, values)
        # Known only once there is room for its values.
        if new:
            self.groups.append(Group(self.next_group, number, new,
                                     np.zeros(self.long_term_size, bool)))
            self.next_group += 1
        self.frames.append(Frame(number, len(key), {group.key for group in self.groups}))
        self.make_room()

    def make_room(self) -> None:
        """Consolidate, forget and give back until everything is below its ceiling."""
        if self.groups:
            self._stay_below()
        self.give_back()

    def give_back(self) -> None:
        """Keep the room below the ceiling, which falls with objects and parameters."""
        params = self.params
        if params.long_term or params.bounded_working_memory:
            frames = params.working_memory_max_frames + max(len(self.objects) - 1, 0)
            self.store.fit(frames * max((f.count for f in self.frames), default=0)
                           + params.long_term_max_elements * params.long_term)

    def _stay_below(self) -> None:
        params = self.params
        self._drop_unseen()
        # Its ceiling may have been lowered, or the memory saved by one who had such a part.
        self._forget(params.long_term_max_elements if params.long_term else 0)
        lead = self.groups[0]
        seen = [f for f in self.frames if lead.key in f.groups]
        if len(seen) < params.working_memory_max_frames:
            return
        if params.long_term:
            if self.long_term_size >= params.long_term_max_elements - params.num_prototypes:
                self._forget(params.long_term_max_elements - params.num_prototypes)
            newest = params.working_memory_min_frames - 1
            self._consolidate(seen[1:len(seen) - newest])
        elif params.bounded_working_memory:
            # The frame just written is the T_max-th; a read sees one frame fewer, as with
            # long-term memory.
            self._release(seen[1:len(seen) - params.working_memory_max_frames + 2])

    def _forget(self, limit: int) -> None:
        """Cut the long-term memory to its `limit` most frequently used tokens."""
        size = self.long_term_size
        if size <= limit:
            return
        kept = survivors_of(self.store.usage()[:size], limit)
        self.store.keep(np.concatenate([kept, np.arange(size, self.store.size)]))
        for group in self.groups:
            group.long_term = group.long_term[kept]
        self.long_term_size = len(kept)
        self.forgotten += size - len(kept)
        self.events.append({'what': 'evict', 'before': size, 'after': len(kept)})

    def _consolidate(self, frames: Sequence[Frame]) -> None:
        """Turn frames of the working memory into prototypes of the long-term memory."""
        if not frames:
            return
        spans = self._spans()
        index = np.concatenate([np.arange(*spans[f.number]) for f in frames])
        visible = {group.key: np.concatenate([
            np.full(f.count, group.key in f.groups and f.number != group.first) for f in frames])
            for group in self.groups}
        made = prototypes_of(
            self.store, index, [(visible[g.key], g.objects) for g in self.groups],
            self.params.num_prototypes)
        # A prototype's own usage is known after its first read only, which may be long in coming.
        self._release(frames, {'stored': made.stored, 'usage': made.usage, 'values': made.values})
        for group in self.groups:
            group.long_term = np.concatenate(
                [group.long_term, visible[group.key][made.chosen]])
        self.consolidations += 1
        self.events.append({'what': 'consolidate', 'candidates': len(index),
                            'prototypes': [int(i) for i in made.chosen]})

    def _release(self, frames: Sequence[Frame],
                 inserted: Mapping[str, Any] | None = None) -> None:
        """Drop frames from every group but those whose first frame it is; insert prototypes."""
        spans = self._spans()
        left = {f.number: {g.key for g in self.groups if g.key in f.groups
                           and g.first == f.number} for f in frames}
        kept = [f for f in self.frames if left.get(f.number, f.groups)]
        rows = [np.arange(*spans[f.number]) for f in kept]
        start = self.long_term_size
        self.store.rewrite(start, np.concatenate(rows) if rows else np.zeros(0, np.intp), inserted)
        # Only now: there may have been no room for it.
        for frame in frames:
            frame.groups = left[frame.number]
        self.frames = kept
        if inserted:
            self.long_term_size += len(inserted['stored'])

    def _spans(self) -> dict[int, tuple[int, int]]:
        """Return frame number to (first row, row after the last)."""
        spans, start = {}, self.long_term_size
        for frame in self.frames:
            spans[frame.number] = (start, start + frame.count)
            start += frame.count
        return spans

    def retain(self, objects: Sequence[int]) -> None:
        """Forget all others, also what an `add` that failed has left of them.

        Raises as `remove`.
        """
        for obj in set(self.store.objects) - set(self.objects):
            self.store.drop_object(obj)
        self.remove(*(set(self.objects) - set(objects)))

    def remove(self, *objects: int) -> None:
        """Forget objects, and every token that no other object sees.

        Raises KeyError for an id that is not remembered, and forgets none then.  Where memory runs
        out, all are forgotten, and the tokens go with the next memory frame.
        """
        for obj in objects:
            if obj not in self.store.objects:
                raise KeyError(obj)
        for obj in objects:
            self.store.drop_object(obj)
        for group in self.groups:
            group.objects = [obj for obj in group.objects if obj not in objects]
        self.groups = [group for group in self.groups if group.objects]
        keys = {group.key for group in self.groups}
        for frame in self.frames:
            frame.groups &= keys
        self._drop_unseen()

    def _drop_unseen(self) -> None:
        """Drop the tokens that no object sees."""
        kept = np.zeros(self.long_term_size, bool)
        for group in self.groups:
            kept |= group.long_term
        frames = [f for f in self.frames if f.groups]
        if kept.all() and len(frames) == len(self.frames):
            return
        spans = self._spans()
        rows = [np.flatnonzero(kept), *(np.arange(*spans[f.number]) for f in frames)]
        self.store.keep(np.concatenate(rows).astype(np.intp))
        # Only now: there may have been no room for it.
        self.frames = frames
        for group in self.groups:
            group.long_term = group.long_term[kept]
        self.long_term_size = int(kept.sum())
