# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Paint for built things and clothes for living ones: colours, bands, grids, photographs.

A texture has four quarters, one for each kind of part; `vos_ros.data.simulated_meshes.join` lays
parts on them.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

# Quarters of the texture: the thing's own colour, a second one, rubber or metal, and what has
# windows, doors, labels or stripes.
MAIN, SECOND, DARK, PANEL = range(4)

_SIDE = 128     # of a quarter, pixels


def draw_colour(rng: np.random.Generator) -> F64:
    """Draw a colour, RGB 0..255: white, grey or black in about half of the cases."""
    kind = float(rng.random())
    if kind < 0.22:
        return np.clip(rng.uniform(205, 250) + rng.normal(0, 4, 3), 0, 255)
    if kind < 0.42:
        return np.clip(rng.uniform(70, 200) + rng.normal(0, 5, 3), 0, 255)
    if kind < 0.55:
        return np.clip(rng.uniform(12, 60) + rng.normal(0, 4, 3), 0, 255)
    return rng.uniform(10, 245, 3)


def plain(rng: np.random.Generator, colour: F64 | None = None, side: int = _SIDE) -> U8:
    """Paint a square [side, side, 3] in one colour, with slight grain and uneven shade."""
    colour = draw_colour(rng) if colour is None else colour
    grain = rng.normal(0, rng.uniform(0.3, 4), (side, side, 1))
    coarse = rng.normal(0, rng.uniform(0.5, 7), (5, 5)).astype(np.float32)
    shade = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
    return np.asarray((colour + grain + shade).clip(0, 255), np.uint8)


def draw_paint(rng: np.random.Generator, photo: U8 | None = None) -> U8:
    """Paint a texture for joined parts, [256, 256, 3].

    photo: what the main colour's quarter shows instead of paint, [h, w, 3].
    """
    first = draw_colour(rng)
    second = first if rng.random() < 0.3 else draw_colour(rng)
    quarters = [plain(rng, first), plain(rng, second), plain(rng, rng.uniform(15, 95)
                                                             + rng.normal(0, 4, 3))]
    panel = _panel(rng, first, second)
    if photo is not None:
        quarters[MAIN] = np.asarray(cv2.resize(photo, (_SIDE, _SIDE)), np.uint8)
        panel = quarters[MAIN] if rng.random() < 0.5 else panel
    elif rng.random() < 0.2:
        _stripe(rng, quarters[MAIN], second)
    # Texture places count from the lower edge.
    return np.ascontiguousarray(np.concatenate(
        [np.concatenate([quarters[DARK], panel], 1), np.concatenate(quarters[:2], 1)]))


def draw_clothes(rng: np.random.Generator, coat: U8, other: U8) -> U8:
    """Paint a texture for a living thing, [256, 256, 3].

    coat, other: photographs that its two large surfaces show in half of the cases, [h, w, 3]; the
    rest is plain, striped, or takes a photograph's grain.
    """
    quarters = []
    for photo in (coat, other):
        cloth = plain(rng)
        kind = float(rng.random())
        shown = np.asarray(cv2.resize(photo, (_SIDE, _SIDE)), np.uint8)
        if kind < 0.45:
            cloth = shown
        elif kind < 0.65:
            grain = (shown - shown.mean((0, 1))) * rng.uniform(0.1, 0.5)
            cloth = np.asarray((cloth + grain).clip(0, 255), np.uint8)
        elif kind < 0.8:
            _stripe(rng, cloth, draw_colour(rng))
        quarters.append(cloth)
    # Skin: from dark brown to pink; or the colour of anything, as gloves, paws and helmets have.
    skin = np.array([225.0, 180.0, 150.0]) * rng.uniform(0.3, 1.08) + rng.normal(0, 6, 3) \
        if rng.random() < 0.75 else draw_colour(rng)
    bare = plain(rng, skin.clip(0, 255))
    dark = plain(rng, (rng.uniform(10, 90) + rng.normal(0, 8, 3)).clip(0, 255))
    return np.ascontiguousarray(np.concatenate(
        [np.concatenate([dark, bare], 1), np.concatenate(quarters, 1)]))


def _stripe(rng: np.random.Generator, quarter: U8, colour: F64) -> None:
    """Paint bands over a quarter, level or upright."""
    wide = int(rng.integers(6, 30))
    view = quarter if rng.random() < 0.7 else quarter.transpose(1, 0, 2)
    start = int(rng.integers(_SIDE // 2))
    for number in range(int(rng.integers(1, 5))):
        part = view[start + 2 * number * wide:start + (2 * number + 1) * wide]
        part[:] = plain(rng, colour)[:len(part)]


def _panel(rng: np.random.Generator, first: F64, second: F64) -> U8:
    """Paint a grid of rectangles: windows, doors, labels; or stripes."""
    out = plain(rng, first)
    if rng.random() < 0.2:
        _stripe(rng, out, second)
        return out
    dark = first * rng.uniform(0.15, 0.75) if rng.random() < 0.7 else draw_colour(rng)
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(1, 9))
    bar = float(rng.uniform(0.06, 0.3))
    for row in range(rows):
        for column in range(columns):
            top, left = (row + bar / 2) / rows, (column + bar / 2) / columns
            bottom, right = (row + 1 - bar / 2) / rows, (column + 1 - bar / 2) / columns
            y, x = slice(int(top * _SIDE), int(bottom * _SIDE)), \
                slice(int(left * _SIDE), int(right * _SIDE))
            out[y, x] = (plain(rng, dark)[y, x] * rng.uniform(0.85, 1.1)).clip(0, 255)
    return out
