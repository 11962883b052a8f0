# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The DAVIS measures of a segmentation: region similarity J and contour accuracy F.

J is the intersection over union of two masks. F is the harmonic mean of precision and recall of
their boundary pixels, matched within a tolerance of 0.8 % of the image diagonal.
(Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation,
CVPR 2016, sections 5.1 and 5.2; the boundary map is that of the Berkeley segmentation benchmark.)
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.008

Mask = NDArray[np.bool_]


def region_similarity(prediction: Mask, truth: Mask) -> float:
    """Give J of two bool masks [H, W]; 1 when both are empty.

    Raises ValueError when the sizes differ.
    """
    _check(prediction, truth)
    union = int(np.count_nonzero(prediction | truth))
    if not union:
        return 1.0
    return int(np.count_nonzero(prediction & truth)) / union


def boundary(mask: Mask) -> Mask:
    """Mark the pixels that differ from the one to the right, below, or right below.

    On the last row and column only the neighbour that exists is compared, and the last pixel of
    all is never marked.
    """
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] ^ mask[:, 1:]
    edge[:-1] |= mask[:-1] ^ mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edge


def boundary_accuracy(prediction: Mask, truth: Mask, tolerance: float = TOLERANCE) -> float:
    """Give F of two bool masks [H, W].

    tolerance: radius within which boundary pixels match; below 1 a fraction of the diagonal
    (rounded up to whole pixels), else pixels. A mask without boundary (empty or full) has F = 1
    against another such mask and 0 against a mask that has one.
    Raises ValueError when the sizes differ.
    """
    _check(prediction, truth)
    radius = tolerance
    if tolerance < 1:
        radius = math.ceil(tolerance * math.hypot(*truth.shape))
    edge, true_edge = boundary(prediction), boundary(truth)
    count, true_count = int(np.count_nonzero(edge)), int(np.count_nonzero(true_edge))
    if not count and not true_count:
        return 1.0
    if not count or not true_count:
        return 0.0
    disk = _disk(int(radius))
    near_truth = cv2.dilate(true_edge.view(np.uint8), disk).view(np.bool_)
    near = cv2.dilate(edge.view(np.uint8), disk).view(np.bool_)
    precision = int(np.count_nonzero(edge & near_truth)) / count
    recall = int(np.count_nonzero(true_edge & near)) / true_count
    if not precision + recall:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def _disk(radius: int) -> NDArray[np.uint8]:
    """Make the digital disk: all pixels whose centre is within the radius."""
    axis = np.arange(-radius, radius + 1)
    return (axis[:, None] ** 2 + axis[None] ** 2 <= radius ** 2).astype(np.uint8)


def _check(prediction: Mask, truth: Mask) -> None:
    if prediction.shape != truth.shape or prediction.ndim != 2:
        raise ValueError(f'masks of different sizes: prediction {prediction.shape}, '
                         f'truth {truth.shape}')
