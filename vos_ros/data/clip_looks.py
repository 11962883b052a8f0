# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How the pictures of a training clip come out: light, colour, blur, noise, compression."""

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]


def develop(rng: np.random.Generator, frames: U8) -> U8:
    """Change the pictures as cameras and light do: some for the clip, some per frame."""
    grey = rng.random() < 0.05
    common = tone_table(rng, 0.25)
    saturation = rng.uniform(0.6, 1.4)
    noise = rng.uniform(2, 10) if rng.random() < 0.3 else 0.0
    quality = int(rng.integers(25, 90)) if rng.random() < 0.35 else 0
    out = np.empty_like(frames)
    for t, source in enumerate(frames):
        frame = cv2.LUT(source, common)
        frame = cv2.LUT(frame, tone_table(rng, 0.06))
        flat = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        frame = cv2.addWeighted(frame, 0 if grey else saturation,
                                flat, 1 if grey else 1 - saturation, 0)
        if rng.random() < 0.2:
            frame = cv2.filter2D(frame, -1, _streak(rng, frames.shape[2]))
        if noise:
            frame = np.clip(frame + rng.normal(0, noise, frame.shape), 0, 255).astype(np.uint8)
        if quality:
            _, coded = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
            frame = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
        out[t] = frame
    return out


def tone_table(rng: np.random.Generator, strength: float) -> U8:
    """Make a look-up table [256, 1, 3]: gain and gamma for all, a smaller tint per channel."""
    ramp = np.linspace(0, 1, 256)[:, None]
    gamma = np.exp(rng.normal(0, strength))
    gain = 1 + rng.normal(0, strength) + rng.normal(0, strength / 3, 3)
    lift = rng.normal(0, strength / 4)
    table = np.clip(ramp ** gamma * gain + lift, 0, 1) * 255
    return np.ascontiguousarray(table.astype(np.uint8)[:, None])


def _streak(rng: np.random.Generator, size: int) -> F32:
    """Make a motion blur kernel: a short line at some angle."""
    length = int(rng.integers(2, max(3, size // 24) + 1)) | 1
    kernel = np.zeros((length, length), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
    centre = (length - 1) / 2
    cv2.line(kernel, tuple(round(float(v)) for v in centre - reach),
             tuple(round(float(v)) for v in centre + reach), 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)
