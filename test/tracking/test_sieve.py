# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Both sieves see the same in the masks of a key frame."""

import numpy as np
import pytest

from vos_ros.runtime.native import compiled
from vos_ros.tracking.bits import count
from vos_ros.tracking.sieve import NativeSieve
from vos_ros.tracking.sieve import PlainSieve

needs_compiled = pytest.mark.skipif(
    compiled() is None, reason='the compiled loops are not built here')


def blobs(rng, n, height, width):
    """Masks that overlap a little, a lot or not at all: logits of noisy ellipses."""
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    masks = np.empty((n, height, width), np.float32)
    y = x = a = b = 0.0
    for k in range(n):
        y, x = y + rng.normal(0, 0.7), x + rng.normal(0, 0.7)       # much like the one before
        if k % 3 == 0:
            y, x = rng.uniform(0, height), rng.uniform(0, width)
            a, b = rng.uniform(0.5, height / 2, 2)
        masks[k] = 6 * (1 - np.hypot((ys - y) / a, (xs - x) / b)) + rng.normal(0, 1.5, ys.shape)
    return masks


def within(masks, cells):
    return masks[:, :cells[0], :cells[1]]


@needs_compiled
@pytest.mark.parametrize(('size', 'cells'), [
    ((48, 64), (48, 64)), ((40, 56), (40, 56)), ((48, 64), (27, 64)), ((48, 64), (48, 37)),
    ((8, 8), (3, 5)), ((40, 56), (1, 1))])
def test_compiled_and_plain_outlines_are_equal(size, cells):
    rng = np.random.default_rng(sum(size) + sum(cells))
    masks = blobs(rng, 30, *size)
    masks[4], masks[5], masks[6, ::2] = -50.0, 90.0, -90.0
    masks = within(masks, cells)
    rows = rng.permutation(30)[:23]
    plain = PlainSieve().outline(masks, rows, -0.2)
    native = NativeSieve().outline(masks, rows, -0.2)
    np.testing.assert_array_equal(native.bits, plain.bits)
    np.testing.assert_array_equal(native.areas, plain.areas)
    np.testing.assert_allclose(native.sums, plain.sums, rtol=3e-6)
    assert native.sums.dtype == plain.sums.dtype and native.areas.dtype == plain.areas.dtype
    inside = masks[rows].reshape(23, -1) > -0.2
    np.testing.assert_array_equal(plain.areas, inside.sum(1))
    np.testing.assert_array_equal(count(plain.bits), plain.areas)
    np.testing.assert_allclose(
        plain.sums, (inside / (1 + np.exp(-masks[rows].reshape(23, -1).astype(float)))).sum(1),
        rtol=1e-4)


@needs_compiled
@pytest.mark.parametrize(('iou', 'cover'), [(0.4, 0.7), (0.0, 0.0), (1.0, 1.0), (0.6, 1.0)])
def test_compiled_and_plain_sieves_keep_the_same(iou, cover):
    rng = np.random.default_rng(7)
    masks = blobs(rng, 60, 48, 64)
    rows = rng.permutation(60)
    outlines = PlainSieve().outline(masks, rows, 0.0)
    outlines = outlines.of(np.flatnonzero(outlines.areas > 0))
    plain = PlainSieve().distinct(outlines, iou, cover)
    native = NativeSieve().distinct(outlines, iou, cover)
    np.testing.assert_array_equal(native, plain)
    assert len(plain) and native.dtype == plain.dtype


@needs_compiled
@pytest.mark.parametrize('cells', [(48, 64), (33, 50)])
@pytest.mark.parametrize('vote_iou', [0.0, 0.5, 1.0])
def test_compiled_and_plain_votes_are_equal(cells, vote_iou):
    rng = np.random.default_rng(5)
    masks = within(blobs(rng, 60, 48, 64), cells)
    rows = rng.permutation(60)[:50]
    outlines = PlainSieve().outline(masks, rows, 0.0)
    good = np.flatnonzero(outlines.areas > 0)
    rows, outlines = rows[good], outlines.of(good)
    scores = np.sort(rng.uniform(0, 1, len(good)).astype(np.float32))[::-1]
    kept = PlainSieve().distinct(outlines, 0.4, 0.7)
    given = masks, rows, outlines, scores, kept, vote_iou
    plain, native = PlainSieve().vote(*given), NativeSieve().vote(*given)
    for ours, theirs in zip(native, plain, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)
    np.testing.assert_array_equal(native[0] > 0, plain[0] > 0)


@pytest.mark.parametrize('sieve', [PlainSieve(), pytest.param(
    None if compiled() is None else NativeSieve(), marks=needs_compiled)])
def test_no_masks_are_no_error(sieve):
    masks, none = np.zeros((4, 6, 8), np.float32), np.zeros(0, np.intp)
    outlines = sieve.outline(masks, none, 0.0)
    assert outlines.bits.shape == (0, 1) and outlines.areas.shape == outlines.sums.shape == (0,)
    assert sieve.distinct(outlines, 0.5, 0.5).shape == (0,)
    weights, logits = sieve.vote(masks, none, outlines, outlines.sums, none, 0.5)
    assert weights.shape == (0, 0) and logits.shape == (0, 6, 8)
    empty = sieve.outline(masks, np.array([1, 2]), 0.0)     # nothing lies above the threshold
    assert empty.areas.tolist() == [0, 0] and empty.sums.tolist() == [0.0, 0.0]


@needs_compiled
def test_masks_that_cannot_be_read_in_place_are_refused():
    with pytest.raises(ValueError, match='strides'):
        NativeSieve().outline(np.zeros((2, 8, 16), np.float32)[:, :, ::2], np.array([0]), 0.0)


@needs_compiled
@pytest.mark.parametrize('least', [0.0, 0.3, 2.0])
@pytest.mark.parametrize('most', [1, 40, 500])
@pytest.mark.parametrize('classes', [1, 3, 12])
def test_compiled_and_plain_ranks_are_equal(least, most, classes):
    rng = np.random.default_rng(classes)
    logits = rng.normal(-2, 3, (111, classes)).astype(np.float32)
    objectness = rng.normal(0, 3, 111).astype(np.float32)
    logits[3], objectness[3], logits[4], objectness[5] = 100.0, 100.0, -100.0, -100.0
    logits[7], objectness[7] = logits[8], objectness[8]             # a tie
    plain = PlainSieve().rank(logits, objectness, least, most)
    native = NativeSieve().rank(logits, objectness, least, most)
    np.testing.assert_allclose(native.probs, plain.probs, rtol=2e-6, atol=2e-7)
    # numpy's way through tanh has few places left near 0, and a root makes much of that.
    np.testing.assert_allclose(native.scores ** 2, plain.scores ** 2, rtol=4e-6, atol=2e-7)
    np.testing.assert_array_equal(native.rows, plain.rows)
    assert len(plain.rows) == min(most, np.count_nonzero(plain.scores >= least))
    assert native.rows.dtype == plain.rows.dtype
