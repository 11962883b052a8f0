# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pictures and videos that are cut off, as an interrupted copy leaves them."""

import cv2
from miniature import halve
import numpy as np
import pytest

from vos_ros.nodes.sources import open_source
from vos_ros.tracking.command import read_frames
from vos_ros.tracking.video_file import VideoFile


def blobs(seed):
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), (160, 120))


def film(path):
    """A video of 30 frames."""
    file = VideoFile(path, (120, 160), 25)
    for number in range(30):
        file.write(blobs(number))
    file.close()


@pytest.fixture(params=['track', 'video_source'])
def frames_of(request):
    """Both ways to read a source."""
    read = read_frames if request.param == 'track' else open_source
    return lambda path: list(read(str(path)))


@pytest.mark.parametrize('name', ['2.jpg', '2.png'])
def test_half_a_picture_is_refused(frames_of, tmp_path, name):
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f'{number}{name[1:]}'), blobs(number))
    assert len(frames_of(tmp_path)) == 2
    file = tmp_path / name
    whole = file.read_bytes()
    for length in (len(whole) // 3, 0):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf'{name}: cannot be read as a picture'):
            frames_of(tmp_path)


@pytest.mark.parametrize('suffix', ['avi', 'mkv'])
def test_half_a_video_is_told(frames_of, tmp_path, caplog, suffix):
    path = tmp_path / f'video.{suffix}'
    film(path)
    assert len(frames_of(path)) == 30 and not caplog.records
    halve(path)
    count = len(frames_of(path))
    assert 5 < count < 25
    told, = caplog.records
    assert f'{path}: ended after {count} of 30 frames' in told.getMessage()


def test_a_source_that_is_read_again_tells_it_once(tmp_path, caplog):
    path = tmp_path / 'video.avi'
    film(path)
    halve(path)
    source = open_source(str(path))
    assert len(list(source)) == len(list(source))
    assert len(caplog.records) == 1
