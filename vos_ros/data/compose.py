# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Geometry and compositing that the augmentation and the synthetic video share."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.data.cutouts import Cutout

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

# Pixels from outside the picture get the ImageNet mean, as the letterbox at run time does.
MEAN_COLOUR = (124, 116, 104)


def similarity(scale: float, angle: float, flip: bool, source: tuple[float, float],
               target: tuple[float, float]) -> F32:
    """Give the map [2, 3] that mirrors (if flip), scales and turns about a point, then moves it.

    angle in radians, clockwise as seen; `source` (x, y) lands on `target` (x, y).
    """
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    m = -1.0 if flip else 1.0
    matrix = np.array([[c * m, -s, 0], [s * m, c, 0]], np.float64)
    matrix[:, 2] = np.asarray(target) - matrix[:, :2] @ np.asarray(source, np.float64)
    return matrix.astype(np.float32)


def chain(outer: F32, inner: F32) -> F32:
    """Return the map [2, 3] that applies `inner` first and `outer` then."""
    linear = outer[:, :2] @ inner[:, :2]
    offset = outer[:, :2] @ inner[:, 2] + outer[:, 2]
    return np.concatenate([linear, offset[:, None]], 1).astype(np.float32)


def scale_of(matrix: F32) -> float:
    """Return the linear scale of a map [2, 3]."""
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2].astype(np.float64)))))


def warp_image(rgb: U8, matrix: F32, height: int, width: int,
               border: int = cv2.BORDER_CONSTANT) -> U8:
    """Warp an image [H, W, 3] to [height, width, 3]; reductions average, as a camera does."""
    rgb, matrix = reduce_first(rgb, matrix)
    return cv2.warpAffine(rgb, matrix, (width, height), flags=cv2.INTER_LINEAR,  # type: ignore
                          borderMode=border, borderValue=MEAN_COLOUR)


def reduce_first(image: U8, matrix: F32) -> tuple[U8, F32]:
    """Where the map shrinks by more than 1.6, shrink by area averaging before the warp."""
    scale = scale_of(matrix)
    if scale >= 0.62 or min(image.shape[:2]) < 4:
        return image, matrix
    factor = max(scale * 1.25, 1.0 / min(image.shape[:2]))
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    smaller = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    fx, fy = size[0] / image.shape[1], size[1] / image.shape[0]
    # Pixel centres: x' = (x + 0.5) f - 0.5, taken back before the original map.
    back = np.array([[1 / fx, 0, 0.5 / fx - 0.5], [0, 1 / fy, 0.5 / fy - 0.5]], np.float32)
    return smaller, chain(matrix, back)  # type: ignore[return-value]


def place(cutout: Cutout, matrix: F32, height: int, width: int,
          ) -> tuple[U8, U8, tuple[int, int]] | None:
    """Warp a cut-out into the frame: rgb [h, w, 3], alpha [h, w] and their corner (x, y).

    Only the part inside the frame is computed; None when nothing is.
    """
    h, w = cutout.alpha.shape
    corners = np.array([[-1, -1, 1], [w, -1, 1], [-1, h, 1], [w, h, 1]], np.float32)
    reach = corners @ matrix.T
    x1, y1 = np.maximum(np.floor(reach.min(0)).astype(int), 0)
    x2, y2 = np.minimum(np.ceil(reach.max(0)).astype(int) + 1, (width, height))
    if x2 <= x1 or y2 <= y1:
        return None
    local = matrix.copy()
    local[:, 2] -= (x1, y1)
    rgb, small = reduce_first(cutout.rgb, local)
    alpha, _ = reduce_first(cutout.alpha, local)
    size = (int(x2 - x1), int(y2 - y1))
    colour = cv2.warpAffine(rgb, small, size, flags=cv2.INTER_LINEAR,
                            borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpAffine(alpha, small, size, flags=cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return colour, cover, (int(x1), int(y1))  # type: ignore[return-value]


def blend(frame: U8, rgb: U8, alpha: U8, corner: tuple[int, int]) -> None:
    """Lay rgb [h, w, 3] over the frame at (x, y) with alpha [h, w], in place."""
    x, y = corner
    h, w = alpha.shape
    under = frame[y:y + h, x:x + w]
    a = alpha[..., None].astype(np.uint16)
    mixed = rgb.astype(np.uint16) * a + under.astype(np.uint16) * (255 - a) + 127
    under[...] = (mixed // 255).astype(np.uint8)
