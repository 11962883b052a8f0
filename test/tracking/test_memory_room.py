# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The room that the memories take: never beyond the ceiling, and not made anew all the time."""

from dataclasses import replace
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from random_network import RandomNetwork

from vos_ros.tracking import memory_usage
from vos_ros.tracking import token_store
from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.token_store import TokenStore

CHUNK = 100
IMAGE = np.zeros((64, 96, 3), np.uint8)
CELLS = 4 * 6
PARAMS = MemoryTrackerParams(
    short_side=0, mem_every=1, num_prototypes=80, long_term_max_elements=400, top_k=5)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    for module in (token_store, memory_usage):
        monkeypatch.setattr(module, 'CHUNK', CHUNK)


def plane(obj):
    mask = np.zeros(IMAGE.shape[:2], bool)
    mask[:, 10 * obj:10 * obj + 10] = True
    return mask


def full(**changes):
    """Return a tracker whose 8 objects each came on a frame of its own, its memories full."""
    tracker = MemoryTracker(RandomNetwork(), replace(PARAMS, **changes))
    for obj in range(1, 9):
        tracker.step(IMAGE, plane(obj), [obj])
    for _ in range(40):
        tracker.step(IMAGE)
        check(tracker)
    return tracker


def check(tracker):
    usage = tracker.usage()
    assert usage.allocated_bytes <= usage.ceiling_bytes
    for store in (usage.working, usage.long_term):
        assert store.elements <= store.max_elements, store
    return usage.allocated_bytes


@pytest.mark.parametrize('order', [range(2, 9), range(1, 8)], ids=['newest', 'oldest'])
@pytest.mark.parametrize('changes', [{}, {'long_term': False}])
def test_removed_objects_give_their_room_back(order, changes):
    tracker = full(**changes)
    before = check(tracker)
    tracker.remove(order[:3])
    check(tracker)
    tracker.remove(order[3:])
    assert check(tracker) < before / 3
    for _ in range(20):
        tracker.step(IMAGE)
        check(tracker)


def test_objects_of_one_frame_give_their_room_back():
    tracker = MemoryTracker(RandomNetwork(), PARAMS)
    tracker.step(IMAGE, np.stack([plane(obj) for obj in range(1, 8)]), list(range(1, 8)))
    tracker.step(IMAGE, plane(8), [8])
    for _ in range(40):
        tracker.step(IMAGE)
    for obj in (8, 1, 7, 4):
        tracker.remove([obj])
        check(tracker)


@pytest.mark.parametrize('changes', [
    {'long_term_max_elements': 80},
    {'working_memory_max_frames': 3, 'working_memory_min_frames': 2}])
def test_lowered_parameters_give_room_back_with_the_next_memory_frame(changes):
    tracker = full()
    before = check(tracker)
    tracker.params = replace(tracker.params, **changes)
    tracker.step(IMAGE)
    assert check(tracker) < before
    for _ in range(20):
        tracker.step(IMAGE)
        check(tracker)


def test_nothing_is_made_anew_once_the_memories_are_full(monkeypatch):
    tracker = full()
    made = []
    monkeypatch.setattr(TokenStore, '_resize', lambda *_: made.append(_))
    for number in range(60):
        # Frames of two sizes, as the latency budget gives them.
        tracker.step(IMAGE if number % 20 < 10 else IMAGE[:32, :48])
        check(tracker)
    assert not made


@pytest.mark.parametrize('changes', [{}, {'long_term': False}])
def test_lower_bounds_hold_at_once(changes):
    tracker = MemoryTracker(RandomNetwork(), replace(PARAMS, **changes))
    tracker.step(IMAGE, plane(1), [1])
    for _ in range(12):
        tracker.step(IMAGE)
    while tracker.usage().working.elements < 9 * CELLS:
        tracker.step(IMAGE)
    tracker.params = replace(tracker.params, mem_every=20, working_memory_max_frames=6,
                             long_term_max_elements=200)
    check(tracker)
    for _ in range(45):
        tracker.step(IMAGE)
        check(tracker)


def test_a_memory_without_objects_stays_below_its_ceiling():
    tracker = MemoryTracker(RandomNetwork(), PARAMS)
    tracker.step(IMAGE)
    assert 0 < check(tracker)


def test_an_unbounded_memory_keeps_its_room():
    tracker = MemoryTracker(
        RandomNetwork(), replace(PARAMS, long_term=False, bounded_working_memory=False))
    for obj in (1, 2):
        tracker.step(IMAGE, plane(obj), [obj])
    for _ in range(20):
        tracker.step(IMAGE)
    room = tracker.usage().allocated_bytes
    tracker.remove([2])
    tracker.step(IMAGE)
    usage = tracker.usage()
    assert usage.working.elements == 23 * CELLS
    assert usage.allocated_bytes > 0.5 * room and not usage.ceiling_bytes


def test_room_is_given_back_only_as_far_as_it_is_empty():
    store = TokenStore(RandomNetwork().ops, 2, 3)
    store.add_object(1)
    count = 2 * CHUNK + 1
    tokens = np.arange(5 * count, dtype=np.float32).reshape(count, 5)
    store.append(tokens, tokens[:, :2], {1: tokens[:, :3]})
    room = store.allocated_bytes
    store.fit(10)
    assert store.allocated_bytes == room
    store.keep(np.arange(CHUNK + 1))
    store.fit(10)
    assert store.allocated_bytes == room * 2 // 3
    assert np.array_equal(store.stored, tokens[:CHUNK + 1])
    assert np.array_equal(store.value(1), tokens[:CHUNK + 1, :3])
    store.append(tokens[:CHUNK], tokens[:CHUNK, :2], {1: tokens[:CHUNK, :3]})
    assert np.array_equal(store.value(1)[-1], tokens[CHUNK - 1, :3])


def test_rows_stay_as_they_were_where_memory_runs_out_in_moving_them():
    # In a process of its own: what others here free would be memory after all.
    program = textwrap.dedent("""
        from pathlib import Path
        import resource
        import numpy as np
        from vos_ros.runtime.memory_ops_numpy import NumpyOps
        from vos_ros.tracking.token_store import TokenStore
        store, rows, width = TokenStore(NumpyOps(), 2, 10_000), 4096, 10_000
        store.add_object(1)
        numbers = np.arange(rows, dtype=np.float32)
        store.append(np.repeat(numbers, 5).reshape(-1, 5), np.zeros((rows, 2), np.float32),
                     {1: np.broadcast_to(numbers[:, None], (rows, width))})
        held = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
        for made in (None, {'stored': np.full((1, 5), -1, np.float32), 'values': {},
                            'usage': np.ones(1, np.float32)}):
            size, held_by = store.size, store.value(1)[:, 0].copy()
            # Enough for a copy of all keys, too little for one of all values, which are 160 MB.
            resource.setrlimit(resource.RLIMIT_AS, (held + 40_000_000, resource.RLIM_INFINITY))
            try:
                store.rewrite(1, np.arange(2, size), made)
                raise SystemExit('there was memory')
            except MemoryError:
                resource.setrlimit(resource.RLIMIT_AS, [resource.RLIM_INFINITY] * 2)
            assert store.size == size and np.array_equal(store.value(1)[:, 0], held_by)
            assert np.array_equal(store.stored[:, 0], held_by)
            store.rewrite(1, np.arange(2, size), made)
        want = [0, -1, *range(3, rows)]
        assert store.stored[:, 0].tolist() == want
        assert store.value(1)[:, -1].tolist() == [0, 0, *range(3, rows)]
    """)
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
