# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Masks as users give them, checked and brought to the tracker's working size."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.tracking.objects import ObjectInfo

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Designation:
    """Objects and one mask for each, bool [H, W] at the frame's size; a mask may be empty."""

    objects: tuple[ObjectInfo, ...]
    masks: tuple[NDArray[np.bool_], ...]


def designate(mask: NDArray, objects: Sequence[int | ObjectInfo] | None,
              size: tuple[int, int]) -> Designation:
    """Take a user's mask apart.

    mask: [H, W] of integers, 0 = nothing said, else an object id; or [n, H, W], bool, integers or
        probabilities (above 0.5 counts), one plane for each of `objects`.
    objects: ids or ObjectInfo; may be left out for a mask of ids, which then names its objects.
    size: (H, W) of the frame.

    Raises ValueError that names what is wrong: a shape, a type, an id that is in the mask but not
    among the objects, an id named twice.
    """
    # numpy's integers are taken too, but no file of a saved memory could hold them.
    infos = None if objects is None else [
        replace(obj, id=int(obj.id), class_id=int(obj.class_id))
        if isinstance(obj, ObjectInfo) else ObjectInfo(int(obj)) for obj in objects]
    if mask.shape[-2:] != tuple(size) or mask.ndim not in (2, 3):
        raise ValueError(f'mask is {mask.shape}, must be {tuple(size)} like the frame, or one '
                         'such plane an object')
    if infos is not None and len({info.id for info in infos}) != len(infos):
        raise ValueError(f'an object is named twice in {[info.id for info in infos]}')
    if mask.ndim == 3:
        if infos is None or len(infos) != len(mask):
            raise ValueError(f'mask has {len(mask)} planes for '
                             f'{0 if infos is None else len(infos)} objects')
        planes = [plane > 0.5 for plane in mask]
        return Designation(tuple(infos), tuple(planes))
    if mask.dtype == np.bool_:
        if infos is None or len(infos) != 1:
            raise ValueError('a mask of bool is for exactly one object')
        return Designation(tuple(infos), (mask,))
    if not np.issubdtype(mask.dtype, np.integer):
        raise ValueError(f'mask is {mask.dtype}, a mask of ids must be of integers')
    present = [int(i) for i in np.unique(mask) if i]
    if infos is None:
        infos = [ObjectInfo(i) for i in present]
    strangers = sorted(set(present) - {info.id for info in infos})
    if strangers:
        raise ValueError(f'mask holds ids {strangers}, which are not among the objects')
    return Designation(tuple(infos), tuple(mask == info.id for info in infos))


def to_size(mask: NDArray[np.bool_], size: tuple[int, int]) -> FloatArray:
    """Bring a mask to (height, width), 0 or 1; something that was there does not vanish."""
    if mask.shape == tuple(size):
        return mask.astype(np.float32)
    smaller = size[0] < mask.shape[0]
    cover = cv2.resize(mask.astype(np.float32), size[::-1],
                       interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    inside = cover >= 0.5
    if not inside.any():
        inside = cover > 0
    return inside.astype(np.float32)
