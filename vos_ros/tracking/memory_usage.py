# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How much the memories hold, and the most they can hold."""

from dataclasses import dataclass

from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.token_store import CHUNK
from vos_ros.tracking.xmem_step import XMemCore

_FLOAT = 4


@dataclass(frozen=True)
class StoreUsage:
    """One memory: elements and bytes in use, and their ceilings.

    A ceiling is 0 where there is none, or while the size of the images is not known.

    An element is a token, one cell at stride 16; for the sensory memory a cell of one object.
    """

    name: str
    elements: int
    bytes: int
    max_elements: int
    max_bytes: int


@dataclass(frozen=True)
class MemoryUsage:
    """sensory, working, long_term: each store.  allocated_bytes: reserved for all of them.

    ceiling_bytes: the most that is reserved for the present number of objects (0 = no ceiling).
    consolidations, forgotten: how often working memory became prototypes, and how many of those
    were dropped for little use, since the memory was last empty.
    """

    sensory: StoreUsage
    working: StoreUsage
    long_term: StoreUsage
    allocated_bytes: int
    ceiling_bytes: int
    consolidations: int = 0
    forgotten: int = 0

    @classmethod
    def of(cls, core: XMemCore, grid: tuple[int, int]) -> 'MemoryUsage':
        """Return the usage of a core whose largest frame so far had this grid at stride 16."""
        network, params, memory = core.network, core.params, core.memory
        count = len(core.objects)
        each = token_bytes(network.key_dim, network.value_dim, count)
        cells = grid[0] * grid[1]
        states = 0 if core.hidden is None or core.grid is None \
            else count * core.grid[0] * core.grid[1]
        state_bytes = _FLOAT * network.hidden_dim
        working = working_ceiling(params, cells, count)
        long_term = params.long_term_max_elements if params.long_term else 0
        ceiling = memory_ceiling_bytes(params, grid, network.key_dim, network.value_dim,
                                       network.hidden_dim, count)
        return cls(
            StoreUsage('sensory', states, states * state_bytes, count * cells,
                       count * cells * state_bytes),
            StoreUsage('working', memory.working_size, memory.working_size * each, working,
                       working * each),
            StoreUsage('long_term', memory.long_term_size, memory.long_term_size * each, long_term,
                       long_term * each),
            memory.store.allocated_bytes + states * state_bytes, ceiling,
            memory.consolidations, memory.forgotten)


def token_bytes(key_dim: int, value_dim: int, objects: int) -> int:
    """Return the bytes of one token with the values of so many objects."""
    return _FLOAT * (2 * key_dim + 1 + key_dim + 2 + value_dim * objects)


def working_ceiling(params: MemoryTrackerParams, cells: int, objects: int) -> int:
    """Return the most tokens in the working memory, 0 when there is no bound.

    T_max frames (the last of which is there only until the consolidation it sets off) and, at
    worst, the first frames of all objects but one, when each came on a frame of its own.
    """
    if not params.long_term and not params.bounded_working_memory:
        return 0
    return (params.working_memory_max_frames + max(objects - 1, 0)) * cells


def memory_ceiling_bytes(params: MemoryTrackerParams, grid: tuple[int, int], key_dim: int,
                         value_dim: int, hidden_dim: int, objects: int | None = None) -> int:
    """Return the most bytes that the three memories reserve, 0 when there is no bound.

    grid: (h, w) of the largest frame at stride 16.  objects: how many; `max_objects` if not given.
    """
    count = params.max_objects if objects is None else objects
    cells = grid[0] * grid[1]
    if not params.long_term and not params.bounded_working_memory:
        return 0
    tokens = working_ceiling(params, cells, count) \
        + (params.long_term_max_elements if params.long_term else 0)
    # An empty store holds the first chunk.
    tokens = -(-max(tokens, 1) // CHUNK) * CHUNK
    return tokens * token_bytes(key_dim, value_dim, count) + _FLOAT * count * hidden_dim * cells
