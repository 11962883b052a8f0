# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A video file of one size, whatever comes."""

import os
from pathlib import Path
import shutil

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.tracking.folder import IMAGE_SUFFIXES

# Bytes of the disk that are left free, of a small one a quarter at most: the end of what is
# buffered and the index, without which nothing can be read, are written when the file is closed.
_KEPT_FREE = 8_000_000
_INDEX_BYTES = 32       # a picture, at most


class VideoFile:
    """An .mp4 that takes pictures of any size.

    size: (height, width) of the file, pixels; others are scaled to it.  rate: pictures a second.
    Its folder is made.  Raises OSError or ValueError that names the file when it cannot be
    written; OSError also from ``write``, which closes it, when the disk is nearly full.
    pictures: how many the file has; 0 once it is closed and cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], size: tuple[int, int], rate: float) -> None:
        """Open the file."""
        height, width = size
        # Players refuse odd sides in 4:2:0.
        self._size = (max(2, width - width % 2), max(2, height - height % 2))
        self._path = Path(path).expanduser()
        # OpenCV would put the bytes of one frame of video there, over a picture perhaps.
        if self._path.suffix.lower() in IMAGE_SUFFIXES:
            raise ValueError(f'{self._path}: is the name of a picture; a video ends in .mp4')
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.pictures = 0
        self._check_room()
        self._writer = cv2.VideoWriter(
            str(self._path), cv2.VideoWriter.fourcc(*'mp4v'), rate, self._size)
        if not self._writer.isOpened():
            raise ValueError(f'{self._path}: OpenCV cannot write a video there')

    def write(self, picture: NDArray[np.uint8]) -> None:
        """Add a picture, uint8 [H, W, 3] RGB; raise OSError when the disk is nearly full."""
        try:
            self._check_room()
        except OSError:
            self.close()
            raise
        # OpenCV drops a picture of another size without a word.
        if picture.shape[1::-1] != self._size:
            picture = cv2.resize(picture, self._size)  # type: ignore[assignment]  # uint8 too
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        self.pictures += 1

    def close(self) -> None:
        """Write what is left; raise OSError when the file cannot be read back."""
        if not self._writer.isOpened():
            return
        self._writer.release()
        # OpenCV does not tell when it could not write.
        if self.pictures and not cv2.VideoCapture(str(self._path)).read()[0]:
            self.pictures = 0
            raise OSError(f'{self._path}: was not written whole and cannot be read')

    def _check_room(self) -> None:
        disk = shutil.disk_usage(self._path.parent)
        if disk.free < min(_KEPT_FREE, disk.total // 4) + _INDEX_BYTES * self.pictures:
            raise OSError(f'{self._path}: the disk is full, {disk.free / 1e6:.1f} MB are left; '
                          f'the video ends after {self.pictures} pictures')
