# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The folder layouts of DAVIS, its masks and the semi-supervised protocol."""

import argparse
import csv
import json
import math
import warnings

import cv2
from miniature import halve
import numpy as np
from PIL import Image
import pytest

from vos_ros.evaluate.davis import find_sequences
from vos_ros.evaluate.davis import read_labels
from vos_ros.evaluate.figures import percent
from vos_ros.evaluate.figures import to_json
from vos_ros.evaluate.vos import add_arguments
from vos_ros.evaluate.vos import Recorder
from vos_ros.evaluate.vos import run
from vos_ros.evaluate.vos import Table
from vos_ros.evaluate.vos_scores import score_sequence
from vos_ros.evaluate.vos_scores import summary
from vos_ros.tracking.drawing import png_palette


def write_mask(path, labels, mode='P'):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(labels.astype(np.uint8))
    if mode == 'P':
        picture.putpalette(png_palette())
    picture.save(path)


def moving(frames, size=(48, 80)):
    """Label maps: object 1 moves right by 2 a frame, object 2 appears on frame 3 and stays."""
    out = []
    for t in range(frames):
        labels = np.zeros(size, np.uint8)
        labels[10:20, 4 + 2 * t:16 + 2 * t] = 1
        if t >= 3:
            labels[30:40, 50:60] = 2
        out.append(labels)
    return out


def write_video(root, sequence, masks, mode='P', name='{:05}', size=None):
    """A sequence with these label maps [T, H, W]; size: of its frames, if not the masks'."""
    for t, labels in enumerate(masks):
        path = root / 'JPEGImages' / sequence / f'{name.format(t)}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((*(size or labels.shape), 3), 90, np.uint8))
        write_mask(root / 'Annotations' / sequence / f'{name.format(t)}.png', labels, mode)


@pytest.fixture
def folder(tmp_path):
    """A DAVIS folder with one sequence `walk` of 8 frames and two objects, one of them late."""
    for t, labels in enumerate(moving(8)):
        image = np.full((*labels.shape, 3), 90, np.uint8)
        image[labels > 0] = (200, 40, 40)
        path = tmp_path / 'JPEGImages' / '480p' / 'walk' / f'{t:05}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
        write_mask(tmp_path / 'Annotations' / '480p' / 'walk' / f'{t:05}.png', labels)
    return tmp_path


class Frozen:
    """Repeats what it was told: objects stay where they were given."""

    def __init__(self):
        self.known, self.given = None, []

    def step(self, image, labels):
        if self.known is None:
            self.known = np.zeros(image.shape[:2], np.uint8)
        if labels is not None:
            self.given.append(sorted(int(v) for v in np.unique(labels) if v))
            self.known = np.where(labels > 0, labels, self.known)
        return self.known


def test_mask_files(tmp_path):
    labels = np.zeros((9, 9), np.uint8)
    labels[2:4, 2:4], labels[6:, 6:] = 3, 255
    write_mask(tmp_path / 'p.png', labels)
    assert np.unique(read_labels(tmp_path / 'p.png')).tolist() == [0, 3]    # 255 is void
    assert np.unique(read_labels(tmp_path / 'p.png', void=True)).tolist() == [0, 3, 255]
    write_mask(tmp_path / 'v.png', np.where(labels == 255, 255, 0))         # all have left
    assert not read_labels(tmp_path / 'v.png').any()
    assert np.unique(read_labels(tmp_path / 'v.png', void=True)).tolist() == [0, 255]
    write_mask(tmp_path / 'g.png', np.where(labels > 0, 255, 0), 'L')
    for void in (False, True):                                              # one object of 2016
        assert np.unique(read_labels(tmp_path / 'g.png', void)).tolist() == [0, 1]
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)).save(
        tmp_path / 'rgb.png')
    with pytest.raises(ValueError, match=r'rgb\.png'):
        read_labels(tmp_path / 'rgb.png')
    many = np.where(labels == 3, 300, 0).astype(np.uint16)      # as mono16 label maps are saved
    Image.fromarray(many).save(tmp_path / 'm.png')
    with pytest.raises(ValueError, match=r'm\.png: holds object number 300'):
        read_labels(tmp_path / 'm.png')
    Image.fromarray(np.minimum(many, 7)).save(tmp_path / 'm.png')
    assert np.unique(read_labels(tmp_path / 'm.png')).tolist() == [0, 7]


