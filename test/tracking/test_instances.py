# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The life of tracks through the real tracker, on scenes whose truth is known."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_scene import Apart
from synthetic_scene import blank
from synthetic_scene import Disc
from synthetic_scene import id_at
from synthetic_scene import kernels
from synthetic_scene import run
from synthetic_scene import Scene
from synthetic_scene import states
from synthetic_scene import still

from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.tracks import TrackState

QUICK = InstanceTrackerParams(reuse_interval=1, confirm_keyframes=1)


@pytest.mark.parametrize('interval', [1, 3])
@pytest.mark.parametrize('alike', [0.0, 0.9])
def test_crossing_objects_keep_their_ids(interval, alike):
    a, b = kernels(2, alike)
    scene = Scene([Disc(a, lambda t: (12, 5 + 0.5 * t)), Disc(b, lambda t: (11, 26 - 0.5 * t))])
    tracker = InstanceTracker(scene, replace(QUICK, reuse_interval=interval))
    results = run(tracker, 43)
    left, right = id_at(results[0], 12, 5), id_at(results[0], 11, 26)
    assert left and right and left != right
    assert id_at(results[-1], 12, 26) == left
    assert id_at(results[-1], 11, 5) == right
    assert set(results[-1].tracks.ids) == {left, right}


@pytest.mark.parametrize('interval', [1, 3])
def test_occluded_object_is_lost_and_found_again(interval):
    a, b = kernels(2)
    big = Disc(b, still(12, 16), radius=7)
    walker = Disc(a, lambda t: (12, 2 + 0.5 * t), radius=3)
    tracker = InstanceTracker(Scene([walker, big]), replace(QUICK, reuse_interval=interval))
    results = run(tracker, 58)
    walker_id = id_at(results[0], 12, 2)
    seen = [states(result).get(walker_id) for result in results]
    assert seen[0] is TrackState.NEW
    assert TrackState.LOST in seen[20:40] and TrackState.REMOVED not in seen
    assert seen[-1] is TrackState.TRACKED and id_at(results[-1], 12, 28) == walker_id
    for result, state in zip(results, seen, strict=True):
        if state is TrackState.LOST:
            assert not (result.label_map == walker_id).any()
            row = list(result.tracks.ids).index(walker_id)
            assert result.tracks.areas[row] == 0 and not result.tracks.boxes[row].any()
    assert len({i for result in results for i in states(result)}) == 2


def test_leaving_and_reentering_soon_gets_the_id_back_elsewhere():
    scene = Scene([Disc(kernels(1)[0],
                        lambda t: None if 5 <= t < 15 else (12, 4) if t < 5 else (6, 27))])
    results = run(InstanceTracker(scene, QUICK), 20)
    first = id_at(results[0], 12, 4)
    assert [id_at(results[t], 6, 27) for t in (15, 19)] == [first, first]
    assert {states(r)[first] for r in results[5:15]} == {TrackState.LOST}


def test_gone_too_long_is_removed_once_and_comes_back_as_another():
    scene = Scene([Disc(kernels(1)[0], lambda t: None if 5 <= t < 30 else (12, 12))])
    tracker = InstanceTracker(scene, replace(QUICK, coast_keyframes=2, lost_keyframes=10))
    results = run(tracker, 40)
    per_frame = [states(result).get(1) for result in results]
    assert per_frame.count(TrackState.REMOVED) == 1
    # Missed on frames 5..16 = 12 keyframes allowed, removed on the next.
    assert per_frame.index(TrackState.REMOVED) == 5 + 2 + 10
    assert all(state is None for state in per_frame[18:])
    assert states(results[30]) == {2: TrackState.NEW}


def test_two_tracks_do_not_coast_on_the_same_place():
    a, b = kernels(2)
    scene = Apart([
        Disc(a, still(12, 16), radius=5, seen=lambda t: t < 3),
        Disc(b, lambda t: (12, 5 + min(11, max(0, 2 * (t - 2)))), radius=5, seen=lambda t: t < 3)])
    results = run(InstanceTracker(scene, replace(QUICK, coast_keyframes=20)), 12)
    assert (results[3].tracks.areas > 0).all()
    assert sorted(results[-1].tracks.areas > 0) == [False, True]
    assert sorted(states(results[-1]).values()) == [TrackState.TRACKED, TrackState.LOST]


