# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The DAVIS measures, the folder layouts and the semi-supervised protocol."""

import csv
import math

import cv2
import numpy as np
from PIL import Image
import pytest

from vos_ros.evaluate.davis import find_sequences
from vos_ros.evaluate.davis import read_labels
from vos_ros.evaluate.davis_metrics import boundary
from vos_ros.evaluate.davis_metrics import boundary_accuracy
from vos_ros.evaluate.davis_metrics import region_similarity
from vos_ros.evaluate.vos import Recorder
from vos_ros.evaluate.vos import write_csv
from vos_ros.evaluate.vos_scores import score_sequence
from vos_ros.evaluate.vos_scores import summary
from vos_ros.tracking.drawing import png_palette


def box(height, width, y1, x1, y2, x2):
    mask = np.zeros((height, width), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def blob(height, width, y, x, a, b, angle=0.0):
    ys, xs = np.mgrid[:height, :width]
    u = (xs - x) * math.cos(angle) + (ys - y) * math.sin(angle)
    v = (ys - y) * math.cos(angle) - (xs - x) * math.sin(angle)
    return (u / a) ** 2 + (v / b) ** 2 <= 1


# prediction, truth
CASES = {
    'shifted': (blob(120, 214, 60, 103, 50, 25), blob(120, 214, 60, 100, 50, 25)),
    'turned': (blob(240, 427, 120, 210, 130, 60, 0.2), blob(240, 427, 118, 205, 120, 66)),
    'edge': (blob(97, 61, 90, 5, 40, 22, -0.7), blob(97, 61, 95, 0, 36, 25, -0.5)),
    'two': (blob(150, 200, 40, 50, 20, 30) | blob(150, 200, 100, 150, 31, 22),
            blob(150, 200, 42, 50, 20, 30)),
    'dots': (blob(150, 200, 70, 90, 40, 40) ^ (np.indices((150, 200)).sum(0) % 17 == 0),
             blob(150, 200, 70, 90, 40, 40)),
}
# J and F of these cases, as the published DAVIS 2017 evaluation code gives them.
PUBLISHED = {
    'shifted': (0.9266732283464567, 0.8092105263157895),
    'turned': (0.8024691358024691, 0.21174807240205828),
    'edge': (0.6933229813664596, 0.15294117647058822),
    'two': (0.4405577299412916, 0.6538461538461539),
    'dots': (0.7287822878228782, 0.15780730897009965),
}


def test_region_similarity_of_boxes():
    # 4 x 6 and 4 x 6, shifted by 2 columns: 16 common pixels of 32.
    assert region_similarity(box(8, 12, 2, 2, 6, 8), box(8, 12, 2, 4, 6, 10)) == 0.5
    empty = np.zeros((8, 12), bool)
    assert region_similarity(empty, empty) == 1
    assert region_similarity(empty, box(8, 12, 0, 0, 1, 1)) == 0


def test_boundary_is_half_a_pixel_to_the_upper_left():
    mask = box(6, 7, 2, 3, 4, 5)
    # Left and upper neighbours of the 2 x 2 box, and the box's own right and lower pixels.
    assert sorted(zip(*np.nonzero(boundary(mask)), strict=True)) == [
        (1, 2), (1, 3), (1, 4), (2, 2), (2, 4), (3, 2), (3, 3), (3, 4)]
    assert not boundary(np.ones((6, 7), bool)).any()


def test_boundary_accuracy_of_lines():
    # A vertical edge at column 10 against one at column 13: matched from a tolerance of 3 on.
    a, b = box(40, 40, 0, 0, 40, 10), box(40, 40, 0, 0, 40, 13)
    assert boundary_accuracy(a, b, 3) == 1
    assert boundary_accuracy(a, b, 2) == 0
    # Half of the predicted edge is 20 columns away: precision 1/2 (20 of 40), recall close to it.
    c = b.copy()
    c[20:, 13:33] = True
    precision, recall = boundary_accuracy_parts(c, b, 1)
    assert boundary_accuracy(c, b, 1) == pytest.approx(
        2 * precision * recall / (precision + recall))
    # ceil(0.008 * diagonal) pixels: 0.008 * hypot(480, 854) = 7.84 -> 8
    d, e = box(480, 854, 0, 0, 480, 100), box(480, 854, 0, 0, 480, 108)
    assert boundary_accuracy(d, e) == 1
    assert boundary_accuracy(d, box(480, 854, 0, 0, 480, 109)) == 0


def boundary_accuracy_parts(prediction, truth, radius):
    """Precision and recall by distances between all pairs of boundary pixels."""
    p, t = (np.argwhere(boundary(m)).astype(float) for m in (prediction, truth))
    near = ((p[:, None] - t[None]) ** 2).sum(-1) <= radius ** 2
    return near.any(1).mean(), near.any(0).mean()


@pytest.mark.parametrize('name', CASES)
def test_boundary_accuracy_by_distances(name):
    prediction, truth = CASES[name]
    for radius in (1, 2, 3, 5):
        precision, recall = boundary_accuracy_parts(prediction, truth, radius)
        assert boundary_accuracy(prediction, truth, radius) == pytest.approx(
            2 * precision * recall / (precision + recall), abs=1e-12)


@pytest.mark.parametrize('name', CASES)
def test_as_the_published_evaluation(name):
    j, f = PUBLISHED[name]
    assert region_similarity(*CASES[name]) == pytest.approx(j, abs=1e-9)
    assert boundary_accuracy(*CASES[name]) == pytest.approx(f, abs=1e-9)


def test_empty_masks_and_sizes():
    empty, some = np.zeros((20, 20), bool), box(20, 20, 5, 5, 9, 9)
    assert boundary_accuracy(empty, empty) == 1
    assert boundary_accuracy(empty, some) == 0
    assert boundary_accuracy(some, empty) == 0
    with pytest.raises(ValueError, match='different sizes'):
        region_similarity(empty, np.zeros((20, 21), bool))


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


def test_what_is_written(folder, tmp_path):
    (sequence,) = find_sequences(folder)
    with Recorder(sequence, str(tmp_path / 'video'), str(tmp_path / 'masks')) as recorder:
        score = score_sequence(sequence, Frozen(), watch=recorder.frame)
    saved = read_labels(tmp_path / 'masks' / 'walk' / '00005.png')
    assert (saved == np.maximum(moving(1)[0], moving(4)[3] * (moving(4)[3] == 2))).all()
    capture = cv2.VideoCapture(str(tmp_path / 'video' / 'walk.mp4'))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 8
    write_csv(str(tmp_path / 'table.csv'), [score])
    with open(tmp_path / 'table.csv', newline='') as stream:
        rows = list(csv.DictReader(stream))
    assert [(r['sequence'], r['object'], r['frames']) for r in rows] == [
        ('walk', '1', '6'), ('walk', '2', '3')]
    assert float(rows[0]['J']) == pytest.approx(score.objects[0].J, abs=1e-5)
    assert float(rows[0]['J_last_tenth']) == pytest.approx(score.objects[0].tenths[1], abs=1e-5)
