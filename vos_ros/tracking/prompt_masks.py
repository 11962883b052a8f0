# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A mask for one prompt: given, filled in, an instance's, or found by colours."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.tracking.grabcut import BoolArray
from vos_ros.tracking.grabcut import mask_at_points
from vos_ros.tracking.grabcut import mask_in_box
from vos_ros.tracking.prompt import Prompt
from vos_ros.tracking.prompt import PromptError
from vos_ros.tracking.prompt import Scene

# An instance is meant by a box when their boxes overlap this much.
_SAME_BOX = 0.6
_COORDINATE_LIMIT = 10_000  # numbers in one prompt


def mask_of(prompt: Prompt, scene: Scene) -> tuple[BoolArray, str]:
    """Return a prompt's mask, bool [H, W], and how it came about.

    The methods are mask, polygon, track, instance (the instance tracker's mask at the box or
    points), grabcut, and box (the box itself, where nothing better can be found).
    Raises PromptError.
    """
    kinds = prompt.kinds
    if not kinds:
        raise PromptError('has no mask, box, points, polygon or track_id')
    if len(kinds) > 1 and kinds != ('box', 'points'):
        raise PromptError(f'has {" and ".join(kinds)}; give one of them')
    if prompt.point_labels and 'points' not in kinds:
        raise PromptError('has point_labels without points')
    if 'mask' in kinds:
        return _given_mask(prompt, scene.image.shape[:2]), 'mask'
    if 'polygon' in kinds:
        return _filled_polygon(prompt, scene.image.shape[:2]), 'polygon'
    if 'track_id' in kinds:
        return _instance_track(prompt.track_id, scene), 'track'
    return _found(prompt, scene)


def _given_mask(prompt: Prompt, size: tuple[int, int]) -> BoolArray:
    mask = np.asarray(prompt.mask)
    if mask.ndim != 2:
        raise PromptError(f'its mask has {mask.ndim} dimensions, must have 2')
    if mask.shape != size:
        raise PromptError(f'its mask is {mask.shape[1]}x{mask.shape[0]}, the image is '
                          f'{size[1]}x{size[0]}')
    if not mask.any():
        raise PromptError('its mask is empty')
    return mask != 0


