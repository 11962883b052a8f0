# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Masks moved by optical flow, on pictures whose motion is known."""

import cv2
import numpy as np
import pytest

from vos_ros.runtime.motion import Motion


def picture(shift):
    """A textured picture uint8 [128, 192, 3] whose content moved by (x, y) pixels."""
    rng = np.random.default_rng(2)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (224, 288, 3), dtype=np.uint8), (0, 0), 5)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    x, y = shift
    return np.ascontiguousarray(wide[48 - y:176 - y, 48 - x:240 - x])


def disc(x, y):
    """Mask logits [16, 24] of a disc of radius 4 around a cell."""
    rows, columns = np.mgrid[:16, :24]
    return (4 - np.hypot(rows - y, columns - x)).astype(np.float32)


@pytest.mark.parametrize('shift', [(0, 0), (8, 0), (-16, 8), (5, -12)])
def test_masks_follow_the_content(shift):
    features = np.stack([disc(12, 8), np.ones((16, 24), np.float32)])
    motion = Motion()
    view = motion.view(picture((0, 0)), features)
    kernels = np.array([[1, 0], [0.5, 0.25]], np.float32)
    masks = motion.follow(picture(shift), kernels, view)
    assert masks.shape == (2, 16, 24) and masks.dtype == np.float32
    moved = disc(12 + shift[0] / 8, 8 + shift[1] / 8)
    for mask, expected in ((masks[0], moved), (masks[1], 0.5 * moved + 0.25)):
        both, either = ((mask > 0) & (expected > 0)).sum(), ((mask > 0) | (expected > 0)).sum()
        assert both / either > 0.85
