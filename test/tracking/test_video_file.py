# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A video file on a disk that fills."""

import resource
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vos_ros.tracking.video_file import VideoFile


def noise():
    rng = np.random.default_rng(0)
    while True:
        yield rng.integers(0, 255, (120, 160, 3), np.uint8)


def pictures_in(path):
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    return count


def test_a_disk_that_fills_ends_the_video_while_it_can_be_read(tmp_path, monkeypatch):
    path, room = tmp_path / 'video.mp4', 1_000_000

    def usage(folder):
        assert folder == tmp_path
        used = path.stat().st_size if path.exists() else 0
        return SimpleNamespace(total=room, used=used, free=room - used)

    monkeypatch.setattr(shutil, 'disk_usage', usage)
    video, count = VideoFile(path, (120, 160), 30), 0
    with pytest.raises(OSError, match=r'video\.mp4: the disk is full, 0\.. MB') as told:
        for picture in noise():
            video.write(picture)
            count += 1
            assert count < 1000
    video.close()
    assert f'ends after {count} pictures' in str(told.value)
    assert pictures_in(path) == count > 10 and path.stat().st_size < room
    # On a disk that is full nothing is begun, and what is there stays.
    room = path.stat().st_size
    with pytest.raises(OSError, match='the disk is full'):
        VideoFile(path, (120, 160), 30)
    assert pictures_in(path) == count


def test_a_file_that_cannot_be_read_back_is_told(tmp_path):
    video = VideoFile(tmp_path / 'video.mp4', (120, 160), 30)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        for picture, _ in zip(noise(), range(40), strict=False):
            video.write(picture)
        with pytest.raises(OSError, match=r'video\.mp4: was not written whole'):
            video.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    video.close()
