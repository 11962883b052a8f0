# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What comes up apart from an object is taken off it, and off nothing else."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
from test_memory_tracker import block
from test_memory_tracker import frame
from test_memory_tracker import PARAMS

from vos_ros.runtime.memory_ops_numpy import NumpyOps
from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.memory_network import EncodedFrame
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.strays import Strays

SIZE = (96, 160)
Box = tuple[int, int, int, int]


def probabilities(*objects: list[Box]) -> NDArray[np.float32]:
    """Return [objects + 1, 96, 160]: 0.9 in the boxes y1 x1 y2 x2 of each, 0.02 elsewhere."""
    planes = np.full((len(objects) + 1, *SIZE), 0.02, np.float32)
    for plane, boxes in zip(planes[1:], objects, strict=True):
        for y1, x1, y2, x2 in boxes:
            plane[y1:y2, x1:x2] = 0.9
    planes[0] = 1 - planes[1:].sum(axis=0)
    return planes


BODY = (20, 20, 60, 60)
APART = (20, 120, 32, 132)


def test_a_part_that_comes_up_elsewhere_goes_to_the_background() -> None:
    strays = Strays()
    strays.note(probabilities([BODY]), [7])
    given = probabilities([BODY, APART])
    kept = given.copy()
    found = strays.take_off(given, [7], 0.2)
    assert np.array_equal(given, kept)
    assert (found[1, 20:32, 120:132] == 0).all() and (found[0, 20:32, 120:132] > 0.95).all()
    assert np.array_equal(found[:, :, :100], given[:, :, :100])
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)
    # It is no place of the object: there next time, it is a stray again.
    assert (strays.take_off(given, [7], 0.2)[1, 20:32, 120:132] == 0).all()


@pytest.mark.parametrize(('now', 'why'), [
    ([BODY], 'in one piece'),
    ([(20, 28, 60, 68)], 'moved'),
    ([(20, 20, 60, 36), (20, 44, 60, 60)], 'parted by what passes before it'),
    ([BODY, (20, 64, 32, 72)], 'a part close by'),
    ([(20, 110, 60, 150)], 'wholly elsewhere'),
    ([BODY, (20, 100, 60, 124)], 'more than a fifth of it apart'),
])
def test_what_is_left_alone(now: list[Box], why: str) -> None:
    strays = Strays()
    strays.note(probabilities([BODY]), [7])
    given = probabilities(now)
    assert strays.take_off(given, [7], 0.2) is given, why


def test_what_was_lost_may_come_back_anywhere_and_in_parts() -> None:
    strays = Strays()
    strays.note(probabilities([BODY]), [7])
    strays.take_off(probabilities([]), [7], 0.2)
    given = probabilities([BODY, APART])
    assert strays.take_off(given, [7], 0.2) is given


def test_each_object_has_its_own_place() -> None:
    strays = Strays()
    strays.note(probabilities([BODY], [APART]), [7, 8])
    given = probabilities([BODY, (70, 120, 82, 132)], [APART, (60, 20, 64, 24)])
    found = strays.take_off(given, [7, 8], 0.2)
    assert (found[1, 70:82, 120:132] == 0).all()
    assert (found[2, 60:64, 20:24] == 0).all()
    assert (found[2, 20:32, 120:132] == np.float32(0.9)).all()
    strays.forget([8])
    found = strays.take_off(given, [7, 8], 0.2)
    assert (found[1, 70:82, 120:132] == 0).all()
    assert (found[2, 60:64, 20:24] == np.float32(0.9)).all()


def test_a_stray_on_another_object_is_that_objects() -> None:
    strays = Strays()
    strays.note(probabilities([BODY], [(20, 100, 60, 140)]), [7, 8])
    given = probabilities([BODY, APART], [(20, 100, 60, 140)])
    given[:, 16:36, 116:136] = np.array([0.25, 0.35, 0.4], np.float32)[:, None, None]
    given[:, 20:32, 120:132] = np.array([0.2, 0.45, 0.35], np.float32)[:, None, None]
    found = strays.take_off(given, [7, 8], 0.2)
    assert (found.argmax(axis=0) == 2)[20:60, 100:140].all()
    np.testing.assert_allclose(found[:, 25, 125], [0.2 / 0.55, 0, 0.35 / 0.55], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)


