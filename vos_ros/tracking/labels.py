# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From low-resolution mask logits to one label map at the frame's size, with boxes and areas.

Masks compete at the network's input resolution, each inside its own box, and only the finished map
of ids is enlarged, once, so no loop over objects touches the full frame.  Enlarging is by nearest
neighbour with known repeat counts, which is why areas and boxes can be counted on the small map
and still be exact on the large one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.letterbox import Letterbox


@dataclass(frozen=True)
class Labelling:
    """label_map: uint16 [H, W].  boxes: float32 [n, 4] x1 y1 x2 y2.  areas: uint32 [n]."""

    label_map: NDArray[np.uint16]
    boxes: NDArray[np.float32]
    areas: NDArray[np.uint32]


class LabelPainter:
    """Paints label maps for frames of one size; the small buffers are kept between frames.

    mask_size: (h, w) of the network's masks over the whole input, padding included.
    cells: (h, w) of the mask cells that the frame covers, at least in part.
    Raises ValueError when the input is not a whole multiple of the mask in both directions alike.
    """

    def __init__(self, letterbox: Letterbox, mask_size: tuple[int, int]) -> None:
        """Work out which frame pixel looks at which small pixel."""
        height, width = letterbox.input_size
        self._stride = height // mask_size[0]
        if (mask_size[0] * self._stride, mask_size[1] * self._stride) != (height, width):
            raise ValueError(f'input {letterbox.input_size} is no multiple of masks {mask_size}')
        rows, columns = letterbox.content_size
        self.cells = (-(-rows // self._stride), -(-columns // self._stride))
        self._best = np.empty((rows, columns), np.float32)
        self._small = np.empty((rows, columns), np.uint16)
        self._row_of = _nearest(letterbox.frame_size[0], rows)
        self._column_of = _nearest(letterbox.frame_size[1], columns)
        self._row_starts, self._row_counts = _runs(self._row_of, rows)
        self._column_starts, self._column_counts = _runs(self._column_of, columns)

    def paint(
            self, ids: Sequence[int], logits: Sequence[NDArray[np.float32]],
            threshold: float, min_part: float = 0.0) -> Labelling:
        """Give each pixel the id of the highest logit above the threshold, 0 where none is.

        ids: n track ids.  logits: n masks, float32 of ``cells``.  threshold: a logit.
        min_part: separate parts of a mask smaller than this share of its largest are left out.
        """
        self._best.fill(threshold)
        self._small.fill(0)
        regions = [self._compete(track, without_crumbs(mask, threshold, min_part), threshold)
                   for track, mask in zip(ids, logits, strict=True)]
        boxes = np.zeros((len(regions), 4), np.float32)
        areas = np.zeros(len(regions), np.uint32)
        for row, (track, region) in enumerate(zip(ids, regions, strict=True)):
            if region is not None:
                areas[row] = self._measure(track, region, boxes[row])
        return Labelling(self._enlarged(), boxes, areas)

    def _compete(
            self, track: int, mask: NDArray[np.float32], threshold: float,
            ) -> tuple[slice, slice] | None:
        x, y, width, height = cv2.boundingRect((mask > threshold).view(np.uint8))
        if not width:
            return None
        # One cell of margin: linear interpolation carries a mask up to a cell over its edge.
        top, bottom = max(0, y - 1), min(mask.shape[0], y + height + 1)
        left, right = max(0, x - 1), min(mask.shape[1], x + width + 1)
        size = ((right - left) * self._stride, (bottom - top) * self._stride)
        fine = cv2.resize(mask[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR)
        region = (slice(top * self._stride, min(bottom * self._stride, self._best.shape[0])),
                  slice(left * self._stride, min(right * self._stride, self._best.shape[1])))
        best, small = self._best[region], self._small[region]
        fine = fine[:best.shape[0], :best.shape[1]]
        wins = fine > best
        np.copyto(best, fine, where=wins)
        np.copyto(small, np.uint16(track), where=wins)
        return region

    def _measure(
            self, track: int, region: tuple[slice, slice], box: NDArray[np.float32]) -> int:
        here = self._small[region] == track
        row_counts, column_counts = self._row_counts[region[0]], self._column_counts[region[1]]
        # A frame smaller than the input skips some small rows and columns.
        here[row_counts == 0] = False
        here[:, column_counts == 0] = False
        rows, columns = np.flatnonzero(here.any(axis=1)), np.flatnonzero(here.any(axis=0))
        if not len(rows):
            return 0
        area = int(row_counts @ (here @ column_counts))
        rows, columns = rows + region[0].start, columns + region[1].start
        box[:] = (
            self._column_starts[columns[0]], self._row_starts[rows[0]],
            self._column_starts[columns[-1]] + self._column_counts[columns[-1]],
            self._row_starts[rows[-1]] + self._row_counts[rows[-1]])
        return area

    def _enlarged(self) -> NDArray[np.uint16]:
        # Columns first: the rows that are then repeated are copied whole.
        return self._small.take(self._column_of, axis=1).take(self._row_of, axis=0)


def without_crumbs(
        mask: NDArray[np.float32], threshold: float, min_part: float) -> NDArray[np.float32]:
    """Return mask logits [h, w] without the parts that are small beside the largest one.

    Parts hang together by cells, diagonal ones included.  The mask itself is not changed.
    """
    if min_part <= 0:
        return mask
    count, parts, stats, _ = cv2.connectedComponentsWithStats(
        (mask > threshold).view(np.uint8), connectivity=8, ltype=cv2.CV_16U)
    if count <= 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA]
    dropped = areas < min_part * areas[1:].max()
    dropped[0] = False
    return np.where(dropped[parts], np.minimum(mask, np.float32(threshold - 1)), mask)


def _nearest(frame_side: int, small_side: int) -> NDArray[np.intp]:
    """Return for each frame pixel the small pixel whose area its centre lies in."""
    return (2 * np.arange(frame_side, dtype=np.intp) + 1) * small_side // (2 * frame_side)


def _runs(
        index: NDArray[np.intp], length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each small pixel's run of frame pixels starts, and how many there are."""
    counts = np.bincount(index, minlength=length)
    return np.cumsum(counts) - counts, counts
