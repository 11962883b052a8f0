# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parts of a followed object's mask that came up where the object was not."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.tracking.picture import compete

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

# The masks of a network come enlarged by this: what is finer says nothing.
_CELL = 4
# An object moves and grows from frame to frame by up to this share of the root of its area.
_REACH = 0.25
_LEAST_REACH = 2
# What was hardly seen may come up anywhere.
_LEAST_CELLS = 4


class Strays:
    """Knows where each object was in the frame before, and takes off its mask what is elsewhere.

    XMem compares each place with all that it remembers, wherever that was.  Something of the same
    looks that passes by, a white van behind a silver one, therefore gets pieces of the object's
    mask, and once they are remembered more of them.  A part of a mask, 8-connected, is a stray
    when it does not reach the place of the frame before, while another part does.  All of them
    are taken off if they make up no more than a given share of the mask: of a body that falls
    into larger pieces nobody knows which one is false.  An object that was not seen has no place.
    One thread uses it.
    """

    def __init__(self) -> None:
        """Start without objects."""
        self._places: dict[int, BoolArray] = {}

    def take_off(self, probabilities: FloatArray, objects: Sequence[int],
                 share: float) -> FloatArray:
        """Return the probabilities with strays given to what else is there; note the places.

        probabilities: float32 [n + 1, H, W], background first, sides multiples of 4; not changed.
        share: of an object's cells; 0 takes nothing off.
        """
        winner = _winner(probabilities)
        cleaned = probabilities
        places: dict[int, BoolArray] = {}
        for channel, obj in enumerate(objects, 1):
            mask = winner == channel
            strays = self._strays(obj, mask, share)
            if strays is not None:
                if cleaned is probabilities:
                    cleaned = probabilities.copy()
                _give_away(cleaned, channel, strays, mask & ~strays)
                mask &= ~strays
            places[obj] = mask
        self._places = places
        return cleaned

    def note(self, probabilities: FloatArray, objects: Sequence[int]) -> None:
        """Note where objects are, for example by masks that a user gave."""
        winner = _winner(probabilities)
        self._places = {obj: winner == channel for channel, obj in enumerate(objects, 1)}

    def forget(self, objects: Iterable[int]) -> None:
        """Forget where these objects were."""
        for obj in objects:
            self._places.pop(obj, None)

    def export(self) -> dict[str, NDArray]:
        """Return what `restore` takes."""
        return {f'place.{obj}': place.astype(np.uint8) for obj, place in self._places.items()}

    def restore(self, arrays: Mapping[str, NDArray], objects: Sequence[int]) -> None:
        """Go on from what `export` gave; objects of which it says nothing have no place.

        Raises ValueError for what is no place.
        """
        self._places = {}
        for obj in objects:
            place = arrays.get(f'place.{obj}')
            if place is None:
                continue
            if place.ndim != 2:
                raise ValueError(f'place.{obj} is {place.shape}, must have 2 dimensions')
            self._places[obj] = place.astype(bool)

    def _strays(self, obj: int, mask: BoolArray, share: float) -> BoolArray | None:
        """Return the cells of an object's mask that are strays; None without any."""
        before = self._places.get(obj)
        if before is None or not mask.any():
            return None
        if before.shape != mask.shape:
            # Of a frame of another size, or of the same at another working size.
            before = cv2.resize(before.view(np.uint8), mask.shape[::-1],
                                interpolation=cv2.INTER_NEAREST).view(np.bool_)
        area = np.count_nonzero(before)
        if area < _LEAST_CELLS:
            return None
        count, parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
        if count <= 2:
            return None
        away = cv2.distanceTransform((~before).view(np.uint8), cv2.DIST_L2, 3)
        near = away <= max(_LEAST_REACH, _REACH * float(np.sqrt(area)))
        own = np.zeros(count, bool)
        own[parts[near]] = True
        own[0] = True
        strays: BoolArray = ~own[parts]
        lost = np.count_nonzero(strays)
        if not lost or lost > share * np.count_nonzero(mask):
            return None
        return strays


def _winner(probabilities: FloatArray) -> NDArray[np.uint16]:
    """Return the most probable channel of each cell [H / 4, W / 4]."""
    return compete(probabilities[:, ::_CELL, ::_CELL])[1]


def _give_away(probabilities: FloatArray, channel: int, strays: BoolArray,
               kept: BoolArray) -> None:
    """Give an object's share of the strays' cells, and of those round them, to the others.

    In proportion to theirs: what lies under a stray may be another object that is followed.
    """
    around = cv2.dilate(strays.view(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~kept
    x, y, width, height = cv2.boundingRect(around.view(np.uint8))
    fine = around[y:y + height, x:x + width].repeat(_CELL, axis=0).repeat(_CELL, axis=1)
    part = probabilities[:, _CELL * y:_CELL * (y + height), _CELL * x:_CELL * (x + width)]
    cells = part[:, fine]
    cells[channel] = 0
    left = cells.sum(axis=0)
    # Where nothing else was thought of there is the background.
    cells[0, left <= 0] = 1
    part[:, fine] = cells / np.where(left > 0, left, np.float32(1))
