# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tracking metrics on label maps: HOTA, IDF1, identity switches.

HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object
Tracking", IJCV 2021.
IDF1: Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera
Tracking", 2016.  Identity switches: Bernardin and Stiefelhagen, CLEAR MOT, 2008.
Void, where objects may be that nobody labelled: a mask without a true object that lies in it by
more than half is neither right nor false, as in the ignore regions of MOTS (Voigtlaender et al.,
"MOTS: Multi-Object Tracking and Segmentation", CVPR 2019).

Own code, because the packages that compute all three pull in a second OpenCV and a plotting
library; the tests hold it against TrackEval where that is installed.
"""

from dataclasses import dataclass
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from vos_ros.tracking.assignment import assign

ALPHAS = np.arange(0.05, 0.99, 0.05)
MATCH_IOU = 0.5
_EPS = np.finfo(float).eps


def shared_pixels(
        truth: NDArray[np.uint16], found: NDArray[np.uint16],
        ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return (true ids [n], found ids [m], pixels of each pair [n, m]) of label maps [H, W].

    0, nothing, is an id like the others.
    """
    true_ids, true_index = np.unique(truth, return_inverse=True)
    found_ids, found_index = np.unique(found, return_inverse=True)
    pairs = true_index.reshape(-1) * len(found_ids) + found_index.reshape(-1)
    shared = np.bincount(pairs, minlength=len(true_ids) * len(found_ids)).reshape(
        len(true_ids), len(found_ids))
    return true_ids.astype(np.int64), found_ids.astype(np.int64), shared


def mask_ious(
        truth: NDArray[np.uint16], found: NDArray[np.uint16],
        ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return (true ids [n], found ids [m], IoU [n, m]) of two label maps [H, W], 0 = nothing."""
    true_ids, found_ids, shared = shared_pixels(truth, found)
    union = shared.sum(1, keepdims=True) + shared.sum(0, keepdims=True) - shared
    iou = shared / np.maximum(union, 1)
    rows, columns = true_ids > 0, found_ids > 0
    return true_ids[rows], found_ids[columns], iou[rows][:, columns]


@dataclass
class TrackScores:
    """Gathers the frames of one sequence, then computes its figures."""

    _frames: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = field(
        default_factory=list)
    _true: dict[int, int] = field(default_factory=dict)
    _found: dict[int, int] = field(default_factory=dict)
    _dropped: int = 0

    def add(self, truth: NDArray[np.uint16], found: NDArray[np.uint16],
            void: NDArray[np.bool_] | None = None) -> None:
        """Take a frame's true and found label map, both [H, W].

        void: bool [H, W]; None = nowhere. Found masks with more than half of their pixels in void
        are left out unless their IoU with a true one is at least MATCH_IOU. Raises ValueError
        when the sizes differ.
        """
        if truth.shape != found.shape:
            raise ValueError(f'true label map is {truth.shape}, found one is {found.shape}')
        if void is not None and void.shape != truth.shape:
            raise ValueError(f'true label map is {truth.shape}, void is {void.shape}')
        true_ids, found_ids, iou = mask_ious(truth, found)
        if void is not None and void.any():
            areas = np.bincount(found.ravel())
            inside = np.bincount(found[void], minlength=len(areas))
            kept = (2 * inside <= areas)[found_ids] | (iou.max(0, initial=0.0) >= MATCH_IOU)
            self._dropped += int(np.count_nonzero(~kept))
            found_ids, iou = found_ids[kept], iou[:, kept]
        rows = np.array([self._true.setdefault(int(i), len(self._true)) for i in true_ids], int)
        columns = np.array(
            [self._found.setdefault(int(i), len(self._found)) for i in found_ids], int)
        self._frames.append((rows, columns, iou))

    def compute(self) -> dict[str, float]:
        """Return HOTA, DetA, AssA, IDF1, id_switches, recall, precision, and what they are of.

        Shares are 0..1. void_dropped: masks that were left out, see `add`. objects, found: true
        and found tracks; where there are neither, the shares are 0 and say nothing.
        """
        size = (len(self._true), len(self._found))
        true_frames, found_frames = np.zeros(size[0]), np.zeros(size[1])
        for rows, columns, _ in self._frames:
            true_frames[rows] += 1
            found_frames[columns] += 1
        figures = self._hota(true_frames, found_frames)
        return {**figures, 'IDF1': self._idf1(true_frames, found_frames), **self._clear(),
                'void_dropped': float(self._dropped), 'objects': float(size[0]),
                'found': float(size[1])}

    def _hota(
            self, true_frames: NDArray[np.float64], found_frames: NDArray[np.float64],
            ) -> dict[str, float]:
        total_true, total_found = true_frames.sum(), found_frames.sum()
        if not total_true or not total_found:
            return {'HOTA': 0.0, 'DetA': 0.0, 'AssA': 0.0}
        # How well two tracks agree over the whole sequence; it decides between matches of a frame.
        agreement = np.zeros((len(true_frames), len(found_frames)))
        for rows, columns, iou in self._frames:
            spread = iou.sum(0) + iou.sum(1)[:, None] - iou
            share = np.divide(iou, spread, out=np.zeros_like(iou), where=spread > _EPS)
            agreement[np.ix_(rows, columns)] += share
        both = true_frames[:, None] + found_frames
        agreement /= both - agreement
        matched = np.zeros((len(ALPHAS), *agreement.shape))
        for rows, columns, iou in self._frames:
            left, right = assign(-agreement[np.ix_(rows, columns)] * iou)
            for k, alpha in enumerate(ALPHAS):
                kept = iou[left, right] >= alpha - _EPS
                matched[k, rows[left[kept]], columns[right[kept]]] += 1
        hits = matched.sum((1, 2))
        detection = hits / (total_true + total_found - hits)
        association = (matched * matched / np.maximum(1, both - matched)).sum((1, 2)) \
            / np.maximum(1, hits)
        return {'HOTA': float(np.sqrt(detection * association).mean()),
                'DetA': float(detection.mean()), 'AssA': float(association.mean())}

    def _idf1(
            self, true_frames: NDArray[np.float64], found_frames: NDArray[np.float64]) -> float:
        together = np.zeros((len(true_frames), len(found_frames)))
        for rows, columns, iou in self._frames:
            together[np.ix_(rows, columns)] += iou >= MATCH_IOU
        everything = true_frames.sum() + found_frames.sum()
        # Leaving a track unmatched costs what matching it to nothing in common costs, so the
        # assignment that shares the most frames is the one with the fewest identity errors.
        rows, columns = assign(-together)
        return float(2 * together[rows, columns].sum() / max(1, everything))

    def _clear(self) -> dict[str, float]:
        switches, hits, misses, false = 0, 0, 0, 0
        last: dict[int, int] = {}
        before: dict[int, int] = {}
        for rows, columns, iou in self._frames:
            # A match of the frame before is kept while it holds; then as many matches as possible.
            keeps = np.array([[before.get(int(row)) == int(column) for column in columns]
                              for row in rows]).reshape(iou.shape)
            allowed = iou >= MATCH_IOU - _EPS
            left, right = assign(np.where(allowed, -(1000.0 * keeps + iou), 0.0))
            good = allowed[left, right]
            before = dict(zip(rows[left[good]].tolist(), columns[right[good]].tolist(),
                              strict=True))
            switches += sum(last.get(row, column) != column for row, column in before.items())
            last.update(before)
            hits += len(before)
            misses += len(rows) - len(before)
            false += len(columns) - len(before)
        return {'id_switches': float(switches), 'recall': hits / max(1, hits + misses),
                'precision': hits / max(1, hits + false)}