def test_what_coasted_out_keeps_nobody_from_coasting():
    a, b = kernels(2)
    # The surer one coasts for three keyframes and is hidden on the next, on which the other one,
    # on its place by then, is missed.
    scene = Apart([
        Disc(a, still(12, 16), radius=5, seen=lambda t: t < 3),
        Disc(b, lambda t: (12, 21 if t < 6 else 17), radius=5, score=0.7, seen=lambda t: t != 6)])
    results = run(InstanceTracker(scene, replace(QUICK, coast_keyframes=3)), 8)
    shown = [(result.tracks.areas > 0).tolist() for result in results]
    assert shown == [[True, True]] * 6 + [[False, True]] * 2


def test_flickering_detection_coasts_on_its_kernel():
    scene = Scene([Disc(kernels(1)[0], lambda t: (12, 8 + 0.2 * t), seen=lambda t: t % 3 == 0)])
    results = run(InstanceTracker(scene, QUICK), 30)
    assert all(r.label_map.any() and set(states(r)) == {1} for r in results)
    assert all(id_at(r, 12, 8 + 0.2 * t) == 1 for t, r in enumerate(results))
    strict = InstanceTracker(Scene(scene.discs), replace(QUICK, coast_keyframes=0))
    shown = [bool(r.label_map.any()) for r in run(strict, 30)]
    assert shown == [t % 3 == 0 for t in range(30)]


def test_a_single_flash_is_not_published():
    a, b = kernels(2)
    scene = Scene([Disc(a, still(12, 8)), Disc(b, still(12, 24), seen=lambda t: t == 4)])
    tracker = InstanceTracker(scene, replace(QUICK, confirm_keyframes=2))
    results = run(tracker, 10)
    assert [len(r.tracks) for r in results] == [0] + [1] * 9
    assert states(results[1]) == {1: TrackState.NEW} and results[1].tracks.ages.tolist() == [0]
    assert results[-1].tracks.ages.tolist() == [8]


def test_scores_and_thresholds():
    a, b, c = kernels(3)
    scene = Scene([Disc(a, still(4, 4), score=0.9), Disc(b, still(12, 16), score=0.3),
                   Disc(c, still(20, 28), score=0.1)])
    results = run(InstanceTracker(scene, QUICK), 5)
    assert len(results[-1].tracks) == 1
    assert 0.6 < results[-1].tracks.scores[0] <= 0.9
    low = run(InstanceTracker(Scene(scene.discs), replace(
        QUICK, birth_score=0.2, keep_score=0.1)), 5)
    assert len(low[-1].tracks) == 2


def test_a_weak_detection_carries_a_track_on():
    class Fading(Scene):
        def key(self, image):
            self.discs[0].score = 0.9 if self.frame < 3 else 0.35
            return super().key(image)

    scene = Fading([Disc(kernels(1)[0], still(12, 12))])
    params = replace(QUICK, coast_keyframes=0, score_momentum=0.5)
    results = run(InstanceTracker(scene, params), 12)
    assert {tuple(r.tracks.ids) for r in results} == {(1,)}
    scores = [float(r.tracks.scores[0]) for r in results]
    assert scores[3] > scores[6] > scores[11] and 0.2 < scores[11] < 0.4


def test_the_class_is_the_average_not_the_latest():
    class Doubting(Scene):
        def key(self, image):
            self.discs[0].class_id = 1 if len(self.key_frames) == 5 else 0
            return super().key(image)

    scene = Doubting([Disc(kernels(1)[0], still(12, 12))])
    results = run(InstanceTracker(scene, QUICK), 8)
    assert {r.tracks.labels for r in results} == {('disc',)}
    hasty = InstanceTracker(Doubting(scene.discs), replace(QUICK, score_momentum=0.0))
    assert {r.tracks.labels for r in run(hasty, 8)} == {('disc',), ('ring',)}


