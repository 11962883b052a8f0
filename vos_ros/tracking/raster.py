# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The loops over a label map: masks of cells are swept, and compete for the pixels of a frame.

Twice: compiled (native/labels.c), where the ROS 2 package was built, and with numpy and
OpenCV for everywhere else, which takes several times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.native import address
from vos_ros.runtime.native import compiled

Masks = NDArray[np.float32]
Spans = NDArray[np.int32]

# So many parts can be numbered in 16 bits, which is faster.
_MOST_SHORT = 65535


@dataclass(frozen=True)
class Grid:
    """A frame's pixels over a small picture's over cells.

    A cell is ``stride`` small pixels wide and high.  The small pixel (y, x) is enlarged to the
    frame's rows row_starts[y] up to row_starts[y + 1], columns likewise; maybe none.
    row_starts: int32 [rows + 1].  column_starts: int32 [columns + 1].
    """

    stride: int
    row_starts: NDArray[np.int32]
    column_starts: NDArray[np.int32]

    @property
    def small_size(self) -> tuple[int, int]:
        """Return (rows, columns) of the small picture."""
        return len(self.row_starts) - 1, len(self.column_starts) - 1


class Raster(Protocol):
    """Paints label maps over one grid."""

    def __init__(self, grid: Grid) -> None:
        """Make the small buffers."""

    def sweep(self, masks: Masks, threshold: float, min_part: float) -> Spans:
        """Take out of masks the parts that are small beside their largest one; say what they span.

        masks: logits of cells, float32 [n, h, w], without gaps, changed in place.  Parts hang
        together by cells, diagonal ones too.  Returns int32 [n, 4]: first row, first column, last
        row and last column of the cells above the threshold; the last row is -1 where there is
        none.
        """

    def paint(
            self, ids: Sequence[int], masks: Masks, spans: Spans, threshold: float,
            label_map: NDArray[np.uint16], boxes: NDArray[np.float32],
            areas: NDArray[np.uint32]) -> None:
        """Fill a label map, and set boxes and areas, which are zero before.

        ids: n.  masks, spans: see ``sweep``.  label_map: uint16 [H, W].  boxes: float32 [n, 4],
        x1 y1 x2 y2.  areas: uint32 [n].
        """


class NativeRaster:
    """The compiled loop; only where ``compiled()`` is not None."""

    def __init__(self, grid: Grid) -> None:
        """Look the function up."""
        self._compiled = compiled()
        self._scratch = np.empty(0, np.int32)
        rows, columns = grid.small_size
        odd = 0.5 * (grid.stride % 2)
        # Where pixels lie on the way from a cell's centre to the next one's.
        shares = ((np.arange(grid.stride) + 0.5 - odd) / grid.stride).astype(np.float32)
        best, owner = np.empty(columns, np.float32), np.empty(columns, np.uint16)
        self._kept = (shares, grid.row_starts, grid.column_starts, best, owner)
        self._fixed = (grid.stride, address(shares), rows, columns, address(grid.row_starts),
                       address(grid.column_starts), address(best), address(owner))

    def sweep(self, masks: Masks, threshold: float, min_part: float) -> Spans:
        """Take small parts out of masks and say what is left."""
        n, rows, columns = masks.shape
        spans = np.empty((n, 4), np.int32)
        self._compiled.vos_ros_sweep_masks(
            address(masks), n, rows, columns, threshold, min_part, address(spans),
            self._room(9 * rows * columns))
        return spans

    def paint(
            self, ids: Sequence[int], masks: Masks, spans: Spans, threshold: float,
            label_map: NDArray[np.uint16], boxes: NDArray[np.float32],
            areas: NDArray[np.uint32]) -> None:
        """Fill a label map, and set boxes and areas, which are zero before."""
        n, _, columns = masks.shape
        names = np.array(ids, np.uint16)
        self._compiled.vos_ros_paint_labels(
            address(masks), *masks.shape, address(spans), address(names), threshold,
            *self._fixed, self._room((8 * n + 1) * (columns + 1)), address(label_map),
            address(boxes), address(areas))

    def _room(self, count: int) -> int:
        """Return where so many numbers may be written."""
        if len(self._scratch) < count:
            self._scratch = np.empty(count, np.int32)
        return address(self._scratch)


