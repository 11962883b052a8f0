# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Frames into the memory tracker's working size, and its probabilities back into a label map."""

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

# ImageNet's mean and standard deviation, RGB, of values in 0..1.
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


def working_size(frame_size: tuple[int, int], short_side: int) -> tuple[int, int]:
    """Return (height, width) scaled down to a shorter side of `short_side`; 0 keeps the size."""
    shorter = min(frame_size)
    if not short_side or shorter <= short_side:
        return frame_size
    return (max(1, round(frame_size[0] * short_side / shorter)),
            max(1, round(frame_size[1] * short_side / shorter)))


def to_working_size(image: NDArray[np.uint8], size: tuple[int, int]) -> FloatArray:
    """Return float32 [3, h, w], normalised, from uint8 [H, W, 3] RGB."""
    if image.strides[1:] != (3, 1) or image.strides[0] < 0:
        image = np.ascontiguousarray(image)
    if image.shape[:2] != tuple(size):
        half = size[0] * 2 <= image.shape[0]
        image = cv2.resize(  # type: ignore[assignment]  # uint8 in, uint8 out
            image, size[::-1], interpolation=cv2.INTER_AREA if half else cv2.INTER_LINEAR)
    out = np.empty((3, *size), np.float32)
    for c in range(3):
        np.multiply(image[:, :, c], np.float32(1 / 255), out=out[c])
        out[c] -= _MEAN[c]
        out[c] /= _STD[c]
    return out


@dataclass(frozen=True)
class ObjectMap:
    """label_map: uint16 [H, W].  areas: uint32 [n].  boxes: float32 [n, 4].  scores: [n]."""

    label_map: NDArray[np.uint16]
    areas: NDArray[np.uint32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]


def paint(probabilities: FloatArray, ids: Sequence[int], frame_size: tuple[int, int],
          min_area: float) -> ObjectMap:
    """Give each frame pixel the id of the most probable channel, 0 where it is the background.

    probabilities: [n + 1, h, w], background first, scaled bilinearly to the frame before they
    compete.  An object of no more than `min_area` of the frame has no pixel.  scores: the mean
    probability over the object's pixels, or its highest anywhere while it has none.
    """
    height, width = frame_size
    best, winner = compete(_scaled(plane, frame_size) for plane in probabilities)
    count = len(ids)
    areas = np.bincount(winner.ravel(), minlength=count + 1)[1:]
    sums = np.bincount(winner.ravel(), best.ravel(), count + 1)[1:]
    boxes = np.zeros((count, 4), np.float32)
    scores = np.zeros(count, np.float32)
    names = np.zeros(count + 1, np.uint16)
    names[1:] = ids
    for i, area in enumerate(areas):
        if area <= min_area * height * width:
            names[i + 1] = areas[i] = 0
            scores[i] = probabilities[i + 1].max()
            continue
        x, y, w, h = cv2.boundingRect((winner == i + 1).view(np.uint8))
        boxes[i] = x, y, x + w, y + h
        scores[i] = sums[i] / area
    return ObjectMap(names[winner], areas.astype(np.uint32), boxes, scores)


def compete(planes: Iterable[FloatArray]) -> tuple[FloatArray, NDArray[np.uint16]]:
    """Return the highest probability of each pixel [h, w] and its channel, of equals the first.

    planes: [h, w], at least one; views of other arrays are left as they are.
    """
    others = iter(planes)
    best = next(others)
    if not best.flags.writeable or best.base is not None:
        best = best.copy()
    winner = np.zeros(best.shape, np.uint16)
    for channel, plane in enumerate(others, 1):
        wins = plane > best
        np.copyto(best, plane, where=wins)
        np.copyto(winner, np.uint16(channel), where=wins)
    return best, winner


def _scaled(plane: FloatArray, size: tuple[int, int]) -> FloatArray:
    if plane.shape == tuple(size):
        return plane
    return cv2.resize(plane, size[::-1],  # type: ignore[return-value]  # float32 in and out
                      interpolation=cv2.INTER_LINEAR)
