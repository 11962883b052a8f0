# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From a key frame's queries to the few instances worth tracking."""

from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.mobileinst import KeyOutput
from vos_ros.tracking.bits import count
from vos_ros.tracking.bits import pack
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.sieve import make_sieve
from vos_ros.tracking.sieve import Sieve
from vos_ros.tracking.windows import centres

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
    centres: float32 [k, 2], their middles as shares of the network's input.
    """

    scores: FloatArray
    class_probs: FloatArray
    kernels: FloatArray
    logits: FloatArray
    footprints: BoolArray
    centres: FloatArray

    def __len__(self) -> int:
        """Return k."""
        return len(self.scores)


def mask_logit(probability: float) -> float:
    """Return the logit of a probability strictly between 0 and 1."""
    return math.log(probability / (1 - probability))


def find_candidates(
        output: KeyOutput, cells: tuple[int, int], params: InstanceTrackerParams,
        sieve: Sieve | None = None) -> Candidates:
    """Score a key frame's queries and return those that can start or carry on a track.

    score = sqrt(class · objectness) · maskness, with maskness the mean probability inside the
    mask (the inference rule of SparseInst, which MobileInst follows).
    cells: (h, w) of the mask cells that the frame covers; what lies in the padding is cut off.
    sieve: which loops over the masks; the compiled ones where they are there.
    """
    sieve = sieve or make_sieve()
    most = max(_LEAST, _ANSWERS * params.max_tracks)
    # Maskness is at most 1, so a query below the threshold already cannot come above it: its
    # mask need not be looked at.
    probs, scores, rows = sieve.rank(output.logits, output.objectness, params.keep_score, most)
    masks = output.masks[:, :cells[0], :cells[1]]
    threshold = mask_logit(params.mask_threshold)
    outlines = sieve.outline(masks, rows, threshold)
    scores = scores[rows] * (outlines.sums / np.maximum(outlines.areas, 1)).astype(np.float32)
    good = np.flatnonzero((scores >= params.keep_score) & (
        outlines.areas >= max(1.0, params.min_area * cells[0] * cells[1])))
    good = good[np.argsort(-scores[good], kind='stable')]
    rows, scores, outlines = rows[good], scores[good], outlines.of(good)
    kept = sieve.distinct(outlines, params.duplicate_iou, params.duplicate_cover)
    weights, logits = sieve.vote(masks, rows, outlines, scores, kept, params.vote_iou)
    footprints = logits.reshape(len(kept), cells[0] * cells[1]) > threshold
    return Candidates(
        scores[kept], probs[rows[kept]], weights @ output.kernels[rows], logits, footprints,
        centres(footprints, cells, output.masks.shape[1:]))


def intersections(a: BoolArray, b: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (cells shared by each pair [n, m], cells of each row of a [n], of b [m])."""
    left, right = pack(a), pack(b)
    shared = count(left[:, None] & right[None])
    return (shared.astype(np.float32), count(left).astype(np.float32),
            count(right).astype(np.float32))
