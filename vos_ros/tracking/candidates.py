# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a key frame's queries to the few instances worth tracking."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.mobileinst import KeyOutput
from vos_ros.tracking.params import InstanceTrackerParams

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

    def take(self, rows: NDArray[np.intp]) -> 'Candidates':
        """Return some of the candidates, in the order given."""
        return Candidates(self.scores[rows], self.class_probs[rows], self.kernels[rows],
                          self.logits[rows], self.footprints[rows])


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
    # mask need not be looked at.
    rows = np.flatnonzero(scores >= params.keep_score)
    logits = output.masks[rows, :cells[0], :cells[1]]
    flat = logits.reshape(len(rows), cells[0] * cells[1])
    footprints = flat > mask_logit(params.mask_threshold)
    areas = footprints.sum(axis=1)
    maskness = np.where(footprints, sigmoid(flat), np.float32(0)).sum(axis=1) / areas.clip(1)
    scores = scores[rows] * maskness
    kept = (scores >= params.keep_score) & (areas >= max(1.0, params.min_area * flat.shape[1]))
    order = np.flatnonzero(kept)
    order = order[np.argsort(-scores[order], kind='stable')]
    found = Candidates(
        scores[order].astype(np.float32), probs[rows[order]], output.kernels[rows[order]],
        logits[order], footprints[order])
    return found.take(distinct(found.footprints, params.duplicate_iou, params.duplicate_cover))


def distinct(
        footprints: BoolArray, duplicate_iou: float, duplicate_cover: float) -> NDArray[np.intp]:
    """Return the rows that repeat no earlier row kept: greedy, so sort the best first.

    MobileInst's matching makes one query answer for one instance and needs no suppression; weights
    from little data still double up at times.
    """
    if not len(footprints):
        return np.zeros(0, np.intp)
    shared, areas = intersections(footprints, footprints)
    kept: list[int] = []
    for row in range(len(footprints)):
        if not kept or not repeats(shared[row, kept], areas[row], areas[kept], duplicate_iou,
                                   duplicate_cover).any():
            kept.append(row)
    return np.array(kept, np.intp)


def repeats(
        shared: FloatArray, area: FloatArray, areas: FloatArray, duplicate_iou: float,
        duplicate_cover: float) -> BoolArray:
    """Say of which masks a mask is a duplicate, from the cells shared and the areas."""
    iou = shared / (area + areas - shared).clip(1)
    return (iou >= duplicate_iou) | (shared >= duplicate_cover * np.maximum(area, 1))


def intersections(a: BoolArray, b: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Return (cells shared by each pair [n, m], cells of each row of b [m]) of two mask sets."""
    left, right = a.astype(np.float32), b.astype(np.float32)
    return left @ right.T, right.sum(axis=1)
