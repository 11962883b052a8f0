# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The objects that a user designated: ids that never change and are never given twice."""

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

from vos_ros.tracking.tracks import MAX_TRACK_ID


@dataclass(frozen=True)
class ObjectInfo:
    """An object as its user names it.

    id: 1..MAX_TRACK_ID.  label: a name.  class_id: index into some class list, -1 for none.
    born: number of the frame that it was added on; set by the tracker.
    """

    id: int
    label: str = ''
    class_id: int = -1
    born: int = 0


class ObjectTable:
    """Objects in the order of the network's tensors, and the ids used so far.

    An object's position changes when one before it is removed; its id never does.
    """

    def __init__(self) -> None:
        """Start empty, with id 1 next."""
        self._objects: dict[int, ObjectInfo] = {}
        self._used: set[int] = set()
        self._next = 1

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self._objects)

    def __contains__(self, obj: int) -> bool:
        """Return whether an object of this id is followed."""
        return obj in self._objects

    def __getitem__(self, obj: int) -> ObjectInfo:
        """Return an object; KeyError for an id that is not followed."""
        return self._objects[obj]

    @property
    def ids(self) -> list[int]:
        """Return the ids in tensor order."""
        return list(self._objects)

    @property
    def infos(self) -> list[ObjectInfo]:
        """Return the objects in tensor order."""
        return list(self._objects.values())

    @property
    def exhausted(self) -> bool:
        """Return whether `new_ids` has no id left to give."""
        return all(obj in self._used for obj in range(self._next, MAX_TRACK_ID + 1))

    def new_ids(self, count: int) -> list[int]:
        """Give ids that nobody has had in this run; ValueError when too few are left."""
        ids: list[int] = []
        candidate = self._next
        while len(ids) < count:
            if candidate > MAX_TRACK_ID:
                raise ValueError(f'fewer than {count} ids are left up to {MAX_TRACK_ID}')
            if candidate not in self._used:
                ids.append(candidate)
            candidate += 1
        self._next = candidate
        return ids

    def check_new(self, obj: int) -> None:
        """Refuse an id that cannot become an object; ValueError gives the reason."""
        if not 1 <= obj <= MAX_TRACK_ID:
            raise ValueError(f'object id {obj} is outside 1..{MAX_TRACK_ID}')
        if obj in self._objects:
            raise ValueError(f'object id {obj} is followed already')
        if obj in self._used:
            raise ValueError(f'object id {obj} was used before; ids are not given twice')

    def add(self, info: ObjectInfo) -> None:
        """Add an object at the end of the tensor order; ValueError as `check_new`."""
        self.check_new(info.id)
        self._objects[info.id] = info
        self._used.add(info.id)

    def remove(self, obj: int, undo: bool = False) -> ObjectInfo:
        """Remove and return an object; KeyError for an id that is not followed.

        undo: its id counts as never used.
        """
        info = self._objects.pop(obj)
        if undo:
            self._used.discard(obj)
        return info

    def clear(self, restart_ids: bool = False) -> None:
        """Remove all objects; ids go on from where they are unless told to start again at 1."""
        self._objects.clear()
        if restart_ids:
            self._used.clear()
            self._next = 1

    def bar_ids_of(self, other: 'ObjectTable') -> None:
        """Never give the ids that another table of the same run has given."""
        self._used |= other._used
        self._next = max(self._next, other._next)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` takes."""
        return {'objects': [asdict(info) for info in self.infos], 'used': sorted(self._used),
                'next': self._next}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> 'ObjectTable':
        """Return the table that `to_dict` described."""
        table = cls()
        for entry in values['objects']:
            table.add(ObjectInfo(int(entry['id']), str(entry['label']), int(entry['class_id']),
                                 int(entry['born'])))
        table._used.update(int(obj) for obj in values['used'])
        table._next = int(values['next'])
        return table
