# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A video file of one size, whatever comes."""

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


class VideoFile:
    """An .mp4 that takes pictures of any size.

    size: (height, width) of the file, pixels; others are scaled to it.  rate: pictures a second.
    Its folder is made.  Raises OSError or ValueError that names the file when it cannot be
    written.
    """

    def __init__(self, path: str | os.PathLike[str], size: tuple[int, int], rate: float) -> None:
        """Open the file."""
        height, width = size
        # Players refuse odd sides in 4:2:0.
        self._size = (max(2, width - width % 2), max(2, height - height % 2))
        path = Path(path).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = cv2.VideoWriter(
            str(path), cv2.VideoWriter.fourcc(*'mp4v'), rate, self._size)
        if not self._writer.isOpened():
            raise ValueError(f'{path}: OpenCV cannot write a video there')

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add a picture, uint8 [H, W, 3] RGB."""
        # OpenCV drops a picture of another size without a word.
        if picture.shape[1::-1] != self._size:
            picture = cv2.resize(picture, self._size)  # type: ignore[assignment]  # uint8 too
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Write what is left."""
        self._writer.release()
