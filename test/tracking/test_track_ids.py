# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Ids are given once, and tracks are no more than asked for, through the real tracker."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_scene import blank
from synthetic_scene import Disc
from synthetic_scene import kernels
from synthetic_scene import run
from synthetic_scene import Scene
from synthetic_scene import states
from synthetic_scene import still

from vos_ros.tracking import life
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.tracks import TrackState

QUICK = InstanceTrackerParams(reuse_interval=1, confirm_keyframes=1)
PLACES = [(4, 4), (4, 14), (4, 24), (14, 4), (14, 14)]


def test_ids_are_never_used_twice():
    """Twelve objects that appear and vanish at random for 400 frames, with short memories."""
    rng = np.random.default_rng(21)
    there = rng.random((12, 400)) < np.repeat(rng.random((12, 40)) < 0.6, 10, axis=1)
    places = [(4 + 8 * (i // 4), 4 + 8 * (i % 4)) for i in range(12)]
    scene = Scene([
        Disc(kernel, lambda t, i=i: places[i] if there[i, t] else None, radius=3)
        for i, kernel in enumerate(kernels(12))])
    params = InstanceTrackerParams(reuse_interval=2, confirm_keyframes=2, coast_keyframes=0,
                                   lost_keyframes=2)
    ended, born, last = set(), [], 0
    for result in run(InstanceTracker(scene, params), 400):
        ids = result.tracks.ids.tolist()
        assert len(set(ids)) == len(ids)
        assert not set(ids) & ended
        assert set(np.unique(result.label_map)) <= {0, *ids}
        for track, state in states(result).items():
            if state is TrackState.REMOVED:
                ended.add(track)
        fresh = [i for i in ids if i > last]
        born += fresh
        last = max([last, *fresh])
    assert born == list(range(1, len(born) + 1)) and len(ended) > 20


def test_ids_end_at_the_ceiling(monkeypatch):
    monkeypatch.setattr(life, 'MAX_TRACK_ID', 3)
    scene = Scene([Disc(kernel, still(*PLACES[i]), radius=3)
                   for i, kernel in enumerate(kernels(5))])
    tracker = InstanceTracker(scene, QUICK)
    results = run(tracker, 5)
    assert all(set(r.tracks.ids) == {1, 2, 3} for r in results) and tracker.ids_exhausted
    tracker.reset(restart_ids=True)
    assert not tracker.ids_exhausted


def test_reset_reports_the_end_and_ids_go_on():
    a, b = kernels(2)
    scene = Scene([Disc(a, still(12, 8)), Disc(b, still(12, 24))])
    tracker = InstanceTracker(scene, replace(QUICK, reuse_interval=3))
    run(tracker, 2)
    tracker.reset()
    after = tracker.step(blank())
    assert after.keyframe
    assert states(after) == {1: TrackState.REMOVED, 2: TrackState.REMOVED, 3: TrackState.NEW,
                             4: TrackState.NEW}
    assert set(states(tracker.step(blank()))) == {3, 4}


def test_what_nobody_has_heard_of_is_not_reported_removed():
    tracker = InstanceTracker(Scene([Disc(kernels(1)[0], still(12, 16))]), QUICK)
    tracker.late_keyframes = True
    assert tracker.step(blank()).keyframe is False
    tracker.finish()
    tracker.reset()
    assert states(tracker.step(blank())) == {}
    tracker.finish()
    assert states(tracker.step(blank())) == {2: TrackState.NEW}


def test_the_number_of_tracks_is_bounded():
    """Three places for five objects; a lost track makes room for one that is there."""
    scene = Scene([Disc(kernel, lambda t, i=i: None if i == 0 and t >= 5 else PLACES[i], radius=3)
                   for i, kernel in enumerate(kernels(5))])
    results = run(InstanceTracker(scene, replace(QUICK, max_tracks=3, coast_keyframes=0)), 10)
    alive = [sum(state is not TrackState.REMOVED for state in states(r).values())
             for r in results]
    assert alive == [3] * 10
    shown = [int((r.tracks.areas > 0).sum()) for r in results]
    assert shown[:5] == [3] * 5 and shown[6:] == [3] * 4


@pytest.mark.parametrize('late', [False, True])
def test_ids_that_start_again_leave_out_those_still_to_be_removed(monkeypatch, late):
    monkeypatch.setattr(life, 'MAX_TRACK_ID', 5)
    scene = Scene([Disc(a, still(*place), radius=3)
                   for a, place in zip(kernels(2), PLACES, strict=False)])
    tracker = InstanceTracker(scene, QUICK)
    tracker.late_keyframes = late
    for _ in range(3):
        tracker.step(blank())
        tracker.finish()
    tracker.reset(restart_ids=True)
    if late:
        removed = tracker.step(blank())
        tracker.finish()
        assert states(removed) == {1: TrackState.REMOVED, 2: TrackState.REMOVED}
        assert states(tracker.step(blank())) == {1: TrackState.NEW, 2: TrackState.NEW}
        return
    after = tracker.step(blank())
    assert after.tracks.ids.tolist() == [1, 2, 3, 4]
    assert states(after) == {1: TrackState.REMOVED, 2: TrackState.REMOVED, 3: TrackState.NEW,
                             4: TrackState.NEW}
    assert after.tracks.areas.astype(bool).tolist() == [False, False, True, True]


def test_a_lower_number_of_tracks_ends_some():
    """Two of five are gone when three are asked for, then one: lost ones go first."""
    scene = Scene([Disc(kernel, lambda t, i=i: None if i in (0, 3) and t >= 5 else PLACES[i],
                        radius=3, score=0.95 if i == 2 else 0.8)
                   for i, kernel in enumerate(kernels(5))])
    tracker = InstanceTracker(scene, replace(QUICK, coast_keyframes=0))
    before = run(tracker, 8)[-1]
    lost = {track for track, state in states(before).items() if state is TrackState.LOST}
    assert len(before.tracks) == 5 and len(lost) == 2
    tracker.params = replace(tracker.params, max_tracks=3)
    after = tracker.step(blank())
    assert {t for t, state in states(after).items() if state is TrackState.REMOVED} == lost
    best = int(after.tracks.ids[after.tracks.scores.argmax()])
    tracker.params = replace(tracker.params, max_tracks=1)
    ended = tracker.step(blank())
    assert [t for t, state in states(ended).items() if state is not TrackState.REMOVED] == [best]
    assert set(states(tracker.step(blank()))) == {best}
