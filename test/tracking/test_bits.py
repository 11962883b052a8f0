# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Masks as bits against the same masks counted one cell at a time."""

import numpy as np
import pytest

from vos_ros.tracking import bits
from vos_ros.tracking.candidates import intersections
from vos_ros.tracking.sieve import distinct
from vos_ros.tracking.sieve import repeats


@pytest.mark.parametrize('cells', [1, 7, 64, 65, 130, 2240])
def test_counts_are_those_of_the_cells(cells):
    masks = np.random.default_rng(cells).random((9, cells)) < 0.4
    packed = bits.pack(masks)
    assert packed.shape == (9, -(-cells // 64)) and packed.dtype == np.uint64
    assert np.array_equal(bits.count(packed), masks.sum(axis=1))
    shared, of_a, of_b = intersections(masks[:4], masks[4:])
    assert np.array_equal(shared, (masks[:4, None] & masks[None, 4:]).sum(axis=2))
    assert np.array_equal(of_a, masks[:4].sum(axis=1))
    assert np.array_equal(of_b, masks[4:].sum(axis=1))


def test_no_masks_are_no_bits():
    assert bits.count(bits.pack(np.zeros((0, 100), bool))).shape == (0,)
    assert intersections(np.zeros((0, 100), bool), np.ones((2, 100), bool))[0].shape == (0, 2)


@pytest.mark.parametrize('iou, cover', [(0.3, 0.5), (0.6, 0.85), (1.0, 1.0)])
def test_distinct_keeps_what_a_loop_over_pairs_keeps(iou, cover):
    rng = np.random.default_rng(3)
    places = rng.integers(0, 40, (30, 2))
    masks = np.zeros((30, 64, 64), bool)
    for mask, (y, x), side in zip(masks, places, rng.integers(5, 24, 30), strict=True):
        mask[y:y + side, x:x + side] = True
    masks = masks.reshape(30, -1)
    kept = []
    for row in range(30):
        if not any(repeats(np.float32((masks[row] & masks[other]).sum()),
                           np.float32(masks[row].sum()), np.float32(masks[other].sum()),
                           iou, cover) for other in kept):
            kept.append(row)
    assert distinct(bits.pack(masks), iou, cover).tolist() == kept
    assert len(kept) < 30 or iou == 1.0
