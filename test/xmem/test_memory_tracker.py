# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The memory tracker: ids, states, corrections, refusals, sizes, ceilings, catching up."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from xmem_cases import TINY

from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.engine import parameter_table
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.memory_usage import token_bytes
from vos_ros.tracking.objects import ObjectInfo
from vos_ros.tracking.tracks import MAX_TRACK_ID
from vos_ros.tracking.tracks import TrackState

PARAMS = MemoryTrackerParams(
    mem_every=2, working_memory_max_frames=4, working_memory_min_frames=2, num_prototypes=8,
    long_term_max_elements=40)
SIZE = (64, 96)


def frame(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (*size, 3), dtype=np.uint8)


def block(*places: tuple[int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, np.uint16)
    for obj, top, left in places:
        mask[top:top + 24, left:left + 24] = obj
    return mask


@pytest.fixture
def tracker(tiny: Any) -> MemoryTracker:
    return MemoryTracker(tiny, PARAMS)


def test_no_objects_no_work(tracker: MemoryTracker) -> None:
    result = tracker.step(frame(0))
    assert len(result.tracks) == 0
    assert result.label_map.shape == SIZE
    assert result.label_map.dtype == np.uint16
    assert not result.label_map.any()
    assert 'key' not in result.timings
    assert tracker.probabilities is None


def test_a_memory_written_late_changes_no_result(tiny: Any) -> None:
    plain, late = MemoryTracker(tiny, PARAMS), MemoryTracker(tiny, PARAMS)
    late.late = True
    written = 0
    for number in range(14):
        mask = block((7, 4, 4), (3, 36, 60)) if number == 0 else \
            block((9, 30, 4)) if number == 5 else None
        for tracker in (plain, late):
            if number == 9:
                tracker.remove([3])
        a, b = plain.step(frame(number), mask), late.step(frame(number), mask)
        assert np.array_equal(a.label_map, b.label_map)
        assert np.array_equal(plain.probabilities, late.probabilities)
        assert a.keyframe == b.keyframe
        # What nobody finishes, the next step does.
        if number % 3:
            spent = late.finish()
            assert ('value' in spent) <= a.keyframe and late.finish() == {}
            assert plain.usage() == late.usage()
            written += 'value' in spent
    assert written >= 3
    assert all(np.array_equal(a, b) for a, b in zip(
        plain.snapshot()[0].values(), late.snapshot()[0].values(), strict=True))


def test_a_given_mask_comes_out_under_its_id(tracker: MemoryTracker) -> None:
    mask = block((7, 4, 4), (3, 36, 60))
    result = tracker.step(frame(0), mask)
    assert np.array_equal(result.label_map, mask)
    assert result.tracks.ids.tolist() == [3, 7]
    assert result.tracks.states.tolist() == [TrackState.NEW] * 2
    assert result.tracks.boxes.tolist() == [[60, 36, 84, 60], [4, 4, 28, 28]]
    assert result.tracks.areas.tolist() == [576, 576]
    assert result.keyframe
    again = tracker.step(frame(1))
    assert set(again.tracks.states.tolist()) <= {TrackState.TRACKED, TrackState.LOST}
    assert not again.keyframe
    assert again.tracks.ages.tolist() == [1, 1]
    assert tracker.step(frame(2)).keyframe
    assert tracker.probabilities is not None
    assert tracker.probabilities.shape == (3, *SIZE)
    assert np.allclose(tracker.probabilities.sum(0), 1, atol=1e-5)


def test_planes_with_names(tracker: MemoryTracker) -> None:
    planes = np.stack([block((1, 0, 0)) > 0, block((1, 30, 30)) > 0])
    infos = [ObjectInfo(11, 'cup', 4), ObjectInfo(5, 'hand')]
    result = tracker.step(frame(0), planes, infos)
    assert result.tracks.labels == ('hand', 'cup')
    assert result.tracks.class_ids.tolist() == [-1, 4]
    assert [info.id for info in tracker.objects] == [11, 5]
    single = tracker.step(frame(1), block((1, 30, 60)) > 0, [9])
    assert single.tracks.ids.tolist() == [5, 9, 11]
    assert single.tracks.states[1] == TrackState.NEW


def test_correcting_replaces_a_mask(tracker: MemoryTracker) -> None:
    tracker.step(frame(0), block((1, 4, 4), (2, 36, 60)))
    tracker.step(frame(1))
    moved = block((1, 36, 4), (2, 4, 60))
    result = tracker.step(frame(2), moved)
    assert np.array_equal(result.label_map, moved)
    assert result.tracks.states.tolist() == [TrackState.TRACKED] * 2
    # Only one of the two: the other is predicted, and may not claim the given pixels.
    part = tracker.step(frame(3), block((1, 20, 20)))
    assert (part.label_map[20:44, 20:44] == 1).all()
    gone = tracker.step(frame(4), np.zeros((2, *SIZE), bool), [1, 2])
    assert gone.tracks.states.tolist() == [TrackState.LOST] * 2
    assert not gone.tracks.boxes.any()
    assert not gone.label_map.any()


def test_correcting_is_allowed_above_a_lowered_number_of_objects(tiny: Any) -> None:
    tracker = MemoryTracker(tiny, PARAMS)
    tracker.step(frame(0), block((1, 4, 4), (2, 36, 60)))
    tracker.params = replace(PARAMS, max_objects=1)
    moved = block((1, 36, 4))
    assert (tracker.step(frame(1), moved).label_map[moved > 0] == 1).all()
    with pytest.raises(ValueError, match='1 objects more would be too many'):
        tracker.step(frame(2), block((3, 4, 4)))


def test_removed_objects_are_reported_once(tracker: MemoryTracker) -> None:
    tracker.step(frame(0), block((1, 4, 4), (2, 36, 60)))
    tracker.step(frame(1), block((3, 4, 60)))
    tracker.remove([1])
    result = tracker.step(frame(2))
    assert result.tracks.ids.tolist() == [1, 2, 3]
    assert result.tracks.states[0] == TrackState.REMOVED
    assert not (result.label_map == 1).any()
    assert tracker.step(frame(3)).tracks.ids.tolist() == [2, 3]
    with pytest.raises(KeyError):
        tracker.remove([2, 1])
    assert [info.id for info in tracker.objects] == [2, 3]
    with pytest.raises(ValueError, match='used before'):
        tracker.step(frame(4), block((1, 4, 4)))
    tracker.remove([2, 3])
    assert tracker.usage().working.elements == 0
    assert tracker.step(frame(5)).tracks.states.tolist() == [TrackState.REMOVED] * 2
    assert tracker.step(frame(6), block((4, 4, 4))).tracks.ids.tolist() == [4]


def test_removing_one_object_does_not_touch_another(tiny: Any) -> None:
    # Two objects of different age; with the other one gone the first follows the same pixels as a
    # tracker that is told "not in view" would: its memory is the same, rows and all.
    tracker = MemoryTracker(tiny, PARAMS)
    tracker.step(frame(0), block((1, 4, 4)))
    tracker.step(frame(1), block((2, 36, 60)))
    for number in range(2, 9):
        tracker.step(frame(number))
    store = tracker._core.memory.store
    before = {tuple(np.round(row, 4)) for row in store.value(2)[:store.size]
              if np.abs(row).sum() > 0}
    tracker.remove([1])
    store = tracker._core.memory.store
    after = {tuple(np.round(row, 4)) for row in store.value(2)[:store.size]}
    assert after <= before
    assert len(tracker.step(frame(9)).tracks) == 2


def test_ids_are_given_once(tracker: MemoryTracker) -> None:
    assert tracker.new_ids(2) == [1, 2]
    tracker.step(frame(0), block((2, 4, 4), (4, 36, 60)))
    assert tracker.new_ids(2) == [3, 5]
    tracker.reset()
    assert tracker.step(frame(1)).tracks.states.tolist() == [TrackState.REMOVED] * 2
    assert tracker.new_ids() == [6]
    with pytest.raises(ValueError, match='used before'):
        tracker.step(frame(2), block((2, 4, 4)))
    tracker.reset(restart_ids=True)
    assert tracker.step(frame(2), block((2, 4, 4))).tracks.ids.tolist() == [2]


def test_the_last_id_may_be_one_that_a_user_chose(tracker: MemoryTracker) -> None:
    tracker.new_ids(MAX_TRACK_ID - 1)
    assert not tracker.ids_exhausted
    tracker.step(frame(0), block((MAX_TRACK_ID, 4, 4)))
    assert tracker.ids_exhausted
    with pytest.raises(ValueError, match='fewer than 1'):
        tracker.new_ids()


BAD = {
    'frame type': (np.zeros((8, 8), np.uint8), None, None, 'must be uint8'),
    'mask size': (frame(1), block((5, 0, 0), size=(64, 95)), None, r'\(64, 95\)'),
    'mask of floats': (frame(1), block((5, 0, 0)) * 0.5, None, 'integers'),
    'empty new object': (frame(1), block((5, 0, 0)), [5, 6], 'new object 6 is empty'),
    'stranger in the mask': (frame(1), block((5, 0, 0), (6, 30, 30)), [5], r'\[6\]'),
    'object twice': (frame(1), np.ones((2, *SIZE), bool), [5, 5], 'twice'),
    'planes without names': (frame(1), np.ones((2, *SIZE), bool), None, '2 planes'),
    'too many planes': (frame(1), np.ones((2, *SIZE), bool), [5], '2 planes'),
    'no object': (frame(1), block(), None, 'no object'),
    'id 0': (frame(1), np.ones((1, *SIZE), bool), [0], 'outside'),
    'id too large': (frame(1), np.ones((1, *SIZE), bool), [MAX_TRACK_ID + 1], 'outside'),
    'too many objects': (frame(1), np.ones((4, *SIZE), bool), [5, 6, 7, 8], 'max_objects'),
}


@pytest.mark.parametrize('case', BAD)
def test_what_is_refused_changes_nothing(case: str, tiny: Any) -> None:
    image, mask, objects, message = BAD[case]
    tracker, other = (MemoryTracker(tiny, replace(PARAMS, max_objects=4)) for _ in range(2))
    for one in (tracker, other):
        one.step(frame(0), block((1, 4, 4)))
    with pytest.raises(ValueError, match=message):
        tracker.step(image, mask, objects)
    found, want = tracker.step(frame(1)), other.step(frame(1))
    assert np.array_equal(found.label_map, want.label_map)
    assert np.array_equal(tracker.probabilities, other.probabilities)
    assert found.tracks.ids.tolist() == [1]


@pytest.mark.parametrize('size', [(64, 96), (70, 101), (17, 33), (128, 64), (1, 1)])
def test_any_size_and_changes_of_it(tiny: Any, size: tuple[int, int]) -> None:
    tracker = MemoryTracker(tiny, PARAMS)
    for number in range(3):
        tracker.step(frame(number), block((1, 4, 4)) if number == 0 else None)
    for number in range(3, 8):
        result = tracker.step(frame(number, size))
        assert result.label_map.shape == size
        assert result.tracks.ids.tolist() == [1]
    same_grid = (-(-size[0] // 16), -(-size[1] // 16)) == (4, 6)
    assert tracker.size_changes == (0 if same_grid else 1)
    assert tracker.step(frame(8)).label_map.shape == SIZE


def test_large_frames_are_scaled_and_masks_come_back_at_their_size(tiny: Any) -> None:
    tracker = MemoryTracker(tiny, replace(PARAMS, short_side=64))
    mask = np.zeros((256, 384), np.uint8)
    mask[80:180, 100:220] = 1
    result = tracker.step(frame(0, mask.shape), mask)
    assert tracker.probabilities is not None
    assert tracker.probabilities.shape[1:] == (64, 96)
    overlap = (result.label_map == 1) & (mask == 1)
    assert overlap.sum() / ((result.label_map == 1) | (mask == 1)).sum() > 0.95
    dot = np.zeros(mask.shape, np.uint8)
    dot[200, 300] = 2               # vanishes at half the size, were it not cared for
    assert tracker.step(frame(1, mask.shape), dot).tracks.areas[1] > 0


def test_strided_frames(tiny: Any) -> None:
    big = frame(0, (64, 192))
    results = []
    for view in (big[:, ::2], np.ascontiguousarray(big[:, ::2])):
        tracker = MemoryTracker(tiny, PARAMS)
        tracker.step(view, block((1, 4, 4)))
        results.append(tracker.step(view[::-1]).label_map)
    assert np.array_equal(*results)


def test_memory_is_bounded_and_the_ceiling_holds(tiny: Any) -> None:
    tracker = MemoryTracker(tiny, PARAMS)
    ceiling = tracker.ceiling_bytes(SIZE, objects=3)
    sizes = []
    for number in range(240):
        mask = {0: block((1, 4, 4)), 5: block((2, 36, 60)), 9: block((3, 4, 60))}.get(number)
        tracker.step(frame(number % 16), mask)
        usage = tracker.usage()
        for store in (usage.sensory, usage.working, usage.long_term):
            assert store.elements <= store.max_elements, store
            assert store.bytes <= store.max_bytes, store
        assert usage.allocated_bytes <= usage.ceiling_bytes <= ceiling
        sizes.append(tracker._core.memory.store.size)
    assert tracker.usage().long_term.elements == 40
    assert max(sizes[120:]) <= max(sizes[:120]), 'grows on in the second half'
    each = token_bytes(TINY.key_dim, TINY.value_dim, 3)
    assert tracker.usage().long_term.bytes == 40 * each
    assert tracker.ceiling_bytes(SIZE) > ceiling


def test_unbounded_memory_says_so(tiny: Any) -> None:
    params = replace(PARAMS, long_term=False, bounded_working_memory=False)
    assert MemoryTracker(tiny, params).ceiling_bytes(SIZE) == 0
    assert MemoryTracker(tiny, replace(params, bounded_working_memory=True)).ceiling_bytes(SIZE)


def test_parameters_change_between_steps(tracker: MemoryTracker) -> None:
    tracker.step(frame(0), block((1, 4, 4)))
    tracker.params = replace(PARAMS, mem_every=1, working_memory_max_frames=3)
    for number in range(1, 5):
        assert tracker.step(frame(number)).keyframe
        assert len(tracker._core.memory.frames) < 3
    with pytest.raises(ValueError, match='long_term'):
        tracker.params = replace(PARAMS, long_term=False)
    tracker.reset()
    tracker.params = replace(PARAMS, long_term=False)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'mem_every': 0}, 'mem_every'), ({'top_k': 2.5}, 'top_k'), ({'long_term': 1}, 'long_term'),
    ({'mem_every': True}, 'mem_every'), ({'min_area': 2.0}, 'min_area'),
    ({'working_memory_min_frames': 10}, 'working_memory_min_frames'),
    ({'num_prototypes': 300, 'long_term_max_elements': 200}, 'num_prototypes')])
def test_parameters_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemoryTrackerParams(**changes)


def test_every_parameter_is_described() -> None:
    table = parameter_table()
    assert {'mem_every', 'working_memory_max_frames', 'working_memory_min_frames',
            'long_term_max_elements', 'num_prototypes', 'top_k', 'deep_update_every',
            'long_term'} <= {row['name'] for row in table}
    for row in table:
        assert len(row['description']) > 20
        assert row['min'] <= row['default'] <= row['max']
