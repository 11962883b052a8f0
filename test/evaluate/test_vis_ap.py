# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""VIS AP: cases worked out by hand, and figures that the published evaluation code gave."""

import numpy as np
import pytest

from vos_ros.evaluate.vis_ap import NAMES
from vos_ros.evaluate.vis_ap import VideoTracks
from vos_ros.evaluate.vis_ap import vis_ap
from vos_ros.tracking.tracks import Tracks


def tracks(labels, classes, scores):
    """Tracks 1, 2, ... as the tracker would give them with this label map."""
    n = len(classes)
    return Tracks(
        ids=np.arange(1, n + 1, dtype=np.uint32), class_ids=np.array(classes, np.int32),
        labels=tuple(map(str, classes)), scores=np.array(scores, np.float32),
        states=np.ones(n, np.uint8), ages=np.zeros(n, np.uint32),
        boxes=np.zeros((n, 4), np.float32),
        areas=np.bincount(labels.ravel(), minlength=n + 1)[1:].astype(np.uint32))


def strip(*ids):
    """Return a label map of ten columns an id."""
    return np.repeat(np.array(ids, np.uint16), 10)[None].repeat(4, axis=0)


def video(frames, classes=None, kinds=(0, 0, 0), scores=(0.9, 0.8, 0.7)):
    """Frames of (truth, found) or (truth, found, void)."""
    gathered = VideoTracks(classes)
    for truth, found, *void in frames:
        gathered.add(truth, found, tracks(found, kinds, scores),
                     void[0] > 0 if void else None)
    return gathered


def test_perfect_under_other_names():
    same = video([(strip(5, 0, 9), strip(2, 0, 1))] * 4)
    assert vis_ap([same, same]) == pytest.approx(
        dict.fromkeys(NAMES, 1.0) | {'VIS_AR1': 0.5})


def test_an_id_that_changes_half_way_is_worth_half_a_track():
    swapped = video([(strip(1, 0), strip(1, 0))] * 3 + [(strip(1, 0), strip(2, 0))] * 2)
    figures = vis_ap([swapped])
    # Track 1 shares 3 of 5 frames: an IoU of 0.6, three of the ten thresholds.
    assert figures['VIS_AP50'] == pytest.approx(1) and figures['VIS_AP75'] == 0
    assert figures['VIS_AP'] == pytest.approx(0.3) == figures['VIS_AR1']


def test_a_false_track_that_scores_higher_costs_precision_one_that_scores_lower_none():
    good = [(strip(1, 0, 0), strip(1, 2, 0))] * 3
    assert vis_ap([video(good, scores=(0.9, 0.1, 0))])['VIS_AP'] == pytest.approx(1)
    assert vis_ap([video(good, scores=(0.1, 0.9, 0))])['VIS_AP'] == pytest.approx(0.5)


def test_the_class_is_the_one_that_it_was_most_and_the_score_a_mean():
    truth = strip(1, 2)
    gathered = VideoTracks({1: 0, 2: 1})
    for kinds in ((0, 1), (0, 1), (1, 1)):
        gathered.add(truth, truth, tracks(truth, kinds, (0.9, 0.5)))
    assert vis_ap([gathered], agnostic=False) == pytest.approx(dict.fromkeys(NAMES, 1.0))
    wrong = VideoTracks({1: 1, 2: 0})
    wrong.add(truth, truth, tracks(truth, (0, 1), (0.9, 0.5)))
    assert vis_ap([wrong], agnostic=False)['VIS_AP'] == 0
    assert vis_ap([wrong])['VIS_AP'] == pytest.approx(1)
    with pytest.raises(ValueError, match='does not tell them'):
        vis_ap([wrong, VideoTracks()], agnostic=False)


