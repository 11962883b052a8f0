# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Cuts and gaps, by the compiled loop and by numpy alike."""

import numpy as np
import pytest

from vos_ros.runtime.native import compiled
from vos_ros.tracking import scene
from vos_ros.tracking.scene import Continuity

RNG = np.random.default_rng(3)
PICTURES = [RNG.integers(0, 255, (6, 7, 3), dtype=np.uint8).repeat(17, 0).repeat(13, 1)
            for _ in range(2)]


@pytest.fixture(params=['compiled', 'plain'])
def way(request, monkeypatch):
    if request.param == 'plain':
        monkeypatch.setattr(scene, 'compiled', lambda: None)
    elif compiled() is None:
        pytest.skip('the ROS 2 package is not built')
    return request.param


def test_another_picture_is_a_break_and_a_darker_one_is_not(way):
    continuity = Continuity()
    first, other = PICTURES
    assert [continuity.breaks(picture, None, 1.0, 0.3) for picture in (
        first, first // 2, other, other, first)] == [False, False, True, False, True]
    # Another size says nothing, nor does a picture without contrast.
    assert not continuity.breaks(other[:50], None, 1.0, 0.3)
    assert not continuity.breaks(np.full((50, 91, 3), 9, np.uint8), None, 1.0, 0.3)


def test_least_correlation_of_minus_one_is_none(way):
    rng = np.random.default_rng(5)
    for _ in range(20):
        picture = rng.integers(0, 86, (96, 128, 3), dtype=np.uint8)
        continuity = Continuity()
        continuity.breaks(picture, None, 1.0, -1.0)
        assert not continuity.breaks(255 - 3 * picture, None, 1.0, -1.0)


def test_stamps_that_go_back_or_jump_are_a_break(way):
    continuity, picture = Continuity(), PICTURES[0]
    assert [continuity.breaks(picture, stamp, 1.0, 0.3) for stamp in (
        5.0, 5.5, 5.4, 5.5, 6.6, None, 9.0)] == [False, False, True, False, True, False, False]


@pytest.mark.skipif(compiled() is None, reason='the ROS 2 package is not built')
@pytest.mark.parametrize('view', [
    lambda p: p, lambda p: p[:, :90], lambda p: p[:50, :91, ::-1], lambda p: p[:3, :3]])
def test_both_ways_give_the_same(view, monkeypatch):
    before, after = (view(picture) for picture in PICTURES)
    results = []
    for _ in range(2):
        sample, energy, product = scene._compare(before, None)
        assert product is None
        results.append((energy, *scene._compare(after, sample)))
        monkeypatch.setattr(scene, 'compiled', lambda: None)
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-2)
