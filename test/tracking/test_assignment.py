# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The Hungarian assignment against scipy's, and the gates of the association around it."""

import numpy as np
import pytest

from vos_ros.tracking.assignment import assign
from vos_ros.tracking.association import cosine_similarity
from vos_ros.tracking.association import match
from vos_ros.tracking.association import overlap

GATES = dict(min_cosine=0.3, min_overlap=0.1, overlap_weight=0.5)


@pytest.mark.parametrize('kind', ['real', 'ties', 'forbidden'])
def test_total_cost_is_scipys(kind):
    linear_sum_assignment = pytest.importorskip('scipy.optimize').linear_sum_assignment
    rng = np.random.default_rng(11)
    for _ in range(400):
        n, m = rng.integers(0, 14, 2)
        cost = rng.normal(size=(n, m))
        if kind == 'ties':
            cost = cost.round()
        elif kind == 'forbidden':
            cost[rng.random((n, m)) < 0.7] = 1e3
        rows, columns = assign(cost)
        assert len(rows) == min(n, m) == len(set(rows)) == len(set(columns))
        assert (np.diff(rows) > 0).all()
        best = cost[linear_sum_assignment(cost)].sum()
        assert cost[rows, columns].sum() == pytest.approx(best, abs=1e-9)


def test_bad_costs_are_refused():
    with pytest.raises(ValueError, match='3 dimensions'):
        assign(np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match='not finite'):
        assign([[1.0, np.nan]])


def test_cosine_has_no_length():
    a = np.array([[1, 0], [0, 0]], np.float32)
    b = np.array([[5, 0], [-1e-3, 0], [0, 2], [3, 3]], np.float32)
    assert cosine_similarity(a, b) == pytest.approx(
        np.array([[1, -1, 0, 0.5 ** 0.5], [0, 0, 0, 0]]), abs=1e-6)


def test_overlap_is_iou():
    a = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], bool)
    b = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
    assert overlap(a, b) == pytest.approx(np.array([[1, 1 / 3, 0], [0, 0, 0]]))


def test_one_instance_goes_to_one_track():
    cosines = np.array([[0.9], [0.95], [0.8]], np.float32)
    assert match(cosines, np.ones((3, 1), np.float32), **GATES) == [(1, 0)]


def test_the_total_counts_not_the_greediest_pair():
    cosines = np.array([[1.0, 0.9], [0.95, 0.3]], np.float32)
    overlaps = np.ones((2, 2), np.float32)
    assert match(cosines, overlaps, **GATES) == [(0, 1), (1, 0)]


@pytest.mark.parametrize(('cosine', 'iou', 'paired'), [
    (0.31, 0.5, True), (0.29, 0.5, False), (0.9, 0.05, False), (0.31, None, True),
    (0.29, None, False)])
def test_gates(cosine, iou, paired):
    overlaps = None if iou is None else np.full((1, 1), iou, np.float32)
    pairs = match(np.full((1, 1), cosine, np.float32), overlaps, **GATES)
    assert pairs == ([(0, 0)] if paired else [])


def test_a_forbidden_pair_does_not_spoil_an_allowed_one():
    cosines = np.array([[0.2, 0.9], [0.1, 0.2]], np.float32)
    assert match(cosines, np.ones((2, 2), np.float32), **GATES) == [(0, 1)]


def test_two_pairs_that_hardly_pass_are_not_worth_one_that_fits():
    cosines = np.array([[0.95, 0.45], [0.45, 0.1]], np.float32)
    overlaps = np.array([[0.9, 0.15], [0.15, 0.0]], np.float32)
    assert match(cosines, overlaps, **GATES) == [(0, 0)]


def test_a_pair_that_just_passes_is_better_than_none():
    assert match(np.full((2, 2), -0.5, np.float32), min_cosine=-0.5) == [(0, 0), (1, 1)]


def test_overlap_tells_apart_what_looks_the_same():
    cosines = np.array([[0.90, 0.91], [0.91, 0.90]], np.float32)
    overlaps = np.array([[0.9, 0.2], [0.2, 0.9]], np.float32)
    assert match(cosines, overlaps, **GATES) == [(0, 0), (1, 1)]
    assert match(cosines, overlaps, **{**GATES, 'overlap_weight': 0.0}) == [(0, 1), (1, 0)]


def test_nothing_to_match():
    for shape in ((0, 3), (3, 0), (0, 0)):
        empty = np.zeros(shape, np.float32)
        assert match(empty, empty, **GATES) == []
