# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which track goes on in which instance of a key frame: kernel association (section 3.4).

MobileInst compares the kernels of consecutive keyframes by cosine and matches them one to one.
Two things are added for a live camera.  Gates: a pair that is too unlike is no pair, so tracks can
end and begin.  Overlap: a track's old kernel, multiplied with the new frame's mask features, gives
that track's mask in the new frame (the paper's kernel reuse), and where it lies tells apart two
objects that look the same.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vos_ros.tracking.assignment import assign
from vos_ros.tracking.candidates import BoolArray
from vos_ros.tracking.candidates import FloatArray
from vos_ros.tracking.candidates import intersections
from vos_ros.tracking.sieve import swallows

# A cosine below all that may be asked for.
NO_PAIR = -2.0
# IoU from which on two masks lie in the same place.
SAME_PLACE = 0.5
# A pair that is just allowed is still better than none.
_JUST = 1e-6

_Values = TypeVar('_Values', float, FloatArray)


def cosine_similarity(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the cosine of each row of a [n, D] with each row of b [m, D]; 0 for a zero row."""
    def normed(x: FloatArray) -> FloatArray:
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.float32(1e-12))
    return normed(a) @ normed(b).T


def overlap(a: BoolArray, b: BoolArray) -> FloatArray:
    """Return the IoU of each mask of a [n, cells] with each of b [m, cells]."""
    return iou(*intersections(a, b))


def iou(shared: FloatArray, of_a: FloatArray, of_b: FloatArray) -> FloatArray:
    """Return the IoU [n, m] of masks from what `intersections` counts."""
    return shared / np.maximum(of_a[:, None] + of_b - shared, 1)


def slides(shared: FloatArray, of_track: FloatArray, of_instance: FloatArray,
           known: BoolArray, cover: float) -> BoolArray:
    """Say which pairs would hand a track an instance that swallows another: bool [n, m].

    Behind what leaves, a mask of a thing and the ground around it may come up; the track of what
    left would slide onto it and take that thing's pixels.  What lies where the track is
    (SAME_PLACE) stays its own, whatever else lies there.
    shared [n, m], of_track [n], of_instance [m]: what `intersections` counts of the masks that the
    tracks' own kernels give now and the instances.  known: bool [n], the tracks that count as
    swallowed.  cover: see `sieve.swallows`.
    """
    swallowed = swallows(shared, of_instance, of_track[:, None], cover) & known[:, None]
    others: BoolArray = np.count_nonzero(swallowed, axis=0) - swallowed > 0
    return others & (iou(shared, of_track, of_instance) < SAME_PLACE)


def similarity(cosines: _Values, overlaps: _Values, overlap_weight: float) -> _Values:
    """Return by what pairs compete: the mean of both, ``overlap_weight`` being the overlap's."""
    return (1 - overlap_weight) * cosines + overlap_weight * overlaps


def match(
        cosines: FloatArray, overlaps: FloatArray | None = None, *, min_cosine: float,
        min_overlap: float = 0.0, overlap_weight: float = 0.0) -> list[tuple[int, int]]:
    """Return (track, instance) pairs, one to one, of the greatest total similarity.

    cosines: [n, m] of kernels.  overlaps: [n, m] IoU of the tracks' propagated masks with the
    instances' masks; None where position says nothing.  A pair needs ``min_cosine`` and, with
    overlaps, ``min_overlap``; its similarity counts from what these ask for, so that two pairs
    that hardly pass are not worth more than one that fits well.
    """
    if not cosines.size:
        return []
    allowed, alike, least = cosines >= min_cosine, cosines, min_cosine
    if overlaps is not None:
        allowed = allowed & (overlaps >= min_overlap)
        alike = similarity(cosines, overlaps, overlap_weight)
        least = similarity(min_cosine, min_overlap, overlap_weight)
    if not allowed.any():
        return []
    cost = np.where(allowed, np.minimum(least - alike, 0.0) - _JUST, np.float64(0))
    # Mostly every track is most like another instance; that is then the best assignment.
    some = np.flatnonzero(allowed.any(axis=1))
    nearest = cost[some].argmin(axis=1)
    if len(set(nearest.tolist())) == len(some):
        return list(zip(some.tolist(), nearest.tolist(), strict=True))
    rows, columns = assign(cost)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)
            if allowed[row, column]]


def propagate(kernels: FloatArray, mask_features: FloatArray) -> FloatArray:
    """Return kernels [n, D] · mask features [D, h, w] = mask logits [n, h, w]."""
    depth, height, width = mask_features.shape
    product: NDArray[np.float32] = kernels @ mask_features.reshape(depth, -1)
    return product.reshape(len(kernels), height, width)
