# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The DAVIS measures, J and F: by hand, by distances, and as the published code gives them."""

import math

import numpy as np
import pytest

from vos_ros.evaluate.davis_metrics import boundary
from vos_ros.evaluate.davis_metrics import boundary_accuracy
from vos_ros.evaluate.davis_metrics import region_similarity


def box(height, width, y1, x1, y2, x2):
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def blob(height, width, y, x, a, b, angle=0.0):
    ys, xs = np.mgrid[:height, :width]
    u = (xs - x) * math.cos(angle) + (ys - y) * math.sin(angle)
    v = (ys - y) * math.cos(angle) - (xs - x) * math.sin(angle)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


# prediction, truth
CASES = {
    'shifted': (blob(120, 214, 60, 103, 50, 25), blob(120, 214, 60, 100, 50, 25)),
    'turned': (blob(240, 427, 120, 210, 130, 60, 0.2), blob(240, 427, 118, 205, 120, 66)),
    'edge': (blob(97, 61, 90, 5, 40, 22, -0.7), blob(97, 61, 95, 0, 36, 25, -0.5)),
    'two': (blob(150, 200, 40, 50, 20, 30) | blob(150, 200, 100, 150, 31, 22),
            blob(150, 200, 42, 50, 20, 30)),
    'dots': (blob(150, 200, 70, 90, 40, 40) ^ (np.indices((150, 200)).sum(0) % 17 == 0),
             blob(150, 200, 70, 90, 40, 40)),
}
# J and F of these cases, as the published DAVIS 2017 evaluation code gives them.
PUBLISHED = {
    'shifted': (0.9266732283464567, 0.8092105263157895),
    'turned': (0.8024691358024691, 0.21174807240205828),
    'edge': (0.6933229813664596, 0.15294117647058822),
    'two': (0.4405577299412916, 0.6538461538461539),
    'dots': (0.7287822878228782, 0.15780730897009965),
}


def test_region_similarity_of_boxes():
    # 4 x 6 and 4 x 6, shifted by 2 columns: 16 common pixels of 32.
    assert region_similarity(box(8, 12, 2, 2, 6, 8), box(8, 12, 2, 4, 6, 10)) == 0.5
    empty = np.zeros((8, 12), bool)
    assert region_similarity(empty, empty) == 1
    assert region_similarity(empty, box(8, 12, 0, 0, 1, 1)) == 0


def test_boundary_is_half_a_pixel_to_the_upper_left():
    mask = box(6, 7, 2, 3, 4, 5)
    # Left and upper neighbours of the 2 x 2 box, and the box's own right and lower pixels.
    assert sorted(zip(*np.nonzero(boundary(mask)), strict=True)) == [
        (1, 2), (1, 3), (1, 4), (2, 2), (2, 4), (3, 2), (3, 3), (3, 4)]
    assert not boundary(np.ones((6, 7), bool)).any()


def test_boundary_accuracy_of_lines():
    # A vertical edge at column 10 against one at column 13: matched from a tolerance of 3 on.
    a, b = box(40, 40, 0, 0, 40, 10), box(40, 40, 0, 0, 40, 13)
    assert boundary_accuracy(a, b, 3) == 1
    assert boundary_accuracy(a, b, 2) == 0
    # Half of the predicted edge is 20 columns away: precision 1/2 (20 of 40), recall close to it.
    c = b.copy()
    c[20:, 13:33] = True
    precision, recall = boundary_accuracy_parts(c, b, 1)
    assert boundary_accuracy(c, b, 1) == pytest.approx(
        2 * precision * recall / (precision + recall))
    # ceil(0.008 * diagonal) pixels: 0.008 * hypot(480, 854) = 7.84 -> 8
    d, e = box(480, 854, 0, 0, 480, 100), box(480, 854, 0, 0, 480, 108)
    assert boundary_accuracy(d, e) == 1
    assert boundary_accuracy(d, box(480, 854, 0, 0, 480, 109)) == 0


def boundary_accuracy_parts(prediction, truth, radius):
    """Precision and recall by distances between all pairs of boundary pixels."""
    p, t = (np.argwhere(boundary(m)).astype(float) for m in (prediction, truth))
    near = ((p[:, None] - t[None]) ** 2).sum(-1) <= radius ** 2
    return near.any(1).mean(), near.any(0).mean()


@pytest.mark.parametrize('name', CASES)
def test_boundary_accuracy_by_distances(name):
    prediction, truth = CASES[name]
    for radius in (1, 2, 3, 5):
        precision, recall = boundary_accuracy_parts(prediction, truth, radius)
        assert boundary_accuracy(prediction, truth, radius) == pytest.approx(
            2 * precision * recall / (precision + recall), abs=1e-12)


@pytest.mark.parametrize('name', CASES)
def test_as_the_published_evaluation(name):
    j, f = PUBLISHED[name]
    assert region_similarity(*CASES[name]) == pytest.approx(j, abs=1e-9)
    assert boundary_accuracy(*CASES[name]) == pytest.approx(f, abs=1e-9)


def test_empty_masks_and_sizes():
    empty, some = np.zeros((20, 20), bool), box(20, 20, 5, 5, 9, 9)
    assert boundary_accuracy(empty, empty) == 1
    assert boundary_accuracy(empty, some) == 0
    assert boundary_accuracy(some, empty) == 0
    with pytest.raises(ValueError, match='different sizes'):
        region_similarity(empty, np.zeros((20, 21), bool))
