# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Drawn photographs and cut-outs to make training clips of."""

import cv2
import numpy as np

from vos_ros.data.cutouts import Cutout
from vos_ros.data.static_clips import Still


def material(count=3, seed=0):
    rng = np.random.default_rng(seed)
    stills, cutouts = [], []
    for _ in range(count):
        rgb = cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), (160, 120))
        labels = np.zeros((120, 160), np.uint8)
        labels[30:80, 40:90] = 1
        rgb[labels > 0] //= 2
        stills.append(Still(rgb, labels))
        alpha = np.zeros((50, 40), np.uint8)
        cv2.ellipse(alpha, (20, 25), (18, 23), 0, 0, 360, 255, -1)
        cutouts.append(Cutout(rng.integers(0, 255, (50, 40, 3), np.uint8), alpha, 0))
    return stills, cutouts