def test_the_decoder_runs_on_keyframes_only():
    a, b = kernels(2)
    scene = Scene([Disc(a, still(12, 8)), Disc(b, still(12, 24))])
    results = run(InstanceTracker(scene, replace(QUICK, reuse_interval=3)), 10)
    assert scene.key_frames == [0, 3, 6, 9]
    assert [r.keyframe for r in results] == [t % 3 == 0 for t in range(10)]
    assert scene.reused == [2] * 6
    assert all(r.timings.keys() == ({'resize', 'network', 'associate', 'labels'} if r.keyframe
                                    else {'resize', 'network', 'labels'}) for r in results)


def test_masks_follow_between_keyframes():
    scene = Scene([Disc(kernels(1)[0], lambda t: (12, 6 + t))])
    results = run(InstanceTracker(scene, replace(QUICK, reuse_interval=6)), 18)
    for t, result in enumerate(results):
        box = result.tracks.boxes[0] / 8
        assert (box[0] + box[2]) / 2 == pytest.approx(6.5 + t, abs=0.6)


def test_the_interval_changes_live():
    scene = Scene([Disc(kernels(1)[0], still(12, 12))])
    tracker = InstanceTracker(scene, replace(QUICK, reuse_interval=4))
    run(tracker, 6)
    tracker.params = replace(tracker.params, reuse_interval=2)
    run(tracker, 5)
    assert scene.key_frames == [0, 4, 6, 8, 10]


def test_another_frame_size_keeps_the_tracks():
    a, b = kernels(2)
    scene = Scene([Disc(a, still(8, 6)), Disc(b, still(8, 20))])
    tracker = InstanceTracker(scene, replace(QUICK, reuse_interval=3))
    for t, (height, width) in enumerate([(192, 256)] * 4 + [(480, 640)] * 3 + [(270, 480)] * 3):
        result = tracker.step(blank(height, width))
        assert result.label_map.shape == (height, width)
        assert result.tracks.ids.tolist() == [1, 2], t
        assert set(np.unique(result.label_map)) == {0, 1, 2}
        assert result.tracks.boxes[:, 2].max() <= width
        # A frame of another shape, 7, lies elsewhere in the input than what its keyframe left.
        assert result.keyframe == (t in (0, 3, 6, 7)), t


def test_time_that_jumps_makes_a_keyframe():
    scene = Scene([Disc(kernels(1)[0], still(12, 12))])
    tracker = InstanceTracker(scene, replace(QUICK, reuse_interval=50, max_gap=1.0))
    stamps = [10.0, 10.03, 10.06, 12.0, 12.03, 3.0, 3.03]
    assert [tracker.step(blank(), stamp).keyframe for stamp in stamps] \
        == [True, False, False, True, False, True, False]


