# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What light, lens, sensor and codec do to a picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]


class Look:
    """One drawn exposure and colour rendering; apply it to every frame of a clip alike.

    strength: 0 = none, 1 = as a training image wants it.
    """

    def __init__(self, rng: np.random.Generator, strength: float = 1.0) -> None:
        """Draw gains, gamma and saturation."""
        gain = np.exp(rng.normal(0, 0.16 * strength)) * np.exp(rng.normal(0, 0.05 * strength, 3))
        gamma = float(np.exp(rng.normal(0, 0.18 * strength)))
        offset = rng.normal(0, 8 * strength)
        ramp = (np.arange(256) / 255.0) ** gamma * 255
        table = ramp[None, :, None] * gain[None, None, :] + offset
        self.table = np.clip(table, 0, 255).astype(np.uint8)
        self.saturation = float(np.clip(rng.normal(1, 0.25 * strength), 0, 2))
        if rng.random() < 0.06 * strength:
            self.saturation = 0.0

    def apply(self, rgb: U8, flicker: float = 1.0) -> U8:
        """Return the image [H, W, 3] in this look, its brightness times flicker."""
        table = self.table
        if flicker != 1.0:
            table = np.clip(table * flicker, 0, 255).astype(np.uint8)
        out = cv2.LUT(rgb, table)
        if abs(self.saturation - 1) > 0.02:
            grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            out = cv2.addWeighted(out, self.saturation, grey, 1 - self.saturation, 0)
        return out  # type: ignore[return-value]


def degrade(rng: np.random.Generator, rgb: U8, strength: float = 1.0) -> U8:
    """Sometimes blur, add noise, or compress an image [H, W, 3]; strength scales how often."""
    if rng.random() < 0.25 * strength:
        rgb = cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.4, 1.3)))  # type: ignore
    if rng.random() < 0.3 * strength:
        noise = np.empty(rgb.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(2 ** 31)))
        cv2.randn(noise, np.zeros(3), np.full(3, rng.uniform(2, 9)))
        rgb = cv2.add(rgb, noise, dtype=cv2.CV_8U)  # type: ignore[assignment]
    if rng.random() < 0.25 * strength:
        _, code = cv2.imencode('.jpg', rgb, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        rgb = cv2.imdecode(code, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    return rgb


def motion_blur(rgb: U8, dx: float, dy: float) -> U8:
    """Smear an image along (dx, dy) pixels, centred; below one pixel it is returned as it is."""
    length = int(np.ceil(np.hypot(dx, dy)))
    if length < 2:
        return rgb
    side = 2 * (length // 2) + 3
    kernel = np.zeros((side, side), np.float32)
    middle = side / 2 - 0.5
    for t in np.linspace(-0.5, 0.5, 2 * side):
        kernel[round(middle + float(t) * dy), round(middle + float(t) * dx)] += 1
    return cv2.filter2D(rgb, -1, kernel / kernel.sum())  # type: ignore[return-value]