class PlainRaster:
    """The loop by whole pictures, in calls of OpenCV and numpy."""

    def __init__(self, grid: Grid) -> None:
        """Make the small buffers."""
        rows, columns = grid.small_size
        self._grid = grid
        self._best = np.empty((rows, columns), np.float32)
        self._small = np.empty((rows, columns), np.uint16)
        self._same = np.empty(rows * columns, np.uint16)
        row_counts, column_counts = np.diff(grid.row_starts), np.diff(grid.column_starts)
        self._row_of = np.repeat(np.arange(rows), row_counts)
        self._column_of = np.repeat(np.arange(columns), column_counts)
        # How many frame pixels look at each small pixel; none, where the frame is the smaller one.
        weights = np.outer(row_counts, column_counts)
        self._weights: NDArray[Any] = weights.astype(
            np.uint8 if weights.max() < 256 else np.float32)
        self._skips = not weights.all()

    def sweep(self, masks: Masks, threshold: float, min_part: float) -> Spans:
        """Take small parts out of masks and say what is left."""
        n, rows, columns = masks.shape
        # All masks in one picture, one below the other with an empty row between: finding the
        # parts costs one call instead of one a mask.
        inside = np.zeros((n, rows + 1, columns), np.uint8)
        np.greater(masks, threshold, out=inside[:, :rows].view(bool))
        spans = np.full((n, 4), (rows, columns, -1, -1), np.int32)
        if not n:
            return spans
        picture = inside.reshape(n * (rows + 1), columns)
        # No two parts touch, not at a corner either.
        most = ((picture.shape[0] + 1) // 2) * ((columns + 1) // 2)
        _, parts, stats, _ = cv2.connectedComponentsWithStats(
            picture, connectivity=8, ltype=cv2.CV_16U if most < _MOST_SHORT else cv2.CV_32S)
        # There are a few parts a mask: plain Python is done before numpy has started.
        found: list[list[tuple[int, int, int, int, int, int]]] = [[] for _ in range(n)]
        for label, (x, y, width, height, area) in enumerate(stats[1:].tolist(), 1):
            owner, top = divmod(y, rows + 1)
            found[owner].append((area, label, x, top, width, height))
        # What the logits of each part may reach: a crumb's stay below the threshold.
        ceilings = np.full(len(stats), np.inf, np.float32)
        for row, pieces in enumerate(found):
            if len(pieces) > 1:
                # In single precision, as the compiled loop.
                least = np.float32(min_part) * np.float32(max(pieces)[0])
                crumbs = [piece for piece in pieces if piece[0] < least]
                if crumbs:
                    for piece in crumbs:
                        ceilings[piece[1]] = threshold - 1
                    here: NDArray[Any] = parts[row * (rows + 1):(row + 1) * (rows + 1) - 1]
                    np.minimum(masks[row], ceilings.take(here), out=masks[row])
                    pieces = [piece for piece in pieces if piece[0] >= least]
            if pieces:
                spans[row] = _span(pieces, rows, columns)
        return spans

    def paint(
            self, ids: Sequence[int], masks: Masks, spans: Spans, threshold: float,
            label_map: NDArray[np.uint16], boxes: NDArray[np.float32],
            areas: NDArray[np.uint32]) -> None:
        """Fill a label map, and set boxes and areas, which are zero before."""
        self._best.fill(threshold)
        self._small.fill(0)
        regions = [self._compete(track, mask, span)
                   for track, mask, span in zip(ids, masks, spans.tolist(), strict=True)]
        for row, (track, region) in enumerate(zip(ids, regions, strict=True)):
            if region is not None:
                areas[row] = self._measure(track, region, boxes[row])
        # Taking rows copies them whole; columns are rows of the picture turned, and turning it
        # twice costs less than taking them one by one.
        wide = cv2.transpose(cv2.transpose(self._small).take(self._column_of, axis=0))
        np.take(wide, self._row_of, axis=0, out=label_map, mode='clip')

    def _compete(
            self, track: int, mask: Masks, span: list[int]) -> tuple[slice, slice] | None:
        first_row, first_column, last_row, last_column = span
        if last_row < 0:
            return None
        stride = self._grid.stride
        # One cell of margin: linear interpolation carries a mask up to a cell over its edge.
        top, bottom = max(0, first_row - 1), min(mask.shape[0], last_row + 2)
        left, right = max(0, first_column - 1), min(mask.shape[1], last_column + 2)
        size = ((right - left) * stride, (bottom - top) * stride)
        fine = cv2.resize(mask[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR)
        region = (slice(top * stride, min(bottom * stride, self._best.shape[0])),
                  slice(left * stride, min(right * stride, self._best.shape[1])))
        best, small = self._best[region], self._small[region]
        fine = fine[:best.shape[0], :best.shape[1]]
        wins = cv2.compare(fine, best, cv2.CMP_GT)
        # Copying from a picture of the id is faster than setting elements to it.
        same = self._same[:small.size]
        same.fill(track)
        cv2.copyTo(same.reshape(small.shape), wins, small)
        cv2.max(fine, best, dst=best)
        return region

    def _measure(
            self, track: int, region: tuple[slice, slice], box: NDArray[np.float32]) -> int:
        weights = self._weights[region]
        here = (self._small[region] == track).view(np.uint8)
        if self._skips:
            here[weights == 0] = 0
        x, y, width, height = cv2.boundingRect(here)
        if not width:
            return 0
        inside = (slice(y, y + height), slice(x, x + width))
        # The sum of the weights over the mask: none is negative.
        area = round(cv2.norm(weights[inside], cv2.NORM_L1, here[inside]))
        top, left = y + region[0].start, x + region[1].start
        rows, columns = self._grid.row_starts, self._grid.column_starts
        box[:] = columns[left], rows[top], columns[left + width], rows[top + height]
        return area


def _span(
        pieces: Sequence[tuple[int, int, int, int, int, int]], rows: int, columns: int,
        ) -> tuple[int, int, int, int]:
    first_row, first_column, last_row, last_column = rows, columns, -1, -1
    for _, _, left, top, width, height in pieces:
        first_row, last_row = min(first_row, top), max(last_row, top + height - 1)
        first_column, last_column = min(first_column, left), max(last_column, left + width - 1)
    return first_row, first_column, last_row, last_column
