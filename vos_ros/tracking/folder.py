# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The pictures of a folder, in the order in which they were taken, as far as names say it."""

from pathlib import Path
import re

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder by name, numbers in it by their value: 9.png, 10.png.

    Raises ValueError when there is none.
    """
    files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise ValueError(f'{folder}: holds no picture ({", ".join(IMAGE_SUFFIXES)})')
    return sorted(files, key=lambda file: (_pieces(file.name), file.name))


def _pieces(name: str) -> list[tuple[str, int]]:
    """Return a name as texts, each with the number behind it."""
    return [(text, int(number or 0)) for text, number in re.findall('([^0-9]*)([0-9]*)', name)]
