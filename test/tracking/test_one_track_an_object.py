# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One track for one object: what repeats it, is a part of it or swallows it is none."""

from dataclasses import replace

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

QUICK = InstanceTrackerParams(reuse_interval=1, confirm_keyframes=1)


@pytest.mark.parametrize('repeats', [2, 5])
def test_queries_that_repeat_an_object_make_one_track(repeats):
    a, b = kernels(2)
    scene = Scene([Disc(a, still(12, 8), repeats=repeats), Disc(b, still(12, 24))])
    results = run(InstanceTracker(scene, QUICK), 10)
    assert {len(result.tracks) for result in results} == {2}
    both = InstanceTracker(Scene(scene.discs), replace(
        QUICK, duplicate_iou=1.0, duplicate_cover=1.0))
    assert max(len(result.tracks) for result in run(both, 10)) > 2


def test_a_part_of_an_object_is_no_track():
    a, b = kernels(2)
    scene = Scene([Disc(a, still(12, 12), radius=8)])
    part = Scene([Disc(b, still(12, 12), radius=2)])
    output, inner = scene.key(blank()), part.key(blank())
    output.logits[0], output.objectness[0], output.masks[0] = 1.0, 1.0, part.masks()[0]
    output.kernels[0] = inner.kernels[0]
    whole = int(output.logits.max(axis=1).argsort()[-1])
    assert whole != 0
    scene.key = lambda image: output
    assert len(InstanceTracker(scene, QUICK).step(blank()).tracks) == 1


@pytest.mark.parametrize(('radius', 'cover', 'count'), [(5, 0.7, 1), (5, 1.0, 2), (3, 0.7, 2)])
@pytest.mark.parametrize('since', [0, 3])
def test_what_swallows_a_track_is_no_track(radius, cover, count, since):
    a, b = kernels(2)
    # A thing, and a mask of it with what lies around: at once, or when the thing is long known. A
    # thing may have a detail that is a track of its own.
    scene = Apart([Disc(a, still(12, 14), radius=radius),
                   Disc(b, still(12, 16), radius=8, score=0.7, seen=lambda t: t >= since)])
    results = run(InstanceTracker(scene, replace(
        QUICK, duplicate_cover=cover, duplicate_iou=1.0)), 6)
    assert [len(result.tracks) for result in results] == [1] * since + [count] * (6 - since)


@pytest.mark.parametrize(('cover', 'slides'), [(0.7, False), (1.0, True)])
def test_no_track_slides_onto_what_swallows_another(cover, slides):
    known, leaving, both = kernels(3, 0.6)
    # When the one on the right is gone, a mask of the other with the ground around comes up, which
    # is about where it was and looks like it.
    scene = Apart([Disc(known, still(12, 14), radius=5),
                   Disc(leaving, still(12, 23), radius=4, seen=lambda t: t < 4),
                   Disc(both, still(12, 18), radius=9, score=0.7, seen=lambda t: t >= 4)])
    results = run(InstanceTracker(scene, replace(QUICK, duplicate_cover=cover)), 8)
    left, right = id_at(results[3], 12, 14), id_at(results[3], 12, 23)
    assert left and right and left != right
    before, after = (dict(zip(r.tracks.ids.tolist(), r.tracks.areas.tolist(), strict=True))
                     for r in (results[3], results[4]))
    assert (after[right] > 1.5 * before[right]) is slides
    assert all(set(states(result)) == {left, right} for result in results)
    if not slides:
        assert all(id_at(result, 12, 14) == left for result in results)