def _pairs(name: str, numbers: Sequence[float], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return coordinates as float32 [n, 2] within the image."""
    if len(numbers) > _COORDINATE_LIMIT:
        raise PromptError(f'its {name} has {len(numbers)} numbers, more than {_COORDINATE_LIMIT}')
    if len(numbers) % 2:
        raise PromptError(f'its {name} has {len(numbers)} numbers, must have an even number: x y '
                          'of each')
    pairs = np.asarray(numbers, np.float32).reshape(-1, 2)
    height, width = size
    # Pixel centres are whole numbers: an image reaches from -0.5 to its size less 0.5.  Whoever
    # counts from its edges comes to its size.
    inside = (pairs >= -0.5).all(axis=1) & (pairs <= (width, height)).all(axis=1)
    if not inside.all():
        which = int(np.flatnonzero(~inside)[0])
        x, y = pairs[which]
        raise PromptError(f'its {name} has ({x:g}, {y:g}) as number {which}, outside the image of '
                          f'{width}x{height}')
    return pairs


def _filled_polygon(prompt: Prompt, size: tuple[int, int]) -> BoolArray:
    corners = _pairs('polygon', prompt.polygon, size)
    if len(corners) < 3:
        raise PromptError(f'its polygon has {len(corners)} corners, must have at least 3')
    mask = np.zeros(size, np.uint8)
    # Three binary digits after the point are kept.
    cv2.fillPoly(mask, [np.round(corners * 8).astype(np.int32)], 1, cv2.LINE_8, 3)
    if not mask.any():
        raise PromptError('its polygon covers no pixel')
    return mask > 0


def _instance_track(track_id: int, scene: Scene) -> BoolArray:
    if scene.instances is None:
        raise PromptError(f'track {track_id} is unknown: no labels of the instance tracker for '
                          'this image')
    if scene.instances.shape != scene.image.shape[:2]:
        raise PromptError(f"the instance tracker's labels are {scene.instances.shape[1]}x"
                          f'{scene.instances.shape[0]}, the image is '
                          f'{scene.image.shape[1]}x{scene.image.shape[0]}')
    mask = scene.instances == track_id
    if not mask.any():
        known = ', '.join(str(i) for i in np.unique(scene.instances) if i) or 'none'
        reason = 'is not visible' if track_id in scene.names else 'is unknown'
        raise PromptError(f'track {track_id} {reason} in this image; visible are: {known}')
    return mask


def _found(prompt: Prompt, scene: Scene) -> tuple[BoolArray, str]:
    """Return what lies in a box or under points."""
    size = height, width = scene.image.shape[:2]
    points = _pairs('points', prompt.points, size)
    labels = np.asarray(prompt.point_labels if len(prompt.point_labels) else [1] * len(points))
    if len(labels) != len(points):
        raise PromptError(f'it has {len(points)} points and {len(labels)} point_labels')
    if not np.isin(labels, (0, 1)).all():
        raise PromptError('its point_labels are not all 0 or 1')
    positive = labels == 1
    box = None
    if len(prompt.box):
        box = _checked_box(prompt.box, size)
    elif not positive.any():
        raise PromptError('none of its points is on the object')
    # A point on the outer half of the last pixel belongs to that pixel.
    points = np.clip(points, 0, (width - 1, height - 1)).astype(np.float32)
    instance = _instance_meant(scene, box, points, positive)
    if instance is not None:
        return instance, 'instance'
    if box is None:
        mask = mask_at_points(scene.image, points, positive)
        if mask is None:
            raise PromptError('no object can be told from its surroundings at the points; give a '
                              'box or a mask')
        return mask, 'grabcut'
    mask = mask_in_box(scene.image, box, points, positive)
    if mask is not None:
        return mask, 'grabcut'
    mask = np.zeros(size, bool)
    x1, y1, x2, y2 = (round(v) for v in box)
    mask[y1:max(y2, y1 + 1), x1:max(x2, x1 + 1)] = True
    return mask, 'box'


def _checked_box(
        numbers: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    if len(numbers) != 4:
        raise PromptError(f'its box has {len(numbers)} numbers, must have 4: x1 y1 x2 y2')
    x1, y1, x2, y2 = (float(v) for v in numbers)
    height, width = size
    if not (0 <= x1 and 0 <= y1 and x2 <= width and y2 <= height):
        raise PromptError(f'its box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is not inside the image of '
                          f'{width}x{height}')
    if not (x2 - x1 >= 1 and y2 - y1 >= 1):
        raise PromptError(f'its box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is smaller than a pixel: '
                          'x1 y1 is the top left corner, x2 y2 the bottom right')
    return x1, y1, x2, y2


def _instance_meant(
        scene: Scene, box: tuple[float, float, float, float] | None,
        points: NDArray[np.float32], positive: BoolArray) -> BoolArray | None:
    """Return the instance that has every positive point, no negative one, and about the box."""
    labels = scene.instances
    if labels is None or labels.shape != scene.image.shape[:2]:
        return None
    columns, rows = np.round(points).astype(int).T
    under = labels[rows, columns]
    if positive.any():
        candidates = np.unique(under[positive])
        if len(candidates) > 1:
            return None
    else:
        candidates = np.unique(labels)
    barred = set(under[~positive].tolist()) | {0}
    best, best_overlap = 0, _SAME_BOX
    for candidate in (int(c) for c in candidates):
        if candidate in barred:
            continue
        if box is None:
            return labels == candidate
        x, y, width, height = cv2.boundingRect((labels == candidate).view(np.uint8))
        overlap = _box_iou(box, (x, y, x + width, y + height))
        if overlap >= best_overlap:
            best, best_overlap = candidate, overlap
    return labels == best if best else None


def _box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
