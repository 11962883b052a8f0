# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a key frame's queries to the few instances worth tracking."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.mobileinst import KeyOutput
from vos_ros.tracking.bits import Bits
from vos_ros.tracking.bits import count
from vos_ros.tracking.bits import pack
from vos_ros.tracking.params import InstanceTrackerParams

# So many queries may answer for one instance (see train/one_to_many.py).  Of more than that for
# each track that there may be, the best are looked at: it bounds the cost of a crowded key frame.
_ANSWERS, _LEAST = 6, 100

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """k instances of one key frame, best score first.

    scores: float32 [k].  class_probs: float32 [k, C].  kernels: float32 [k, D].
    logits: float32 [k, h, w].  footprints: bool [k, h·w], the cells of each mask.
    """

    scores: FloatArray
    class_probs: FloatArray
    kernels: FloatArray
    logits: FloatArray
    footprints: BoolArray

    def __len__(self) -> int:
        """Return k."""
        return len(self.scores)


def sigmoid(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)), without overflow for any float32."""
    return np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1))


def mask_logit(probability: float) -> float:
    """Return the logit of a probability strictly between 0 and 1."""
    return float(np.log(probability / (1 - probability)))


def find_candidates(
        output: KeyOutput, cells: tuple[int, int], params: InstanceTrackerParams,
        ) -> Candidates:
    """Score a key frame's queries and return those that can start or carry on a track.

    score = sqrt(class · objectness) · maskness, with maskness the mean probability inside the
    mask (the inference rule of SparseInst, which MobileInst follows).
    cells: (h, w) of the mask cells that the frame covers; what lies in the padding is cut off.
    """
    probs = sigmoid(output.logits)
    scores = np.sqrt(probs.max(axis=1) * sigmoid(output.objectness))
    # Maskness is at most 1, so a query below the threshold already cannot come above it: its
    # mask need not be looked at.  Nor need one be that is too small.
    masks = output.masks[:, :cells[0], :cells[1]]
    size = cells[0] * cells[1]
    least = max(1.0, params.min_area * size)
    rows = np.flatnonzero(scores >= params.keep_score)
    most = max(_LEAST, _ANSWERS * params.max_tracks)
    if len(rows) > most:
        rows = rows[np.argsort(-scores[rows], kind='stable')[:most]]
    looked_at = masks[rows].reshape(len(rows), size)
    footprints = looked_at > mask_logit(params.mask_threshold)
    bits = pack(footprints)
    areas = count(bits)
    large = areas >= least
    if not large.all():
        rows, looked_at, footprints = rows[large], looked_at[large], footprints[large]
        bits, areas = bits[large], areas[large]
    scores = scores[rows] * _maskness(looked_at, footprints, areas)
    order = np.flatnonzero(scores >= params.keep_score)
    order = order[np.argsort(-scores[order], kind='stable')]
    kept = distinct(bits[order], params.duplicate_iou, params.duplicate_cover)
    weights = votes(bits[order], scores[order], kept, params.vote_iou)
    voters = np.flatnonzero(weights.any(axis=0))
    weights = weights[:, voters]
    asked = order[voters]
    logits = (weights @ looked_at[asked]).reshape(len(kept), *cells)
    return Candidates(
        scores[order[kept]].astype(np.float32), probs[rows[order[kept]]],
        weights @ output.kernels[rows[asked]], logits,
        logits.reshape(len(kept), size) > mask_logit(params.mask_threshold))


def _maskness(
        logits: FloatArray, footprints: BoolArray, areas: NDArray[np.int64]) -> FloatArray:
    """Return each mask's mean probability inside itself, float32 [k]; no mask may be empty."""
    if not len(areas):
        return np.zeros(0, np.float32)
    # The cells inside all masks in one row, so that the others are never computed.
    inside = sigmoid(logits[footprints])
    sums = np.add.reduceat(inside, np.cumsum(areas) - areas)
    return (sums / areas).astype(np.float32)


def distinct(bits: Bits, duplicate_iou: float, duplicate_cover: float) -> NDArray[np.intp]:
    """Return the rows of masks that repeat no earlier row kept: greedy, so sort the best first.

    MobileInst's matching makes one query answer for one instance and needs no suppression; weights
    from little data still double up at times.
    """
    kept: list[int] = []
    areas = count(bits).astype(np.float32)
    left = np.arange(len(bits))
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        shared = count(bits[left] & bits[best]).astype(np.float32)
        left = left[~repeats(shared, areas[left], areas[best], duplicate_iou, duplicate_cover)]
    return np.array(kept, np.intp)


def votes(
        bits: Bits, scores: FloatArray, chosen: NDArray[np.intp], vote_iou: float) -> FloatArray:
    """Return the weights float32 [k, n] by which n masks make up the k that were chosen of them.

    Queries on a grid answer for one object several times, each a little wrong in a way of its own.
    Those whose masks overlap a chosen one by ``vote_iou`` vote on it, by overlap and squared
    score. Masks are kernels times features, so the mean of the kernels is that of the masks.
    """
    areas = count(bits).astype(np.float32)
    shared = count(bits[chosen][:, None] & bits[None]).astype(np.float32)
    iou = shared / (areas[chosen][:, None] + areas - shared).clip(1)
    # A score of nothing must not leave a mask without any vote.
    strength = np.maximum(scores, np.float32(1e-3)) ** 2
    weights = np.where(iou >= vote_iou, iou * strength, np.float32(0))
    weights[np.arange(len(chosen)), chosen] = strength[chosen]
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def repeats(
        shared: FloatArray, area: FloatArray, areas: FloatArray, duplicate_iou: float,
        duplicate_cover: float) -> BoolArray:
    """Say where a mask of an area is a duplicate of another, from the cells they share."""
    iou = shared / (area + areas - shared).clip(1)
    return (iou >= duplicate_iou) | (shared >= duplicate_cover * np.maximum(area, 1))


def intersections(a: BoolArray, b: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (cells shared by each pair [n, m], cells of each row of a [n], of b [m])."""
    left, right = pack(a), pack(b)
    shared = count(left[:, None] & right[None])
    return (shared.astype(np.float32), count(left).astype(np.float32),
            count(right).astype(np.float32))