def test_a_stray_where_nothing_else_was_thought_of_is_background() -> None:
    strays = Strays()
    strays.note(probabilities([BODY]), [7])
    given = probabilities([BODY, APART])
    given[:, 20:32, 120:132] = np.array([0, 1], np.float32)[:, None, None]
    found = strays.take_off(given, [7], 0.2)
    assert (found[:, 25, 125] == (1, 0)).all()


def test_a_place_lasts_over_a_change_of_size() -> None:
    strays = Strays()
    strays.note(probabilities([BODY]), [7])
    given = probabilities([BODY, APART])
    smaller = np.ascontiguousarray(given[:, ::2, ::2])
    assert not strays.take_off(smaller, [7], 0.2)[1, 10:16, 60:66].any()
    assert not strays.take_off(given, [7], 0.2)[1, 20:32, 120:132].any()


def test_places_that_were_saved() -> None:
    strays, again = Strays(), Strays()
    strays.note(probabilities([BODY], [APART]), [7, 8])
    again.restore(strays.export(), [7, 9])
    given = probabilities([BODY, APART])
    assert np.array_equal(again.take_off(given, [7], 0.2), strays.take_off(given, [7], 0.2))
    with pytest.raises(ValueError, match=r'place\.7 is \(4,\), must have 2 dimensions'):
        again.restore({'place.7': np.zeros(4, np.uint8)}, [7])