def test_what_255_means_is_the_same_in_a_sequence(tmp_path):
    labels = np.zeros((8, 48, 80), np.uint8)
    labels[:, 30:40, 60:70], labels[1:3, 5:20, 5:20] = 255, 1
    write_video(tmp_path / 'void', 'leaves', labels, 'L')
    (leaves,) = find_sequences(tmp_path / 'void')
    assert [np.unique(leaves.labels(t)).tolist() for t in (0, 1, 7)] == [[0], [0, 1], [0]]
    assert np.unique(leaves.labels(0, void=True)).tolist() == [0, 255]
    write_video(tmp_path / '2016', 'one', np.where(labels == 255, 255, 0), 'L')
    (one,) = find_sequences(tmp_path / '2016')
    assert np.unique(one.labels(0)).tolist() == [0, 1]


def test_frames_go_by_their_numbers(tmp_path):
    write_video(tmp_path, 'counted', np.ones((12, 16, 16), np.uint8), name='{}')
    (sequence,) = find_sequences(tmp_path)
    assert [path.stem for path in sequence.frames] == [str(t) for t in range(12)]


def test_half_a_frame_is_refused(folder):
    (sequence,) = find_sequences(folder)
    path = sequence.frames[3]
    halve(path)
    assert sequence.image(2).any()
    with pytest.raises(ValueError, match=r'00003\.jpg'):
        sequence.image(3)


def test_layouts(folder, tmp_path):
    (davis,) = find_sequences(folder)
    assert (davis.name, len(davis.frames)) == ('walk', 8)
    flat = tmp_path / 'flat'
    (flat / 'walk').mkdir(parents=True)
    for kind in ('JPEGImages', 'Annotations'):
        (folder / kind / '480p' / 'walk').rename(flat / 'walk' / kind)
    (puma,) = find_sequences(flat)
    assert (puma.name, len(puma.frames)) == ('walk', 8)
    (single,) = find_sequences(flat / 'walk')
    assert single.name == 'walk'
    with pytest.raises(ValueError, match='no sequence run; there are: walk'):
        find_sequences(flat, ['run'])
    with pytest.raises(FileNotFoundError, match='JPEGImages'):
        find_sequences(tmp_path / 'nothing')


def test_image_set(folder):
    listing = folder / 'ImageSets' / '2017' / 'val.txt'
    listing.parent.mkdir(parents=True)
    listing.write_text('walk\n')
    assert [s.name for s in find_sequences(folder, image_set='2017/val')] == ['walk']
    with pytest.raises(ValueError, match=r'val\.txt: does not list run'):
        find_sequences(folder, ['run', 'walk'], '2017/val')
    with pytest.raises(FileNotFoundError, match=r'test\.txt'):
        find_sequences(folder, image_set='test')


def test_protocol_with_a_late_object(folder):
    (sequence,) = find_sequences(folder)
    tracker = Frozen()
    score = score_sequence(sequence, tracker)
    # Each object is shown once, on its first frame, and alone.
    assert tracker.given == [[1], [2]]
    first, late = score.objects
    # Object 1 on frames 1..6: 12 columns wide, 2 t columns off.
    expected = [(12 - 2 * t) / (12 + 2 * t) if t < 6 else 0 for t in range(1, 7)]
    assert first.frames == 6
    assert pytest.approx(np.mean(expected)) == first.J
    # Object 2 never moves: frames 4..6 count, its first frame and the last one do not.
    assert (late.frames, late.J, late.F) == (3, 1, 1)
    figures = summary([score])
    assert figures['J'] == pytest.approx((np.mean(expected) + 1) / 2)
    assert figures['J&F'] == pytest.approx((figures['J'] + figures['F']) / 2)
    assert (figures['objects'], figures['frames'], figures['scored_frames']) == (2, 8, 9)
    assert figures['fps'] > 0


def test_tenths_tell_how_a_long_video_ends(tmp_path):
    # In view for 20 frames, away for 10, back for 12, but the tracker finds it no more.
    for t in range(42):
        labels = np.zeros((48, 80), np.uint8)
        if t < 20 or t >= 30:
            labels[10:20, 10:30] = 1
        (tmp_path / 'JPEGImages' / 'out').mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / 'JPEGImages' / 'out' / f'{t:05}.jpg'),
                    np.full((48, 80, 3), 90, np.uint8))
        write_mask(tmp_path / 'Annotations' / 'out' / f'{t:05}.png', labels)

    class Loses(Frozen):
        count = 0

        def step(self, image, labels):
            self.count += 1
            return super().step(image, labels) * (self.count <= 20)

    (sequence,) = find_sequences(tmp_path)
    score = score_sequence(sequence, Loses())
    (row,) = score.objects
    assert (row.frames, row.tenths, row.seen_tenths) == (40, (1, 0), (1, 0))
    assert pytest.approx((19 + 10) / 40) == row.J       # found 19 times, rightly absent 10 times
    assert pytest.approx(19 / 30) == row.seen
    figures = summary([score])
    assert (figures['J_first_tenth'], figures['J_last_tenth']) == (1, 0)
    assert figures['J_tenths_ratio'] == figures['J_seen_tenths_ratio'] == 0
    assert figures['J_seen'] == pytest.approx(19 / 30)


