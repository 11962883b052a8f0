# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Queries that answer for the same object vote on its mask and kernel."""

from dataclasses import replace

import numpy as np
import pytest

from vos_ros.runtime.mobileinst import KeyOutput
from vos_ros.tracking import sieve
from vos_ros.tracking.bits import pack
from vos_ros.tracking.candidates import find_candidates
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.sieve import votes

CELLS = (12, 16)
PARAMS = InstanceTrackerParams(duplicate_iou=0.4, vote_iou=0.6)


def box(y0, x0, y1, x1):
    mask = np.zeros(CELLS, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def key(footprints, objectness, seed=0):
    """A keyframe whose masks are kernels times features and sharp on the footprints given."""
    features = np.stack([np.where(f, 6.0, -6.0) for f in footprints]).astype(np.float32)
    kernels = np.eye(len(footprints), dtype=np.float32)
    logits = np.full((len(footprints), 3), 4.0, np.float32)
    return KeyOutput(
        logits=logits, objectness=np.array(objectness, np.float32), kernels=kernels,
        mask_features=features, masks=features.copy(), context=None)


def test_votes_are_means_of_what_overlaps():
    masks = np.stack([box(0, 0, 6, 6), box(0, 0, 6, 5), box(0, 0, 3, 6), box(6, 8, 12, 16)])
    scores = np.array([0.9, 0.6, 0.8, 0.7], np.float32)
    weights = votes(pack(masks.reshape(4, -1)), scores, np.array([0, 3]), 0.6)
    assert weights.shape == (2, 4) and weights.dtype == np.float32
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    shared = np.array([0.9 ** 2, 0.6 ** 2 * 30 / 36])
    np.testing.assert_allclose(weights[0], [*shared / shared.sum(), 0, 0], rtol=1e-5)
    np.testing.assert_allclose(weights[1], [0, 0, 0, 1])
    alone = votes(pack(masks.reshape(4, -1)), scores, np.array([0, 3]), 1.0)
    np.testing.assert_array_equal(alone, np.eye(4)[[0, 3]])
    nothing = votes(pack(masks.reshape(4, -1)), np.zeros(4, np.float32), np.array([0]), 0.6)
    assert np.isfinite(nothing).all() and abs(nothing.sum() - 1) < 1e-6


@pytest.mark.parametrize('plain', [False, True])
def test_what_is_kept_beside_it_has_no_say(monkeypatch, plain):
    if plain:
        monkeypatch.setattr(sieve, 'compiled', lambda: None)
    left, right = box(2, 2, 10, 10), box(2, 3, 10, 11)          # IoU 7 / 9
    output = key([left, right, left | box(10, 2, 11, 10)], [3.0, 2.0, 1.5])
    both = replace(PARAMS, duplicate_iou=0.85, duplicate_cover=1.0)
    found = find_candidates(output, CELLS, both)
    assert len(found) == 2
    for footprint, mask in zip(found.footprints, (left, right), strict=True):
        np.testing.assert_array_equal(footprint.reshape(CELLS), mask)
    # The third, left out, votes on the first alone; neither kernel has the other's.
    assert found.kernels[0, 2] > 0 and found.kernels[0, 1] == found.kernels[1, 0] == 0


def test_the_majority_mends_what_the_best_got_wrong():
    right = box(2, 2, 8, 10)
    wrong = right | box(8, 2, 10, 6)                # the best one has a tail too much
    output = key([wrong, right, right, box(0, 12, 4, 16)], [3.0, 2.8, 2.8, 2.0])
    found = find_candidates(output, CELLS, PARAMS)
    assert len(found) == 2
    np.testing.assert_array_equal(found.footprints[0].reshape(CELLS), right)
    # The kernel is the one of that mask: it draws it on the same features.
    again = (found.kernels @ output.mask_features.reshape(4, -1)).reshape(-1, *CELLS)
    np.testing.assert_allclose(again, found.logits, atol=1e-5)
    alone = find_candidates(output, CELLS, replace(PARAMS, vote_iou=1.0))
    np.testing.assert_array_equal(alone.footprints[0].reshape(CELLS), wrong)
    np.testing.assert_allclose(alone.scores, found.scores)


def test_no_candidates_is_no_error():
    found = find_candidates(key([box(0, 0, 4, 4)], [-9.0]), CELLS, PARAMS)
    assert len(found) == 0 and found.logits.shape == (0, *CELLS) and found.kernels.shape == (0, 1)


def test_a_crowd_of_queries_is_cut_to_the_best():
    masks = [box(y, x, y + 2, x + 2) for y in range(0, 12, 2) for x in range(0, 16, 2)]
    strength = np.random.default_rng(0).permutation(3 * len(masks)).astype(np.float32) / 50 + 1
    output = key(masks * 3, strength)
    params = replace(PARAMS, keep_score=0.1, duplicate_iou=1.0, duplicate_cover=1.0, vote_iou=1.0)
    found = find_candidates(output, CELLS, replace(params, max_tracks=1))
    best = np.argsort(-strength, kind='stable')[:100]
    # Equal masks are duplicates, whatever the settings.
    assert len(found) == len({int(query) % len(masks) for query in best})
    everything = find_candidates(output, CELLS, replace(params, max_tracks=50))
    assert len(everything) == len(masks)
    np.testing.assert_allclose(found.scores, everything.scores[:len(found)])