class Told:
    """A network that finds what it is told, so that it is known what is a stray."""

    key_dim, value_dim, hidden_dim = 4, 4, 0
    digest = weights_digest = 'told'

    def __init__(self) -> None:
        self.ops = NumpyOps(1)
        self.shown = probabilities([BODY, APART])
        self.remembered: list[NDArray[np.float32]] = []

    def encode_key(self, image: NDArray[np.float32]) -> EncodedFrame:
        grid = (image.shape[1] // 16, image.shape[2] // 16)
        key = np.random.default_rng(0).random((grid[0] * grid[1], 4), np.float32)
        return EncodedFrame(key, np.ones(len(key), np.float32), key, grid, None)

    def decode(self, *_: Any) -> tuple[NDArray[np.float32], None]:
        return self.shown, None

    def encode_value(self, frame: EncodedFrame, masks: NDArray[np.float32],
                     _: Any) -> tuple[NDArray[np.float32], None]:
        self.remembered.append(masks)
        return np.zeros((len(masks), frame.grid[0] * frame.grid[1], 4), np.float32), None


IMAGE = np.zeros((*SIZE, 3), np.uint8)
ON = MemoryTrackerParams(short_side=0, mem_every=1, stray_share=0.2)
OFF = replace(ON, stray_share=0.0)
WHOLE, WITH_STRAY = 40 * 40, 40 * 40 + 12 * 12


def given(*boxes: Box, obj: int = 1) -> NDArray[np.uint16]:
    mask = np.zeros(SIZE, np.uint16)
    for y1, x1, y2, x2 in boxes:
        mask[y1:y2, x1:x2] = obj
    return mask


def area(tracker: MemoryTracker) -> int:
    """Return how much of object 1 the next frame shows."""
    return int((tracker.step(IMAGE).label_map == 1).sum())


@pytest.mark.parametrize('late', [False, True])
def test_a_stray_is_neither_shown_nor_remembered(late: bool) -> None:
    network = Told()
    tracker = MemoryTracker(network, ON)
    tracker.late = late
    tracker.step(IMAGE, given(BODY))
    assert [area(tracker) for _ in range(3)] == [WHOLE] * 3
    tracker.finish()
    assert [int((masks[0] > 0.5).sum()) for masks in network.remembered] == [WHOLE] * 4
    assert area(MemoryTracker(network, OFF)) == 0, 'nothing is followed'


def test_without_it_is() -> None:
    tracker = MemoryTracker(Told(), OFF)
    tracker.step(IMAGE, given(BODY))
    assert [area(tracker) for _ in range(3)] == [WITH_STRAY] * 3
    # Switched on, the object is where it was last shown, not where it once was.
    tracker.params = ON
    assert area(tracker) == WITH_STRAY
    tracker.params = OFF
    tracker.params = ON
    assert area(tracker) == WITH_STRAY


def test_a_correction_says_where_the_object_is() -> None:
    tracker = MemoryTracker(Told(), ON)
    tracker.step(IMAGE, given(BODY))
    assert area(tracker) == WHOLE
    tracker.step(IMAGE, given(BODY, APART))
    assert area(tracker) == WITH_STRAY


def test_an_object_removed_leaves_no_place() -> None:
    network = Told()
    tracker = MemoryTracker(network, ON)
    tracker.step(IMAGE, given(BODY) + given(APART, obj=2))
    tracker.remove([1])
    assert list(tracker._core._strays.export()) == ['place.2']
    tracker.reset()
    assert not tracker._core._strays.export()


@pytest.mark.parametrize(('saved', 'loaded', 'expected'), [
    (ON, ON, WHOLE), (ON, OFF, WITH_STRAY), (OFF, ON, WITH_STRAY)])
def test_places_over_a_restart(tmp_path: Path, saved: MemoryTrackerParams,
                               loaded: MemoryTrackerParams, expected: int) -> None:
    network = Told()
    tracker, fresh = MemoryTracker(network, saved), MemoryTracker(network, loaded)
    tracker.step(IMAGE, given(BODY))
    tracker.save(tmp_path / 'memory')
    fresh.load(tmp_path / 'memory')
    assert area(fresh) == expected
    # What was saved is not what counts when it is switched on later.
    if loaded is ON:
        fresh.params = OFF
        area(fresh)
    fresh.params = ON
    assert area(fresh) == WITH_STRAY


def test_a_frame_that_failed_leaves_no_place_of_what_it_brought(monkeypatch: Any) -> None:
    network = Told()
    tracker = MemoryTracker(network, ON)
    tracker.step(IMAGE, given(BODY))

    def fail(*_: Any) -> None:
        raise RuntimeError('out of memory')
    monkeypatch.setattr(network, 'encode_value', fail)
    with pytest.raises(RuntimeError, match='out of memory'):
        tracker.step(IMAGE, given(APART, obj=2))
    assert list(tracker._core._strays.export()) == ['place.1']


def test_the_tracker_takes_strays_off_and_goes_on_so_after_a_restart(
        tiny: Any, tmp_path: Path) -> None:
    """By a random network, whose masks fall into many parts."""
    plain = MemoryTracker(tiny, PARAMS)
    tracker = MemoryTracker(tiny, replace(PARAMS, stray_share=0.5))
    differ = 0
    for number in range(12):
        mask = block((1, 4, 4), (2, 36, 60)) if number == 0 else None
        one, other = (each.step(frame(number), mask) for each in (plain, tracker))
        differ += not np.array_equal(one.label_map, other.label_map)
        assert tracker.probabilities is not None
        np.testing.assert_allclose(tracker.probabilities.sum(axis=0), 1, atol=1e-5)
    assert differ
    tracker.save(tmp_path / 'memory')
    fresh = MemoryTracker(tiny, tracker.params)
    fresh.load(tmp_path / 'memory')
    for number in range(12, 20):
        assert np.array_equal(tracker.step(frame(number)).label_map,
                              fresh.step(frame(number)).label_map)
    # Off, as it is at any time, it is the published method again from the next frame on.
    tracker.params = replace(tracker.params, stray_share=0.0)
    tracker.save(tmp_path / 'memory')
    fresh = MemoryTracker(tiny, tracker.params)
    fresh.load(tmp_path / 'memory')
    assert np.array_equal(tracker.step(frame(20)).label_map, fresh.step(frame(20)).label_map)