def test_a_crowd_of_one_class_excuses_none_of_another():
    truth, found = strip(1, 2, 0), strip(1, 2, 3)
    people = strip(0, 0, 1) > 0
    of = {}
    for kind in (0, 1):
        gathered = VideoTracks({1: 0, 2: 1})
        gathered.add(truth, found, tracks(found, (0, 1, kind), (0.9, 0.5, 0.8)), people,
                     {0: people})
        of[kind] = vis_ap([gathered], agnostic=False)['VIS_AP'], vis_ap([gathered])['VIS_AP']
    assert of == {0: (pytest.approx(1), pytest.approx(1)), 1: (pytest.approx(0.75),
                                                               pytest.approx(1))}


def test_what_lies_in_void_is_left_out():
    truth, found, void = strip(1, 0, 0), strip(2, 1, 0), strip(0, 1, 1)
    without = vis_ap([video([(truth, found)] * 3)])
    assert without['VIS_AP'] == pytest.approx(0.5)              # the false one scores higher
    assert vis_ap([video([(truth, found, void)] * 3)])['VIS_AP'] == pytest.approx(1)
    # Half of it is in void: it is left out at the thresholds up to 0.5 alone.
    half = vis_ap([video([(truth, strip(2, 1, 1), strip(0, 1, 0))] * 3)])
    assert half['VIS_AP50'] == pytest.approx(1) and half['VIS_AP75'] == pytest.approx(0.5)


def test_where_nothing_is_there_is_no_figure():
    false = video([(strip(0, 0), strip(1, 0), strip(1, 1))])
    assert np.isnan(list(vis_ap([false]).values())).all()


def test_nothing_found_is_zero():
    assert vis_ap([video([(strip(1, 0), strip(0, 0))])]) == dict.fromkeys(NAMES, 0.0)


def test_pictures_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match='true label map is'):
        VideoTracks().add(strip(1), strip(1, 1), tracks(strip(1, 1), (0,), (1.0,)))


# VIS_AP, AP50, AP75, AR1, AR10 that the authors' evaluation code gave for `random_videos`.
PUBLISHED = {
    (0, False): (0.046347, 0.115245, 0.043061, 0.145641, 0.180373),
    (0, True): (0.03343, 0.105011, 0.017196, 0.103448, 0.151724)}


def random_videos(seed):
    rng = np.random.default_rng(seed)
    height, width, length, number, kinds = 24, 32, 5, 12, 3
    videos = []
    for _ in range(number):
        n = rng.integers(1, 5)
        classes = {i + 1: int(rng.integers(kinds)) for i in range(n)}
        gathered = VideoTracks(classes)
        boxes = [(rng.integers(0, height - 8), rng.integers(0, width - 8), rng.integers(4, 9),
                  rng.integers(4, 9)) for _ in range(n)]
        m = rng.integers(1, 7)
        sources = [rng.integers(n) for _ in range(m)]
        said = [classes[s + 1] if rng.random() < .7 else int(rng.integers(kinds))
                for s in sources]
        offsets = [rng.integers(-1, 2, 2) for _ in range(m)]
        scores = [float(np.float32(rng.random())) for _ in range(m)]
        for _ in range(length):
            truth, found = np.zeros((2, height, width), np.uint16)
            for i, (y, x, h, w) in enumerate(boxes):
                if rng.random() < .9:
                    truth[y:y + h, x:x + w] = i + 1
            for j in range(m):
                (y, x, h, w), (down, right) = boxes[sources[j]], offsets[j]
                if rng.random() < .85:
                    found[max(0, y + down):y + down + h, max(0, x + right):x + right + w] = j + 1
            gathered.add(truth, found, tracks(found, said, scores))
        videos.append(gathered)
    return videos


@pytest.mark.parametrize('seed, agnostic', PUBLISHED)
def test_as_the_published_code(seed, agnostic):
    figures = vis_ap(random_videos(seed), agnostic)
    assert tuple(figures[name] for name in NAMES) == pytest.approx(
        PUBLISHED[seed, agnostic], abs=1e-6)