def picture(seed, height=192, width=256):
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def test_a_cut_makes_a_keyframe_and_ends_coasting():
    scene = Scene([Disc(kernels(1)[0], still(12, 12), seen=lambda t: t < 5)])
    tracker = InstanceTracker(scene, replace(QUICK, reuse_interval=4, coast_keyframes=50))
    first, second = picture(1), picture(2)
    shots = [first, first, first // 2 + 90, first, first, first, second, second, second]
    results = [tracker.step(shot) for shot in shots]
    assert [r.keyframe for r in results] == [True, False, False, False, True, False, True, False,
                                             False]
    assert [states(r)[1] for r in results[1:]] == [TrackState.TRACKED] * 5 + [TrackState.LOST] * 3


def test_noise_in_the_dark_is_no_cut():
    scene = Scene([Disc(kernels(1)[0], still(12, 12))])
    tracker = InstanceTracker(scene, replace(QUICK, reuse_interval=4))
    rng = np.random.default_rng(3)
    dark = [rng.integers(0, 9, (192, 256, 3), dtype=np.uint8) for _ in range(8)]
    assert [tracker.step(frame).keyframe for frame in dark] == [t % 4 == 0 for t in range(8)]


def test_across_a_cut_only_the_kernel_speaks():
    a, b = kernels(2, alike=0.5)
    scene = Scene([Disc(a, lambda t: (12, 8) if t < 3 else None),
                   Disc(b, lambda t: (12, 8) if t >= 3 else None)])
    with_cut = InstanceTracker(scene, QUICK)
    results = [with_cut.step(picture(1 if t < 3 else 2)) for t in range(6)]
    assert states(results[-1]) == {1: TrackState.LOST, 2: TrackState.TRACKED}
    same = Scene([Disc(a, lambda t: (12, 8) if t < 3 else (12, 20))])
    found = InstanceTracker(same, QUICK)
    results = [found.step(picture(1 if t < 3 else 2)) for t in range(6)]
    assert states(results[-1]) == {1: TrackState.TRACKED}


def test_no_frame_and_an_exception_leave_the_tracks():
    scene = Scene([Disc(kernels(1)[0], still(12, 12))])
    tracker = InstanceTracker(scene, replace(QUICK, reuse_interval=2))
    run(tracker, 2)
    for bad in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32),
                np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match='must be uint8'):
            tracker.step(bad)
    key = scene.key
    scene.key = lambda image: 1 / 0
    with pytest.raises(ZeroDivisionError):
        tracker.step(blank())
    scene.key = key
    result = tracker.step(blank())
    assert result.keyframe and states(result) == {1: TrackState.TRACKED}


@pytest.mark.parametrize(('values', 'message'), [
    ({'reuse_interval': 0}, 'reuse_interval is 0, must be within 1 and 60'),
    ({'reuse_interval': 2.0}, 'reuse_interval is 2.0, must be of type int'),
    ({'birth_score': 1.5}, 'birth_score is 1.5'),
    ({'birth_score': 'high'}, "birth_score is 'high', must be of type float"),
    ({'min_area': float('nan')}, 'min_area is nan'),
    ({'max_tracks': True}, 'max_tracks is True'),
    ({'keep_score': 0.5, 'birth_score': 0.4}, 'keep_score is 0.5, must not exceed'),
])
def test_parameters_refuse_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        InstanceTrackerParams(**values)


def test_a_late_keyframe_shows_what_it_found_on_the_next_frame():
    scene = Scene([Disc(kernels(1)[0], lambda t: (12, 4 + 0.3 * t))])
    tracker = InstanceTracker(scene, replace(QUICK, reuse_interval=3))
    tracker.late_keyframes = True
    results, made_up = [], []
    for _ in range(13):
        results.append(tracker.step(blank()))
        scene.frame -= 1        # the network sees the picture of this frame twice
        made_up.append(sorted(tracker.finish()))
        scene.frame += not made_up[-1]
    due = [bool(stages) for stages in made_up]
    assert due == [i % 3 == 0 for i in range(13)]
    assert made_up[0] == ['associate', 'network'] and not any(r.keyframe for r in results)
    # Nothing is there yet on the first frame; from the second on it is one track, new once.
    assert not len(results[0].tracks) and not results[0].label_map.any()
    assert 'network' not in results[0].timings and 'network' in results[3].timings
    assert [states(result) for result in results[1:3]] == [
        {1: TrackState.NEW}, {1: TrackState.TRACKED}]
    assert all(id_at(results[t], 12, 4 + 0.3 * t) == 1 for t in range(1, 13))
    assert list(results[-1].tracks.ages) == [11]


def test_nothing_is_owed_after_a_reset_or_with_another_network():
    scene = Scene([Disc(kernels(1)[0], still(12, 10))])
    tracker = InstanceTracker(scene, QUICK)
    assert tracker.finish() == {}
    tracker.late_keyframes = True
    tracker.step(blank())
    tracker.reset()
    assert tracker.finish() == {}
    tracker.step(blank())
    assert tracker.finish()
    assert len(tracker.step(blank()).tracks) == 1
    # Masks that cannot be moved into the first frame of another network are found anew.
    tracker.network = Scene(scene.discs)
    assert tracker.finish() == {}
    assert tracker.step(blank()).keyframe and not tracker.step(blank()).keyframe