def test_frames_without_annotation_are_tracked_but_not_scored(folder):
    for t in (2, 4):
        (folder / 'Annotations' / '480p' / 'walk' / f'{t:05}.png').unlink()
    (sequence,) = find_sequences(folder)
    score = score_sequence(sequence, Frozen())
    assert score.frames == 8
    assert [o.frames for o in score.objects] == [4, 2]


def test_a_thin_object_is_given_though_frames_are_smaller_than_masks(tmp_path):
    labels = np.zeros((4, 96, 160), np.uint8)
    labels[:, 20:60, 20:60], labels[:, 71, 11:51] = 1, 2
    write_video(tmp_path, 'wire', labels, size=(48, 80))
    tracker = Frozen()
    score_sequence(find_sequences(tmp_path)[0], tracker)
    assert tracker.given == [[1, 2]]
    assert (tracker.known == 1).sum() == 400


def test_what_does_not_exist_is_no_number(tmp_path):
    labels = np.zeros((6, 48, 80), np.uint8)
    labels[0, 10:20, 10:30] = 1                 # gone after the first frame
    write_video(tmp_path, 'gone', labels)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        figures = summary([score_sequence(find_sequences(tmp_path)[0], Frozen())])
    assert math.isnan(figures['J_seen']) and math.isnan(figures['J_seen_tenths_ratio'])
    assert json.loads(to_json(figures))['J_seen'] is None
    assert percent(figures['J_seen']) == '-'


def test_the_command_keeps_what_was_done_before_a_sequence_fails(tmp_path, capsys):
    labels = np.zeros((3, 64, 96), np.uint8)
    for i in range(9):                          # one more than trackers follow by default
        labels[:, 2 + 20 * (i // 4):18 + 20 * (i // 4), 2 + 24 * (i % 4):20 + 24 * (i % 4)] = i + 1
    write_video(tmp_path / 'data', 'a', labels)
    write_video(tmp_path / 'data', 'b', labels)
    (tmp_path / 'data' / 'JPEGImages' / 'b' / '00001.jpg').write_bytes(b'no picture')
    table = tmp_path / 'new' / 'table.csv'
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = ['--data', str(tmp_path / 'data'), '--csv', str(table), '--threads', '1']
    assert run(parser.parse_args(arguments)) == 1
    assert 'vos-ros evaluate vos: b: ' in capsys.readouterr().err
    with open(table, newline='') as stream:
        assert [row['sequence'] for row in csv.DictReader(stream)] == ['a'] * 9
    assert run(parser.parse_args([*arguments, '--max-objects', '8'])) == 1
    assert 'a: 9 objects more would be too many' in capsys.readouterr().err


def test_what_is_written(folder, tmp_path):
    (sequence,) = find_sequences(folder)
    with Recorder(sequence, str(tmp_path / 'video'), str(tmp_path / 'masks')) as recorder:
        score = score_sequence(sequence, Frozen(), watch=recorder.frame)
    saved = read_labels(tmp_path / 'masks' / 'walk' / '00005.png')
    assert (saved == np.maximum(moving(1)[0], moving(4)[3] * (moving(4)[3] == 2))).all()
    capture = cv2.VideoCapture(str(tmp_path / 'video' / 'walk.mp4'))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 8
    with Table(tmp_path / 'tables' / 'table.csv') as table:
        table.add(score)
    with open(tmp_path / 'tables' / 'table.csv', newline='') as stream:
        rows = list(csv.DictReader(stream))
    assert [(r['sequence'], r['object'], r['frames']) for r in rows] == [
        ('walk', '1', '6'), ('walk', '2', '3')]
    assert float(rows[0]['J']) == pytest.approx(score.objects[0].J, abs=1e-5)
    assert float(rows[0]['J_last_tenth']) == pytest.approx(score.objects[0].tenths[1], abs=1e-5)
