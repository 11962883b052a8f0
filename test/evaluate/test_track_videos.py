# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The videos of `vos-ros evaluate tracks`: which ones, and what is void in them."""

import argparse
import json
from pathlib import Path

import cv2
from miniature import coco_folder
from miniature import draw_disc
from miniature import ytvis_folder
import numpy as np
from PIL import Image
import pytest

from vos_ros.evaluate import tracks
from vos_ros.evaluate.track_videos import synthetic
from vos_ros.evaluate.track_videos import youtube_vis


def command(*arguments):
    parser = argparse.ArgumentParser()
    tracks.add_arguments(parser)
    return tracks.run(parser.parse_args([str(a) for a in arguments]))


def test_crowds_are_void_where_no_object_is(tmp_path):
    folder, annotations = ytvis_folder(tmp_path)
    content = json.loads(annotations.read_text())
    whole = [[0, 0, 95, 0, 95, 63, 0, 63]]
    content['annotations'][1] |= {'iscrowd': 1, 'segmentations': [whole, None, whole, None]}
    annotations.write_text(json.dumps(content))
    (video,) = youtube_vis(folder, annotations, ('person', 'dog'))
    frames = list(video.frames)
    assert not frames[1].void.any()
    assert frames[0].void[2, 2] and frames[0].truth[32, 20] == 1 and not frames[0].void[32, 20]


def test_only_some_youtube_vis_videos(tmp_path):
    folder, annotations = ytvis_folder(tmp_path)
    content = json.loads(annotations.read_text())
    other = {**content['videos'][0], 'id': 8, 'file_names': ['other/00000.png']}
    annotations.write_text(json.dumps({**content, 'videos': [*content['videos'], other]}))
    chosen = youtube_vis(folder, annotations, ('person', 'dog'), ['clip'])
    assert [video.name for video in chosen] == ['clip']
    with pytest.raises(ValueError, match='no video nonsense; there are: clip, other'):
        list(youtube_vis(folder, annotations, ('person', 'dog'), ['nonsense']))


def test_synthetic_clips_of_all_images_and_without_names(tmp_path, tiny_package, capsys):
    folder, annotations = coco_folder(tmp_path, count=2)
    (video,) = synthetic(folder, annotations, 0, 1, 1)
    assert len(list(video.frames)) == 1
    assert command('--data', folder, '--annotations', annotations, '--model', tiny_package,
                   '--only', 'dog') == 1
    assert '--only dog' in capsys.readouterr().err


def test_masks_of_another_size_name_the_sequence(tmp_path, tiny_package, capsys):
    for kind in ('JPEGImages', 'Annotations'):
        (tmp_path / kind / 'large').mkdir(parents=True)
    cv2.imwrite(str(tmp_path / 'JPEGImages/large/0.jpg'), np.zeros((96, 128, 3), np.uint8))
    Image.fromarray(draw_disc((192, 256), (90, 90), 40)).save(
        Path(tmp_path / 'Annotations/large/0.png'))
    assert command('--data', tmp_path, '--model', tiny_package) == 1
    assert 'large: true label map is (192, 256), found one is (96, 128)' \
        in capsys.readouterr().err
