# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""`vos-ros track` and `vos-ros calibrate` as a user calls them, with a real network and video."""

import json

import cv2
import numpy as np
import pytest

from vos_ros import cli
from vos_ros.budget.calibration import read_calibration
from vos_ros.runtime.package import load_package
from vos_ros.tracking.video_file import VideoFile


@pytest.fixture
def video(tmp_path):
    path = tmp_path / 'in.mp4'
    file = VideoFile(path, (96, 128), 10)
    rng = np.random.default_rng(0)
    for _ in range(9):
        file.write(cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (128, 96)))
    file.close()
    return path


def track(*words):
    return cli.main(['track', *(str(word) for word in words)])


def test_a_video_is_tracked_and_drawn(video, tiny_package, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert track(video, '--model', tiny_package, '--out', '~/a/out.mp4', '--sheet', '~/b/s.png',
                 '--json') == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures['frames'] == 9 and figures['network_ms'] > 0
    drawn = cv2.VideoCapture(str(tmp_path / 'a' / 'out.mp4'))
    assert drawn.get(cv2.CAP_PROP_FRAME_COUNT) == 9
    assert cv2.imread(str(tmp_path / 'b' / 's.png')) is not None
    assert not (tmp_path / '~').exists()


def test_what_cannot_be_is_said_and_nothing_is_lost(video, tiny_package, tmp_path, capsys):
    before = video.read_bytes()
    (tmp_path / 'link.mp4').symlink_to(video)
    picture = tmp_path / '0.png'
    picture.write_bytes(b'mine')
    for words, message in (
            ([video, '--out', video], 'is the video itself'),
            ([video, '--out', tmp_path / 'link.mp4'], 'is the video itself'),
            ([tmp_path / 'none.mp4'], 'no such file'),
            ([video, '--frames', '-1'], '--frames -1: at least 0'),
            ([video, '--out', picture], '0.png: is the name of a picture'),
            ([video, '--sheet', tmp_path / 'sheet.unknown'], 'of that suffix')):
        assert track(*words, '--model', tiny_package) == 1
        assert message in capsys.readouterr().err
    assert video.read_bytes() == before and picture.read_bytes() == b'mine'


def test_a_calibration_makes_its_folder(tiny_package, tmp_path, capsys):
    out = tmp_path / 'boards' / 'mine.yaml'
    words = ['calibrate', '--model', str(tiny_package), '--threads', '1', '--quick', '--out']
    assert cli.main([*words, str(out)]) == 0
    assert read_calibration(out, digest=load_package(tiny_package).digest, threads=1)
    assert cli.main([*words, str(out / 'below.yaml')]) == 1
    assert 'mine.yaml' in capsys.readouterr().err
