# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tracks known by earlier kernels, through the real tracker, on scenes whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_scene import blank
from synthetic_scene import Disc
from synthetic_scene import id_at
from synthetic_scene import kernels
from synthetic_scene import Scene

from vos_ros.tracking import gallery
from vos_ros.tracking import life
from vos_ros.tracking.candidates import find_candidates
from vos_ros.tracking.gallery import hung
from vos_ros.tracking.gallery import likeness
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams

QUICK = InstanceTrackerParams(reuse_interval=1)
FACE, SIDE, OTHER = kernels(3)


def towards(share, target=SIDE):
    """Return a unit kernel on the way from FACE to another one."""
    kernel = (1 - share) * FACE + share * target
    return (kernel / np.linalg.norm(kernel)).astype(np.float32)


class Turning(Scene):
    """The first disc's kernel changes: it is seen from another side, or half hidden."""

    def __init__(self, discs, course):
        super().__init__(discs)
        self.course = course

    def key(self, image):
        self.discs[0].kernel = self.course(self.frame + 1)
        return super().key(image)


@pytest.mark.parametrize('kept', [0, 6])
def test_lost_object_is_found_by_the_side_it_showed_before(kept):
    # It turns in frames 4 to 10, is away until 16 and comes back elsewhere as it was at first.
    scene = Turning(
        [Disc(FACE, lambda t: (12, 6) if t < 11 else None if t < 16 else (8, 26))],
        lambda t: towards(min(max(t - 3, 0), 7) / 10) if t < 16 else FACE)
    tracker = InstanceTracker(scene, replace(QUICK, gallery=kept))
    results = [tracker.step(blank()) for _ in range(20)]
    first, last = id_at(results[0], 12, 6), id_at(results[-1], 8, 26)
    assert id_at(results[10], 12, 6) == first
    assert (last == first) == (kept > 0)
    assert last


def test_a_gallery_set_smaller_is_smaller_for_lost_tracks_too():
    scene = Turning(
        [Disc(FACE, lambda t: (12, 6) if t < 11 else None if t < 16 else (8, 26))],
        lambda t: towards(min(max(t - 3, 0), 7) / 10) if t < 16 else FACE)
    tracker = InstanceTracker(scene, replace(QUICK, gallery=6))
    results = [tracker.step(blank()) for _ in range(13)]
    tracker.params = replace(QUICK, gallery=0)
    results += [tracker.step(blank()) for _ in range(7)]
    first, last = id_at(results[0], 12, 6), id_at(results[-1], 8, 26)
    assert first and last and last != first


@pytest.mark.parametrize('kept', [0, 6])
def test_track_does_not_leave_with_what_hid_its_object(kept):
    # From frame 4 to 10 the disc looks more and more like the one that passes before it; in frame
    # 11 it is whole again, and the other, much like the track's newest kernel, beside it.
    passing = towards(0.85)
    scene = Turning(
        [Disc(FACE, lambda t: (12, 12)),
         Disc(passing, lambda t: None if t < 11 else (12, 13 + 0.4 * (t - 11)), radius=3)],
        lambda t: towards(min(max(t - 3, 0), 7) / 10) if t < 11 else FACE)
    tracker = InstanceTracker(scene, replace(QUICK, gallery=kept))
    results = [tracker.step(blank()) for _ in range(30)]
    first = id_at(results[0], 12, 12)
    whole, gone = id_at(results[-1], 12, 12), id_at(results[-1], 12, 20)
    assert whole and gone and whole != gone
    assert (whole, gone)[not kept] == first


def test_finding_back_is_no_movement():
    # Half hidden, its right half is all that shows; the whole of it has its middle elsewhere.
    half = towards(0.6)
    scene = Turning(
        [Disc(FACE, lambda t: (12, 12) if t < 4 or t > 8 else (12, 15))],
        lambda t: FACE if t < 4 or t > 8 else half)
    tracker = InstanceTracker(scene, replace(QUICK, min_cosine=0.2))
    for _ in range(9):
        tracker.step(blank())
    track, = tracker._table.tracks
    hidden = track.centre
    tracker.step(blank())
    assert track.centre[1] < hidden[1] - 0.05
    assert track.speed is None


def test_a_gallery_holds_some_kernels_of_every_second_keyframe():
    track = life.Track(FACE, np.ones(2), 0.9, None, None)
    for n in range(20):
        track.hang(np.full(3, n, np.float32), 4)
    assert [kernel[0] for kernel in track.gallery] == [12, 14, 16, 18]
    track.hang(np.full(3, 20, np.float32), 2)
    assert [kernel[0] for kernel in track.gallery] == [18, 20]
    track.hang(np.full(3, 21, np.float32), 0)
    assert track.gallery == []


def test_a_crowd_asks_no_more_kernels_than_a_bound(monkeypatch):
    asked = []
    propagate = gallery.propagate
    monkeypatch.setattr(gallery, 'propagate', lambda kernels, features: (
        asked.append(len(kernels)), propagate(kernels, features))[1])
    scene = Scene([Disc(FACE, lambda t: (12, 12))])
    output = scene.key(blank())
    found = find_candidates(output, scene.mask_size, QUICK)
    assert len(found) == 1
    tracks = [life.Track(SIDE, np.ones(2), 0.9, None, None,
                         gallery=[towards(n / 100) for n in range(20)]) for _ in range(10)]
    cosines, overlaps = np.zeros((10, 1), np.float32), np.zeros((10, 1), np.float32)
    raised = gallery.recall(
        tracks, found, output, scene.mask_size, cosines, overlaps, QUICK)
    assert asked == [64] and raised == {(n, 0) for n in range(10)}
    assert (cosines > 0.9).all() and (overlaps > 0.8).all()
    # What is sure of itself does not ask.
    assert not gallery.recall(
        tracks, found, output, scene.mask_size, cosines, overlaps, QUICK)
    assert asked == [64]


def test_likeness_is_that_of_the_best_kernel_by_look_alone():
    a = life.Track(FACE, np.ones(2), 0.9, None, None, gallery=[SIDE, OTHER])
    b = life.Track(OTHER, np.ones(2), 0.9, None, None)
    earlier, owners = hung([a, b], len(FACE))
    assert earlier.shape == (2, len(FACE)) and owners.tolist() == [0, 0]
    result = likeness([a, b], np.stack([FACE, OTHER]), np.stack([FACE, SIDE]), len(FACE))
    assert np.allclose(result, [[1, 1], [0, 0]], atol=1e-5)
    # What comes after the look does not count.
    place = np.concatenate([FACE, -5 * FACE])
    track = life.Track(np.concatenate([FACE, FACE]), np.ones(2), 0.9, None, None)
    assert likeness([track], track.kernel[None], place[None], len(FACE)) == pytest.approx(1)
    assert likeness([], np.zeros((0, 4), np.float32), np.zeros((2, 4), np.float32), 4).shape \
        == (0, 2)
