# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Masks at 1/8 to 1/4 by the weights that a network gives with a frame."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.native import address
from vos_ros.runtime.native import compiled

FloatArray = NDArray[np.float32]

NEIGHBOURS = 9


def enlargement(channels: int) -> int:
    """Return how many times as large masks become by weights of so many channels, 9 f f: f."""
    return math.isqrt(channels // NEIGHBOURS)


def enlarge(masks: FloatArray, guide: FloatArray) -> FloatArray:
    """Bring mask logits float32 [n, h, w] to [n, f h, f w] by a frame's weights [9 f f, h, w].

    A fine pixel is a weighted mean of the nine cells around its own; beyond the border the
    nearest cell counts. See `vos_ros.models.mobileinst.guide`.  Either may be a part of a larger
    array.
    """
    count, height, width = masks.shape
    factor = enlargement(len(guide))
    library = compiled()
    if library is None:
        return _enlarge_plainly(masks, guide)
    masks = np.ascontiguousarray(masks, np.float32)
    if guide.dtype != np.float32 or guide.strides[2] != guide.itemsize:
        # A convolution of torch may have its channels side by side.
        guide = np.ascontiguousarray(guide, np.float32)
    fine = np.empty((count, factor * height, factor * width), np.float32)
    scratch = np.empty(3 * width + 6, np.float32)
    library.vos_ros_enlarge(
        address(masks), count, height, width, address(guide), guide.strides[0] // 4,
        guide.strides[1] // 4, factor, address(fine), address(scratch))
    return fine


def _enlarge_plainly(masks: FloatArray, guide: FloatArray) -> FloatArray:
    count, height, width = masks.shape
    factor = enlargement(len(guide))
    weights = guide.reshape(NEIGHBOURS, factor, factor, height, width)
    wide = np.pad(masks, ((0, 0), (1, 1), (1, 1)), 'edge')
    fine = np.zeros((count, factor, factor, height, width), np.float32)
    for place in range(NEIGHBOURS):
        row, column = divmod(place, 3)
        cells = wide[:, row:row + height, column:column + width]
        fine += weights[place] * cells[:, None, None]
    return np.ascontiguousarray(fine.transpose(0, 3, 1, 4, 2)).reshape(
        count, factor * height, factor * width)


def interpolated(masks: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Bring masks [n, h, w] to [n, f h, f w] without a guide: bilinear."""
    if factor == 1:
        return masks
    return np.stack([cv2.resize(mask, None, fx=factor, fy=factor) for mask in masks])


def shrink(masks: FloatArray, cells: tuple[int, int], factor: int) -> FloatArray:
    """Bring fine mask logits to the mean of each cell, [n, *cells].

    masks: [n, H, W], of up to factor times the cells; what is missing to that repeats the border.
    """
    if factor == 1:
        return masks
    height, width = (factor * side for side in cells)
    whole = np.pad(masks, ((0, 0), (0, height - masks.shape[1]), (0, width - masks.shape[2])),
                   'edge')
    return whole.reshape(-1, cells[0], factor, cells[1], factor).mean((2, 4), dtype=np.float32)
