# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tracks drawn over their frame: filled masks, contours, id, label and score."""

from collections.abc import Sequence
import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.tracking.tracks import Tracks

_GOLDEN = 0.618033988749895
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def track_colour(track_id: int) -> tuple[int, int, int]:
    """Return a track's colour, RGB 0..255; the same id has the same colour in every process.

    Steps of the golden ratio around the hue circle keep ids that follow each other far apart.
    """
    value = 0.75 + 0.25 * ((track_id // 3) % 2)
    red, green, blue = colorsys.hsv_to_rgb(track_id * _GOLDEN % 1.0, 0.85, value)
    return int(255 * red), int(255 * green), int(255 * blue)


def png_palette() -> list[int]:
    """Return 256 RGB colours in one list, black first, for palette pictures of track ids."""
    return [0, 0, 0] + [value for i in range(1, 256) for value in track_colour(i)]


def draw_tracks(
        image: NDArray[np.uint8], label_map: NDArray[np.uint16], tracks: Tracks,
        opacity: float = 0.45) -> NDArray[np.uint8]:
    """Return a copy of an image with its tracks drawn in.

    image: uint8 [H, W, 3] RGB.  label_map: uint16 [H, W].  Each pixel is visited once, whatever
    the number of tracks.  Raises ValueError when the sizes differ.
    """
    if image.shape[:2] != label_map.shape:
        raise ValueError(f'image is {image.shape[:2]}, label map is {label_map.shape}')
    picture = np.ascontiguousarray(image).copy()
    if label_map.any():
        palette = np.zeros((int(label_map.max()) + 1, 3), np.uint8)
        for track_id in np.unique(tracks.ids):
            if track_id < len(palette):
                palette[track_id] = track_colour(int(track_id))
        colours = palette[label_map]
        inside = (label_map > 0).view(np.uint8)
        blended = cv2.addWeighted(picture, 1 - opacity, colours, opacity, 0)
        cv2.copyTo(blended, inside, picture)
        thickness = max(1, round(min(label_map.shape) / 360))
        kernel = np.ones((2 * thickness + 1, 2 * thickness + 1), np.uint8)
        rim = (cv2.erode(label_map, kernel) != label_map).view(np.uint8) & inside
        cv2.copyTo(colours, rim, picture)
    for row in np.flatnonzero(tracks.areas):
        _write(picture, tracks, int(row))
    return picture


def contact_sheet(
        images: Sequence[NDArray[np.uint8]], columns: int = 4, width: int = 480,
        ) -> NDArray[np.uint8]:
    """Return images (uint8 [H, W, 3], any sizes) as one picture, row by row, each ``width`` wide.

    Raises ValueError without images.
    """
    if not images:
        raise ValueError('a contact sheet needs at least one image')
    heights = [max(1, round(width * image.shape[0] / image.shape[1])) for image in images]
    height = max(heights)
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for index, image in enumerate(images):
        small = cv2.resize(image, (width, heights[index]), interpolation=cv2.INTER_AREA)
        top, left = index // columns * height, index % columns * width
        sheet[top:top + small.shape[0], left:left + width] = small
    return sheet


def _write(picture: NDArray[np.uint8], tracks: Tracks, row: int) -> None:
    text = f'{tracks.ids[row]} {tracks.labels[row]} {tracks.scores[row]:.2f}'
    scale = max(0.35, min(picture.shape[:2]) / 900)
    (width, height), base = cv2.getTextSize(text, _FONT, scale, 1)
    x = int(min(max(0, tracks.boxes[row][0]), max(0, picture.shape[1] - width)))
    y = int(max(height + base, tracks.boxes[row][1]))
    red, green, blue = track_colour(int(tracks.ids[row]))
    cv2.rectangle(picture, (x, y - height - base), (x + width, y), (red, green, blue), -1)
    # Black or white, whichever stands out from the track's colour.
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    cv2.putText(picture, text, (x, y - base // 2 - 1), _FONT, scale,
                (0, 0, 0) if bright else (255, 255, 255), 1, cv2.LINE_AA)
