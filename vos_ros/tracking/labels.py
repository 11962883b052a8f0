# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From low-resolution mask logits to one label map at the frame's size, with boxes and areas.

Masks compete at the network's input resolution, each inside its own box, and only the finished map
of ids is enlarged, once, so no loop over objects touches the full frame.  Enlarging is by nearest
neighbour with known repeat counts, which is why areas and boxes can be counted on the small map
and still be exact on the large one.
"""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.letterbox import Letterbox
from vos_ros.runtime.native import compiled
from vos_ros.tracking.raster import Grid
from vos_ros.tracking.raster import NativeRaster
from vos_ros.tracking.raster import PlainRaster
from vos_ros.tracking.raster import Raster

# Makes the array, uint16 [height, width] without gaps, that a label map is painted in; what is in
# it does not matter.
Canvas = Callable[[int, int], NDArray[np.uint16]]


@dataclass(frozen=True)
class Labelling:
    """label_map: uint16 [H, W].  boxes: float32 [n, 4] x1 y1 x2 y2.  areas: uint32 [n]."""

    label_map: NDArray[np.uint16]
    boxes: NDArray[np.float32]
    areas: NDArray[np.uint32]


class LabelPainter:
    """Paints label maps for frames of one size; the small buffers are kept between frames.

    mask_size: (h, w) of the network's masks over the whole input, padding included.
    raster: which loop over the pixels; the compiled one where it is there.
    cells: (h, w) of the mask cells that the frame covers, at least in part.
    Raises ValueError where `covered` does.
    """

    def __init__(self, letterbox: Letterbox, mask_size: tuple[int, int],
                 raster: type[Raster] | None = None) -> None:
        """Work out which frame pixel looks at which small pixel."""
        stride, self.cells = covered(letterbox, mask_size)
        rows, columns = letterbox.content_size
        self._frame_size = letterbox.frame_size
        kind = raster or (PlainRaster if compiled() is None else NativeRaster)
        self._raster = kind(Grid(stride, _starts(letterbox.frame_size[0], rows),
                                 _starts(letterbox.frame_size[1], columns)))

    def paint(
            self, ids: Sequence[int],
            logits: Sequence[NDArray[np.float32]] | NDArray[np.float32],
            threshold: float, min_part: float = 0.0, canvas: Canvas | None = None) -> Labelling:
        """Give each pixel the id of the highest logit above the threshold, 0 where none is.

        ids: n track ids.  logits: n masks, float32 of ``cells``.  threshold: a logit.
        min_part: separate parts of a mask smaller than this share of its largest are left out.
        canvas: where the label map is painted; without, in memory of its own.
        Raises ValueError for a canvas of another shape or type, or with gaps.
        """
        height, width = self._frame_size
        label_map = np.empty((height, width), np.uint16) if canvas is None \
            else canvas(height, width)
        if label_map.shape != (height, width) or label_map.dtype != np.uint16 \
                or not label_map.flags.c_contiguous:
            raise ValueError(
                f'canvas is {label_map.dtype}{label_map.shape} with strides {label_map.strides}, '
                f'must be uint16{(height, width)} without gaps')
        boxes = np.zeros((len(ids), 4), np.float32)
        areas = np.zeros(len(ids), np.uint32)
        masks = np.array(logits, np.float32).reshape(len(logits), *self.cells)
        spans = self._raster.sweep(masks, threshold, min_part)
        self._raster.paint(ids, masks, spans, threshold, label_map, boxes, areas)
        return Labelling(label_map, boxes, areas)


def covered(letterbox: Letterbox, mask_size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Return a mask's stride in the input, and the (h, w) of its cells that the frame covers.

    Raises ValueError when the input is not a whole multiple of the mask in both directions alike.
    """
    height, width = letterbox.input_size
    stride = height // mask_size[0]
    if (mask_size[0] * stride, mask_size[1] * stride) != (height, width):
        raise ValueError(f'input {letterbox.input_size} is no multiple of masks {mask_size}')
    rows, columns = letterbox.content_size
    return stride, (-(-rows // stride), -(-columns // stride))


def _starts(frame_side: int, small_side: int) -> NDArray[np.int32]:
    """Return where each small pixel's run of frame pixels starts, and where the last one ends.

    A frame pixel looks at the small pixel whose area its centre lies in.
    """
    looks_at = (2 * np.arange(frame_side, dtype=np.intp) + 1) * small_side // (2 * frame_side)
    counts = np.bincount(looks_at, minlength=small_side)
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
