# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the official memory manager gets wrong, shown right with tagged tokens.

Every token has a key far from all others and a value that names the frame and cell it came from,
so reading one token by its own key shows which value the memory pairs with it.
"""

from typing import Any

import numpy as np
import pytest

from vos_ros.runtime.memory_ops_numpy import NumpyOps
from vos_ros.runtime.memory_ops_torch import TorchOps
from vos_ros.tracking.consolidation import survivors_of
from vos_ros.tracking.memory import Memory
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.token_store import NEWBORN

CELLS = 9
DIM = 6
OPS = [NumpyOps(), TorchOps('cpu')]
both = pytest.mark.parametrize('ops', OPS, ids=['numpy', 'torch'])


def params(**changes: Any) -> MemoryTrackerParams:
    base: dict[str, Any] = {
        'working_memory_max_frames': 5, 'working_memory_min_frames': 2, 'num_prototypes': 8,
        'long_term_max_elements': 1000, 'top_k': 1}
    return MemoryTrackerParams(**{**base, **changes})


def keys_of(frame: int, cells: int = CELLS) -> np.ndarray:
    """Keys that lie hundreds apart, so every softmax over them is as good as one-hot."""
    rng = np.random.default_rng(frame)
    return (rng.standard_normal((cells, DIM)) * 300).astype(np.float32)


def tags_of(frame: int, obj: int, cells: int = CELLS) -> np.ndarray:
    return np.stack([np.full(cells, frame), np.arange(cells), np.full(cells, obj)],
                    1).astype(np.float32)


class Tagged:
    """A memory that is written and read in tags."""

    def __init__(self, ops: Any, **changes: Any) -> None:
        self.ops = ops
        self.memory = Memory(ops, DIM, 3, params(**changes))

    def add(self, frame: int, objects: list[int], cells: int = CELLS) -> None:
        ones = np.ones((cells, DIM), np.float32)
        self.memory.add(frame, self.ops.array(keys_of(frame, cells)),
                        self.ops.array(ones[:, 0].copy()), self.ops.array(ones),
                        {o: self.ops.array(tags_of(frame, o, cells)) for o in objects})

    def read(self, frame: int, cells: int = CELLS) -> dict[int, np.ndarray]:
        ones = np.ones((cells, DIM), np.float32)
        out = self.ops.numpy(self.memory.read(self.ops.array(keys_of(frame, cells)),
                                              self.ops.array(ones)))
        return dict(zip(self.memory.objects, out, strict=True))

    def check_pairing(self) -> dict[int, set[int]]:
        """Assert that each token returns its own tag; return the frames each object can see."""
        memory, ops = self.memory, self.memory.store.ops
        keys = ops.numpy(ops.split(memory.store.stored)[0])
        seen: dict[int, set[int]] = {}
        for group in memory.groups:
            allowed = memory._allowed(group)
            rows = np.arange(memory.store.size) if allowed is None else np.flatnonzero(allowed)
            for obj in group.objects:
                values = ops.numpy(memory.store.value(obj))
                for row in rows:
                    frame, cell, tag = (int(v) for v in np.round(values[row]))
                    assert tag == obj
                    assert np.allclose(keys[row], keys_of(frame)[cell], atol=0.5), (obj, row)
                    seen.setdefault(obj, set()).add(frame)
        return seen


@both
def test_late_objects_keep_their_keys_through_consolidations(ops: Any) -> None:
    tagged = Tagged(ops)
    for frame in range(30):
        objects = [1, 2] if frame < 4 else [1, 2, 3]
        tagged.add(frame, objects)
        tagged.read(max(0, frame - 1))      # usage decides which tokens become prototypes
        seen = tagged.check_pairing()
        assert 0 in seen[1], 'the first object lost its first frame'
        if frame >= 4:
            assert 4 in seen[3], 'the late object lost its own first frame'
            assert min(seen[3]) == 4, 'the late object reads frames from before it was there'
    assert tagged.memory.long_term_size > 0
    answer = tagged.read(4)
    assert np.allclose(answer[3], tags_of(4, 3)), 'own first frame is read under its own keys'


@both
@pytest.mark.parametrize('late', range(1, 9))
def test_a_late_group_of_any_age_loses_no_frame(ops: Any, late: int) -> None:
    # Every prototype there is: all candidates become prototypes, so nothing may disappear.
    tagged = Tagged(ops, num_prototypes=CELLS * 5)
    for frame in range(20):
        tagged.add(frame, [1] if frame < late else [1, 2])
        tagged.read(frame)
    seen = tagged.check_pairing()
    assert seen[1] == set(range(20))
    assert seen[2] == set(range(late, 20))


@both
def test_long_term_values_of_a_late_group_follow_validity(ops: Any) -> None:
    tagged = Tagged(ops, num_prototypes=2 * CELLS)
    for frame in range(12):
        tagged.add(frame, [1] if frame < 2 else [1, 2])
        tagged.read(frame)
    memory = tagged.memory
    lead, late = memory.groups
    assert lead.long_term.all()
    # Valid prototypes lie anywhere in usage order; the official reader takes them for the last.
    assert np.flatnonzero(~late.long_term).max() > np.flatnonzero(late.long_term).min()
    tagged.check_pairing()


@both
def test_eviction_with_several_groups(ops: Any) -> None:
    tagged = Tagged(ops, long_term_max_elements=20)
    for frame in range(40):
        tagged.add(frame, [1] if frame < 3 else [1, 2] if frame < 11 else [1, 2, 3])
        tagged.read(frame)
        assert tagged.memory.long_term_size <= 20
        tagged.check_pairing()
    evictions = [e for e in tagged.memory.events if e['what'] == 'evict']
    assert evictions or tagged.memory.long_term_size <= 20


@both
def test_eviction_of_nothing(ops: Any) -> None:
    # long_term_max_elements is a multiple of num_prototypes: the store reaches exactly the limit.
    tagged = Tagged(ops, long_term_max_elements=16, num_prototypes=8)
    sizes = set()
    for frame in range(30):
        tagged.add(frame, [1])
        tagged.read(frame)
        sizes.add(tagged.memory.long_term_size)
        tagged.check_pairing()
    assert sizes == {0, 8, 16}


def test_ties_keep_exactly_as_many_as_asked() -> None:
    usage = np.zeros(20, np.float32)
    usage[[2, 3, 5, 7, 11]] = [5, 4, 3, 2, 1]
    kept = survivors_of(usage, 18)
    assert len(kept) == 18
    assert set(kept) >= {2, 3, 5, 7, 11}
    assert list(kept) == sorted(kept)
    assert not {0, 1} & set(kept), 'of equals the newer stay'


def test_long_term_never_exceeds_its_ceiling_when_nothing_is_read() -> None:
    # Never read: all usage is zero, which is the official code's worst tie.
    tagged = Tagged(NumpyOps(), long_term_max_elements=20)
    for frame in range(60):
        tagged.add(frame, [1])
        assert tagged.memory.long_term_size <= 20
    tagged.check_pairing()


@both
def test_reads_are_counted_however_many_there_were(ops: Any) -> None:
    # float32 goes from 2^24 + 1 to no other number when 1 is added.
    tagged = Tagged(ops)
    tagged.add(0, [1])
    store = tagged.memory.store
    store.life[:] = 2.0 ** 22 + 1
    store.use[:] = 3 * 2.0 ** 22
    before = store.usage()
    tagged.add(1, [1])
    life, use = ops.numpy(store.life)[:CELLS], ops.numpy(store.use)[:CELLS]
    assert (life < 2.0 ** 22).all() and np.array_equal(use / life, before)
    assert (ops.numpy(store.life)[CELLS:] == np.float32(NEWBORN)).all()


def test_more_prototypes_than_candidates() -> None:
    tagged = Tagged(NumpyOps(), num_prototypes=500)
    for frame in range(9):
        tagged.add(frame, [1])
        tagged.read(frame)
    assert tagged.check_pairing()[1] == set(range(9))


@both
def test_fewer_tokens_than_top_k(ops: Any) -> None:
    tagged = Tagged(ops, top_k=30)
    tagged.add(0, [1], cells=4)
    assert np.allclose(tagged.read(0, cells=4)[1], tags_of(0, 1, 4), atol=1e-3)


@both
def test_removal_leaves_the_others_as_they_were(ops: Any) -> None:
    tagged = Tagged(ops)
    for frame in range(17):
        tagged.add(frame, [1] if frame < 3 else [1, 2] if frame < 8 else [1, 2, 3])
        tagged.read(frame)
    before = tagged.check_pairing()
    tokens = tagged.memory.store.size
    tagged.memory.remove(1)             # the leading group, which saw everything
    after = tagged.check_pairing()
    assert after == {2: before[2], 3: before[3]}
    assert tagged.memory.store.size < tokens, 'what only the removed object saw is freed'
    for frame in range(17, 40):
        tagged.add(frame, [2, 3])
        tagged.read(frame)
        seen = tagged.check_pairing()
        assert 3 in seen[2]
        assert 8 in seen[3]
    tagged.memory.remove(3)
    tagged.memory.remove(2)
    assert tagged.memory.store.size == 0
    with pytest.raises(KeyError):
        tagged.memory.remove(2)
    with pytest.raises(ValueError, match='empty'):
        tagged.read(0)


def test_frames_of_different_sizes_live_together() -> None:
    tagged = Tagged(NumpyOps())
    for frame in range(6):
        tagged.add(frame, [1])
    tagged.add(6, [1], cells=20)
    for frame in range(7, 11):
        tagged.add(frame, [1], cells=4)
    rows = sum(f.count for f in tagged.memory.frames)
    assert rows + tagged.memory.long_term_size == tagged.memory.store.size
    assert np.allclose(tagged.read(10, cells=4)[1], tags_of(10, 1, 4))
    assert np.allclose(tagged.read(0)[1], tags_of(0, 1))


@both
def test_without_long_term_memory_the_oldest_frames_go(ops: Any) -> None:
    tagged = Tagged(ops, long_term=False)
    for frame in range(20):
        tagged.add(frame, [1] if frame < 6 else [1, 2])
    seen = tagged.check_pairing()
    assert seen[1] == {0, 17, 18, 19}
    assert seen[2] == {6, 17, 18, 19}
    endless = Tagged(ops, long_term=False, bounded_working_memory=False)
    for frame in range(20):
        endless.add(frame, [1])
    assert endless.check_pairing()[1] == set(range(20))


def test_an_object_without_a_value_is_refused() -> None:
    tagged = Tagged(NumpyOps())
    tagged.add(0, [1, 2])
    with pytest.raises(ValueError, match=r'\[2\]'):
        tagged.add(1, [1])
