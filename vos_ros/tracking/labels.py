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
from typing import Any
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.letterbox import Letterbox

# So many parts can be numbered in 16 bits, which is faster.
_MOST_SHORT = 65535


class Span(NamedTuple):
    """The cells from the first to the last; no cell where the last row is -1."""

    first_row: int
    first_column: int
    last_row: int
    last_column: int


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
        self._same = np.empty(rows * columns, np.uint16)
        self._row_of = _nearest(letterbox.frame_size[0], rows)
        self._column_of = _nearest(letterbox.frame_size[1], columns)
        self._row_starts, self._row_counts = _runs(self._row_of, rows)
        self._column_starts, self._column_counts = _runs(self._column_of, columns)
        # How many frame pixels look at each small pixel; none, where the frame is the smaller one.
        weights = np.outer(self._row_counts, self._column_counts)
        self._weights: NDArray[Any] = weights.astype(
            np.uint8 if weights.max() < 256 else np.float32)
        self._skips = not weights.all()
        # OpenCV's own enlarging rounds otherwise at some sizes; where it agrees it is faster.
        self._agrees = bool((_widened(
            np.arange(columns, dtype=np.uint16)[None], len(self._column_of))
            == self._column_of).all())

    def paint(
            self, ids: Sequence[int], logits: Sequence[NDArray[np.float32]],
            threshold: float, min_part: float = 0.0) -> Labelling:
        """Give each pixel the id of the highest logit above the threshold, 0 where none is.

        ids: n track ids.  logits: n masks, float32 of ``cells``.  threshold: a logit.
        min_part: separate parts of a mask smaller than this share of its largest are left out.
        """
        self._best.fill(threshold)
        self._small.fill(0)
        masks, spans = without_crumbs(logits, threshold, min_part)
        regions = [self._compete(track, mask, span)
                   for track, mask, span in zip(ids, masks, spans, strict=True)]
        boxes = np.zeros((len(regions), 4), np.float32)
        areas = np.zeros(len(regions), np.uint32)
        for row, (track, region) in enumerate(zip(ids, regions, strict=True)):
            if region is not None:
                areas[row] = self._measure(track, region, boxes[row])
        return Labelling(self._enlarged(), boxes, areas)

    def _compete(
            self, track: int, mask: NDArray[np.float32], span: Span,
            ) -> tuple[slice, slice] | None:
        if span.last_row < 0:
            return None
        # One cell of margin: linear interpolation carries a mask up to a cell over its edge.
        top, bottom = max(0, span.first_row - 1), min(mask.shape[0], span.last_row + 2)
        left, right = max(0, span.first_column - 1), min(mask.shape[1], span.last_column + 2)
        size = ((right - left) * self._stride, (bottom - top) * self._stride)
        fine = cv2.resize(mask[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR)
        region = (slice(top * self._stride, min(bottom * self._stride, self._best.shape[0])),
                  slice(left * self._stride, min(right * self._stride, self._best.shape[1])))
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
        bottom, right = top + height - 1, left + width - 1
        box[:] = (
            self._column_starts[left], self._row_starts[top],
            self._column_starts[right] + self._column_counts[right],
            self._row_starts[bottom] + self._row_counts[bottom])
        return area

    def _enlarged(self) -> NDArray[np.uint16]:
        # Columns first: the rows that are then repeated are copied whole.
        wide = _widened(self._small, len(self._column_of)) if self._agrees \
            else self._small.take(self._column_of, axis=1)
        return wide.take(self._row_of, axis=0)


def without_crumbs(
        logits: Sequence[NDArray[np.float32]], threshold: float, min_part: float,
        ) -> tuple[list[NDArray[np.float32]], list[Span]]:
    """Return masks without the parts that are small beside their largest one, and what they span.

    logits: n masks, float32 [h, w]; they are not changed.  Parts hang together by cells, diagonal
    ones included.
    """
    if not len(logits):
        return [], []
    n, (rows, columns) = len(logits), logits[0].shape
    # All masks in one picture, one below the other with an empty row between: finding the parts
    # costs one call instead of one a mask.
    inside = np.zeros((n, rows + 1, columns), np.uint8)
    for place, mask in zip(inside, logits, strict=True):
        np.greater(mask, threshold, out=place[:rows].view(bool))
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
    masks, spans = list(logits), []
    # What the logits of each part may reach: a crumb's stay below the threshold.
    ceilings = np.full(len(stats), np.inf, np.float32)
    for row, pieces in enumerate(found):
        if len(pieces) > 1:
            least = min_part * max(pieces)[0]
            crumbs = [piece for piece in pieces if piece[0] < least]
            if crumbs:
                for piece in crumbs:
                    ceilings[piece[1]] = threshold - 1
                here: NDArray[Any] = parts[row * (rows + 1):(row + 1) * (rows + 1) - 1]
                masks[row] = np.minimum(logits[row], ceilings.take(here))
                pieces = [piece for piece in pieces if piece[0] >= least]
        spans.append(_span(pieces, rows, columns))
    return masks, spans


def _span(
        pieces: Sequence[tuple[int, int, int, int, int, int]], rows: int, columns: int) -> Span:
    first_row, first_column, last_row, last_column = rows, columns, -1, -1
    for _, _, left, top, width, height in pieces:
        first_row, last_row = min(first_row, top), max(last_row, top + height - 1)
        first_column, last_column = min(first_column, left), max(last_column, left + width - 1)
    return Span(first_row, first_column, last_row, last_column)


def _widened(picture: NDArray[np.uint16], width: int) -> NDArray[np.uint16]:
    return cv2.resize(  # type: ignore[return-value]  # uint16 in and out
        picture, (width, picture.shape[0]), interpolation=cv2.INTER_NEAREST_EXACT)


def _nearest(frame_side: int, small_side: int) -> NDArray[np.intp]:
    """Return for each frame pixel the small pixel whose area its centre lies in."""
    return (2 * np.arange(frame_side, dtype=np.intp) + 1) * small_side // (2 * frame_side)


def _runs(
        index: NDArray[np.intp], length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each small pixel's run of frame pixels starts, and how many there are."""
    counts = np.bincount(index, minlength=length)
    return np.cumsum(counts) - counts, counts
