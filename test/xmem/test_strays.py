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

from vos_ros.tracking.engine import MemoryTracker
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
    assert (found[1, 70:82, 120:132] == 0).all() and np.array_equal(found[2], given[2])


def test_a_frame_of_another_size_has_no_frame_before() -> None:
    strays = Strays()
    strays.note(probabilities([BODY])[:, :80], [7])
    given = probabilities([BODY, APART])
    assert strays.take_off(given, [7], 0.2) is given
    assert strays.take_off(given, [7], 0.2) is given, 'it was there in the frame before'


def test_places_that_were_saved() -> None:
    strays, again = Strays(), Strays()
    strays.note(probabilities([BODY], [APART]), [7, 8])
    again.restore(strays.export(), [7, 9])
    given = probabilities([BODY, APART])
    assert np.array_equal(again.take_off(given, [7], 0.2), strays.take_off(given, [7], 0.2))
    with pytest.raises(ValueError, match=r'place\.7 is \(4,\), must have 2 dimensions'):
        again.restore({'place.7': np.zeros(4, np.uint8)}, [7])


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
