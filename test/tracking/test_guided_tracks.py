# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Tracks of a network that enlarges its masks, beside those of one that does not."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_scene import blank
from synthetic_scene import Disc
from synthetic_scene import id_at
from synthetic_scene import kernels
from synthetic_scene import Scene
from tiny_model import export_tiny

from vos_ros.runtime.guide import enlarge
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams

# Of the cells before, at and after a fine pixel's own, for the first and the second of two.
LINES = np.array([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]], np.float32)
INTERPOLATION = np.einsum('ar,bc->rcab', LINES, LINES).reshape(36, 1, 1)


class Guided(Scene):
    """A scene whose network enlarges its masks."""

    def guide(self):
        return np.tile(INTERPOLATION, (1, *self.mask_size))

    def key(self, image):
        return replace(super().key(image), guide=self.guide())

    def reuse(self, image, kernels, context=None):
        return enlarge(super().reuse(image, kernels, context), self.guide())


@pytest.mark.parametrize('late', [False, True])
@pytest.mark.parametrize('size', [(192, 256), (181, 256), (240, 170)])
def test_tracks_of_a_network_that_enlarges(size, late):
    params = InstanceTrackerParams(confirm_keyframes=1, reuse_interval=3)
    runs = []
    for kind, factor in ((Scene, 1), (Guided, 2)):
        one, two = kernels(2)
        scene = kind([Disc(one, lambda frame: (8 + 0.2 * frame, 10 + 0.3 * frame), 4.0),
                      Disc(two, lambda _: (14, 22), 3.0)], enlargement=factor)
        tracker = InstanceTracker(scene, params)
        tracker.late_keyframes = late
        runs.append([])
        for _ in range(9):
            runs[-1].append(tracker.step(blank(*size)))
            tracker.finish()
    for plain, fine in zip(*runs, strict=True):
        assert plain.keyframe == fine.keyframe
        assert plain.tracks.ids.tolist() == fine.tracks.ids.tolist()
        assert fine.label_map.shape == size
        # The same outlines, but for what interpolating in two steps rounds.
        assert (plain.label_map != fine.label_map).mean() < 0.01
    last = runs[1][-1]
    assert len(last.tracks.ids) and (last.tracks.areas > 0).all()
    if size == (192, 256):
        assert id_at(last, 14, 22) in last.tracks.ids


def test_tracks_live_on_through_other_input_sizes(tmp_path):
    package = load_package(export_tiny(tmp_path / 'p', guide_dim=8))
    sizes = {size: MobileInst(package, input_size=size) for size in ((128, 192), (64, 128))}
    # Random weights: everything is an instance, and few of them again on the next keyframe.
    params = InstanceTrackerParams(
        birth_score=0.0, keep_score=0.0, min_area=0.0, confirm_keyframes=1, reuse_interval=2,
        coast_keyframes=5, min_cosine=0.999, max_gap=3600.0, cut_correlation=-1.0)
    tracker = InstanceTracker(sizes[128, 192], params)
    rng = np.random.default_rng(2)
    coasted = 0
    for number in range(24):
        tracker.network = list(sizes.values())[number // 2 % 2]
        frame = np.repeat(np.repeat(rng.integers(0, 255, (15, 20, 3), np.uint8), 8, 0), 8, 1)
        result = tracker.step(frame)
        assert result.label_map.shape == (120, 160)
        assert set(np.unique(result.label_map)) <= {0, *result.tracks.ids.tolist()}
        coasted += sum(track.missed > 0 and track.visible for track in tracker._table.tracks)
    assert coasted
