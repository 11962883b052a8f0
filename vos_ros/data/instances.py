# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the readers and generators of this folder hand to each other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

# The twelve supercategories of COCO, in COCO's own order: the classes of the shipped weights.
SUPERCATEGORIES = (
    'person', 'vehicle', 'outdoor', 'animal', 'accessory', 'sports', 'kitchen', 'food',
    'furniture', 'electronic', 'appliance', 'indoor')


@dataclass(frozen=True)
class Instance:
    """One object of an image.

    mask: uint8 [h, w], 0 or 1, of the object's box only.
    corner: (x, y) of the box's top left pixel in the image.
    class_id: index into the data set's class names.
    """

    mask: U8
    corner: tuple[int, int]
    class_id: int

    @classmethod
    def from_full(cls, mask: U8, class_id: int) -> 'Instance | None':
        """Cut the box out of a mask of the whole image; None when the mask is empty."""
        rows = np.flatnonzero(mask.any(1))
        if not len(rows):
            return None
        columns = np.flatnonzero(mask.any(0))
        part = mask[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
        return cls(np.ascontiguousarray(part != 0).astype(np.uint8),
                   (int(columns[0]), int(rows[0])), class_id)

    def full(self, height: int, width: int) -> U8:
        """Return the mask over an image of that size, uint8 [height, width]."""
        out = np.zeros((height, width), np.uint8)
        x, y = self.corner
        out[y:y + self.mask.shape[0], x:x + self.mask.shape[1]] = self.mask
        return out


@dataclass(frozen=True)
class MaskedImage:
    """An image and its objects.

    rgb: uint8 [H, W, 3].
    instances: the objects; their masks may overlap.
    name: what to call the image in messages.
    crowds: regions of many objects that nobody told apart.
    """

    rgb: U8
    instances: tuple[Instance, ...]
    name: str = ''
    crowds: tuple[Instance, ...] = ()

    def covered(self) -> U8:
        """Return where the image shows an object or a crowd: uint8 [H, W], 0 or 1."""
        out = np.zeros(self.rgb.shape[:2], np.uint8)
        for part in (*self.instances, *self.crowds):
            x, y = part.corner
            out[y:y + part.mask.shape[0], x:x + part.mask.shape[1]] |= part.mask
        return out


@dataclass(frozen=True)
class ImageSample:
    """A training image: rgb uint8 [H, W, 3], masks uint8 [n, H, W], classes int64 [n].

    void: bool [H, W], where there are objects that nobody told apart; None = nowhere.
    """

    rgb: U8
    masks: U8
    classes: NDArray[np.int64]
    void: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Clip:
    """Some frames of a video with identities.

    frames: uint8 [T, H, W, 3] RGB.
    labels: uint16 [T, H, W], 0 = background, i = object i, the same object in every frame.
    classes: int64 [K], the class of objects 1..K (an object need not be visible in any frame).
    """

    frames: U8
    labels: NDArray[np.uint16]
    classes: NDArray[np.int64]

    def masks(self, frame: int) -> U8:
        """Return the visible masks of all K objects in a frame, uint8 [K, H, W]."""
        ids = np.arange(1, len(self.classes) + 1, dtype=np.uint16)
        return (self.labels[frame][None] == ids[:, None, None]).astype(np.uint8)
