# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tracking metrics: cases worked out by hand, and TrackEval where it is installed."""

import numpy as np
import pytest

from vos_ros.evaluate.track_metrics import mask_ious
from vos_ros.evaluate.track_metrics import TrackScores
from vos_ros.evaluate.tracks import together


def strip(*ids):
    """Return a label map of ten columns an id."""
    return np.repeat(np.array(ids, np.uint16), 10)[None].repeat(4, axis=0)


def score(pairs):
    scores = TrackScores()
    for truth, found in pairs:
        scores.add(truth, found)
    return scores.compute()


def test_iou_of_label_maps():
    true_ids, found_ids, iou = mask_ious(strip(0, 1, 1, 2), strip(9, 9, 0, 7))
    assert true_ids.tolist() == [1, 2] and found_ids.tolist() == [7, 9]
    assert iou.tolist() == [[0, 1 / 3], [1, 0]]


def test_perfect_under_other_names():
    figures = score([(strip(1, 0, 2), strip(30, 0, 7))] * 5)
    assert figures == pytest.approx({
        'HOTA': 1, 'DetA': 1, 'AssA': 1, 'IDF1': 1, 'id_switches': 0, 'recall': 1,
        'precision': 1, 'void_dropped': 0, 'objects': 2, 'found': 2})


def test_a_video_in_which_nothing_is_and_nothing_was_found_lowers_no_mean():
    perfect = score([(strip(1, 0), strip(3, 0))] * 4) | {'frames': 4}
    empty = score([(strip(0, 0), strip(0, 0))] * 6) | {'frames': 6}
    false = score([(strip(0, 0), strip(0, 5))] * 6) | {'frames': 6}
    assert together([perfect, empty]) == perfect | {'frames': 10}
    figures = together([perfect, empty, false])
    assert figures['HOTA'] == figures['IDF1'] == 0.5
    assert (figures['frames'], figures['objects'], figures['found']) == (16, 1, 2)
    assert together([empty])['HOTA'] == 0


def void_score(truth, found, void, frames=4):
    scores = TrackScores()
    for _ in range(frames):
        scores.add(truth, found, void > 0)
    return scores.compute()


def test_what_is_found_in_void_is_neither_right_nor_false():
    truth, void = strip(1, 0, 0, 0, 0, 2), strip(0, 0, 1, 1, 0, 0)
    alone = score([(truth, strip(7, 0, 0, 0, 0, 8))] * 4)
    within = void_score(truth, strip(7, 0, 5, 6, 0, 8), void)
    assert within == alone | {'void_dropped': 8}
    # half of it in void is not more than half: it counts
    half = void_score(truth, strip(7, 0, 0, 5, 5, 8), void)
    assert half['precision'] == pytest.approx(2 / 3) and half['void_dropped'] == 0
    most = void_score(truth, strip(7, 0, 5, 5, 5, 8), void)
    assert most == alone | {'void_dropped': 4}
    nothing = void_score(strip(0, 0), strip(3, 3), strip(1, 1))
    assert nothing['void_dropped'] == 4 and nothing['precision'] == 0


def test_a_mask_that_is_mostly_void_and_hits_an_object_counts():
    # Half of the found mask is the object, the rest void: a match. With less it is left out.
    figures = void_score(strip(1, 1, 0, 0), strip(4, 4, 4, 4), strip(0, 1, 1, 1))
    assert figures['recall'] == 1 and figures['precision'] == 1 and figures['void_dropped'] == 0
    figures = void_score(strip(1, 0, 0, 0), strip(4, 4, 4, 4), strip(0, 1, 1, 1))
    assert figures['recall'] == 0 and figures['void_dropped'] == 4


def test_without_void_nothing_changes():
    truth, found = strip(1, 0, 2), strip(4, 4, 5)
    assert void_score(truth, found, strip(0, 0, 0)) == score([(truth, found)] * 4)


def test_one_switch_halfway():
    figures = score([(strip(1), strip(5))] * 5 + [(strip(1), strip(6))] * 5)
    assert figures['id_switches'] == 1 and figures['DetA'] == pytest.approx(1)
    assert figures['AssA'] == pytest.approx(0.5)
    assert figures['HOTA'] == pytest.approx(0.5 ** 0.5) and figures['IDF1'] == pytest.approx(0.5)


def test_nothing_found_and_nothing_there():
    assert score([(strip(1), strip(0))] * 3)['HOTA'] == 0
    nothing = score([(strip(0), strip(4))] * 3)
    assert nothing['HOTA'] == 0 and nothing['precision'] == 0
    assert score([])['IDF1'] == 0


def test_sizes_must_agree():
    with pytest.raises(ValueError, match='label map is'):
        score([(strip(1), strip(1, 2))])
    with pytest.raises(ValueError, match='void is'):
        void_score(strip(1), strip(1), strip(0, 1))


@pytest.mark.parametrize('seed', range(6))
def test_same_figures_as_trackeval(seed):
    metrics = pytest.importorskip('trackeval').metrics
    rng = np.random.default_rng(seed)
    names = rng.permutation(np.arange(1, 9))
    scores, data = TrackScores(), {'gt_ids': [], 'tracker_ids': [], 'similarity_scores': []}
    frames = []
    for _ in range(30):
        truth = rng.integers(0, 5, (1, 12)).repeat(6, axis=1).repeat(20, axis=0)
        found = np.where(truth > 0, names[truth - 1], 0)
        found = np.roll(found, rng.integers(0, 3), axis=1)
        if rng.random() < 0.2:
            names = rng.permutation(names)
        found[:, rng.random(72) < 0.1] = 0
        frames.append((truth.astype(np.uint16), found.astype(np.uint16)))
    true_index, found_index = {}, {}
    for truth, found in frames:
        scores.add(truth, found)
        true_ids, found_ids, iou = mask_ious(truth, found)
        data['gt_ids'].append(np.array(
            [true_index.setdefault(i, len(true_index)) for i in true_ids.tolist()], int))
        data['tracker_ids'].append(np.array(
            [found_index.setdefault(i, len(found_index)) for i in found_ids.tolist()], int))
        data['similarity_scores'].append(iou)
    data |= {'num_gt_dets': sum(map(len, data['gt_ids'])), 'num_timesteps': len(frames),
             'num_tracker_dets': sum(map(len, data['tracker_ids'])),
             'num_gt_ids': len(true_index), 'num_tracker_ids': len(found_index)}
    ours = scores.compute()
    hota = metrics.HOTA().eval_sequence(data)
    for name in ('HOTA', 'DetA', 'AssA'):
        assert ours[name] == pytest.approx(float(np.mean(hota[name])), abs=1e-9)
    identity = metrics.Identity({'PRINT_CONFIG': False}).eval_sequence(data)
    assert ours['IDF1'] == pytest.approx(float(identity['IDF1']), abs=1e-9)
    clear = metrics.CLEAR({'PRINT_CONFIG': False}).eval_sequence(data)
    assert ours['id_switches'] == clear['IDSW']
    assert ours['recall'] == pytest.approx(float(clear['CLR_Re']), abs=1e-9)
    assert ours['precision'] == pytest.approx(float(clear['CLR_Pr']), abs=1e-9)
