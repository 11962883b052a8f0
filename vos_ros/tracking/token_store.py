# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The rows of XMem's memories: one array a quantity, one row a token, long-term rows in front."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.memory_ops import Array
from vos_ros.runtime.memory_ops import MemoryOps

# A token's life before its first read: keeps usage / life finite, as in the official code.
NEWBORN = 1e-7
# Room is made for so many tokens at a time: 25 MB with three objects of the full network.
CHUNK = 4096
# A life at which use and life are halved: float32 stops counting ones at 2^24.
LONG_LIFE = 2.0 ** 22


class TokenStore:
    """Tokens 0..size-1.

    stored: extended memory keys [., 2 C^k + 1], see `MemoryOps.stored`.
    selection: [., C^k], what the token asked as a query; only rows of the working memory use it.
    use, life: [.], affinity received and reads lived through.
    values: object id to [., C^v].  A row means something only where the object's group has it.
    """

    def __init__(self, ops: MemoryOps, key_dim: int, value_dim: int) -> None:
        """Start without tokens."""
        self.ops = ops
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.size = 0
        self._capacity = 0
        self._rows: dict[str, Array] = {}
        self._values: dict[int, Array] = {}
        self._widths = {'stored': 2 * key_dim + 1, 'selection': key_dim, 'use': 0, 'life': 0}
        self.reserve(1)

    @property
    def stored(self) -> Array:
        """Return the extended keys."""
        return self._rows['stored'][:self.size]

    @property
    def selection(self) -> Array:
        """Return the selections."""
        return self._rows['selection'][:self.size]

    @property
    def use(self) -> Array:
        """Return the use counts."""
        return self._rows['use'][:self.size]

    @property
    def life(self) -> Array:
        """Return the life counts."""
        return self._rows['life'][:self.size]

    @property
    def objects(self) -> tuple[int, ...]:
        """Return the ids that have values."""
        return tuple(self._values)

    def value(self, obj: int) -> Array:
        """Return the values of an object."""
        return self._values[obj][:self.size]

    def usage(self) -> NDArray[np.float32]:
        """Return use / life on the CPU."""
        return self.ops.numpy(self.use) / self.ops.numpy(self.life)

    def count_read(self, usage: Array, start: int = 0) -> None:
        """Add a read's affinity to the use counts; the tokens from start on lived through it."""
        self._rows['use'][start:self.size] += usage
        self._rows['life'][start:self.size] += 1

    def add_object(self, obj: int) -> None:
        """Make room for an object's values."""
        self._values[obj] = self.ops.zeros(self._capacity, self.value_dim)

    def drop_object(self, obj: int) -> None:
        """Forget an object's values."""
        del self._values[obj]

    def reserve(self, tokens: int) -> None:
        """Make room for so many tokens; the room grows in chunks, only `fit` makes it less."""
        if tokens > self._capacity:
            self._resize(-(-tokens // CHUNK) * CHUNK)

    def fit(self, most: int) -> None:
        """Give back what room there is beyond so many tokens, as far as it is empty."""
        capacity = -(-max(most, self.size, 1) // CHUNK) * CHUNK
        if capacity < self._capacity:
            self._resize(capacity)

    def _resize(self, capacity: int) -> None:
        # The lesser of both until all is done: memory may run out in between.
        self._capacity = min(self._capacity, capacity)
        for name, width in self._widths.items():
            self._rows[name] = self._resized(self._rows.get(name), capacity, width)
        for obj in self._values:
            self._values[obj] = self._resized(self._values[obj], capacity, self.value_dim)
        self._capacity = capacity

    @property
    def allocated_bytes(self) -> int:
        """Return the bytes of all rows there is room for."""
        width = sum(max(1, w) for w in self._widths.values()) + self.value_dim * len(self._values)
        return 4 * width * self._capacity

    def _resized(self, rows: Array | None, capacity: int, width: int) -> Array:
        shape = (capacity, width) if width else (capacity,)
        resized = self.ops.zeros(*shape)
        if rows is not None:
            resized[:self.size] = rows[:self.size]
        return resized

    def append(self, stored: Array, selection: Array, values: Mapping[int, Array]) -> None:
        """Add tokens [n, .] at the end; objects that are not named get no value there."""
        start, end = self.size, self.size + len(stored)
        self.reserve(end)
        share = 1 - 0.5 * (self.life > LONG_LIFE)       # no usage changes by that
        self._rows['use'][:start] *= share
        self._rows['life'][:start] *= share
        self.size = end
        self._rows['stored'][start:end] = stored
        self._rows['selection'][start:end] = selection
        self._rows['use'][start:end] = 0.0
        self._rows['life'][start:end] = NEWBORN
        for obj, value in values.items():
            self._values[obj][start:end] = value

    def keep(self, index: NDArray[np.intp]) -> None:
        """Keep the tokens named, in that order; a leading run that does not move is not copied."""
        same = np.flatnonzero(index != np.arange(len(index)))
        start = int(same[0]) if len(same) else len(index)
        self.rewrite(start, index[start:])

    def rewrite(self, start: int, index: NDArray[np.intp],
                inserted: Mapping[str, Any] | None = None) -> None:
        """Replace everything from row `start` on by `inserted` rows and then the rows of `index`.

        inserted: 'stored' [p, .], 'usage' float32 [p], which holds until the first read, and
            'values' {object: [p, C^v]}.

        All or nothing: the memory that it needs is there before the first row moves.
        """
        count = len(inserted['stored']) if inserted else 0
        end = start + count + len(index)
        self.reserve(end)
        runs = np.split(index, np.flatnonzero(np.diff(index) != 1) + 1) if len(index) else []
        width = max(*self._widths.values(), self.value_dim)
        spare = self.ops.zeros(len(index) * width)
        fresh: dict[str, Any] = {}
        if inserted:
            fresh = {'stored': inserted['stored'], 'selection': 0.0,
                     'use': self.ops.array(NEWBORN * inserted['usage']), 'life': NEWBORN}
        for name, rows in self._rows.items():
            self._move(rows, runs, spare, start, end, fresh.get(name))
        for obj, rows in self._values.items():
            self._move(rows, runs, spare, start, end,
                       inserted['values'].get(obj, 0.0) if inserted else None)
        self.size = end

    @staticmethod
    def _move(rows: Array, runs: Sequence[NDArray[np.intp]], spare: Array, start: int, end: int,
              fresh: Any) -> None:
        """Put the runs of rows before row `end`, and what is fresh between row `start` and them.

        Whole runs, by way of the spare room: an index array would need memory for its copy.
        """
        count = sum(len(run) for run in runs)
        width = math.prod(rows.shape[1:])
        moved = spare[:count * width].reshape(count, *rows.shape[1:])
        to = 0
        for run in runs:
            moved[to:to + len(run)] = rows[int(run[0]):int(run[-1]) + 1]
            to += len(run)
        if start < end - count:
            rows[start:end - count] = fresh
        rows[end - count:end] = moved

    def rows(self) -> dict[str, NDArray]:
        """Return all live rows as numpy arrays, values under 'value.<id>'."""
        out = {name: self.ops.numpy(rows[:self.size]) for name, rows in self._rows.items()}
        out.update({f'value.{obj}': self.ops.numpy(rows[:self.size])
                    for obj, rows in self._values.items()})
        return out

    def restore(self, rows: Mapping[str, NDArray], objects: list[int]) -> None:
        """Take over what `rows` gave; ValueError names an array of a wrong shape."""
        size = len(rows['stored'])
        shapes = {name: (size, width) if width else (size,)
                  for name, width in self._widths.items()}
        shapes.update({f'value.{obj}': (size, self.value_dim) for obj in objects})
        for name, shape in shapes.items():
            if rows[name].shape != shape or rows[name].dtype != np.float32:
                raise ValueError(f'{name} is {rows[name].dtype}{rows[name].shape}, '
                                 f'must be float32{shape}')
        self.size = 0
        self._values = {}
        self.reserve(size)
        self.size = size
        for name in self._widths:
            self._rows[name][:size] = self.ops.array(rows[name])
        for obj in objects:
            self.add_object(obj)
            self._values[obj][:size] = self.ops.array(rows[f'value.{obj}'])
