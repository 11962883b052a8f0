# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Kernels whose windows are moved, and tracks that move fast."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_scene import blank
from synthetic_scene import Disc
from synthetic_scene import kernels
from synthetic_scene import Scene

from vos_ros.runtime.mobileinst import KeyOutput
from vos_ros.runtime.native import compiled
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.windows import centres
from vos_ros.tracking.windows import moved
from vos_ros.tracking.windows import turned

BANDS = 12


def waves(height, width):
    """The features that a window is a sum of: [4 * BANDS, height, width]."""
    y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    order = np.pi * np.arange(1, BANDS + 1)[:, None]
    rows = [np.broadcast_to(f(order * y)[:, :, None], (BANDS, height, width))
            for f in (np.cos, np.sin)]
    columns = [np.broadcast_to(f(order * x)[:, None], (BANDS, height, width))
               for f in (np.cos, np.sin)]
    return np.concatenate(rows + columns).astype(np.float32)


def window(y, x, width=0.12):
    """Coefficients of a bump at y, x."""
    order = np.pi * np.arange(1, BANDS + 1)
    bump = np.exp(-0.5 * (order * width) ** 2)
    return np.concatenate([bump * f(order * place) for place in (y, x)
                           for f in (np.cos, np.sin)]).astype(np.float32)


@pytest.mark.parametrize('way', [(0.0, 0.0), (0.2, -0.3), (-0.1, 0.0), (0.0, 0.45)])
def test_a_moved_kernel_draws_its_window_elsewhere(way):
    look = np.arange(5, dtype=np.float32)
    kernel = np.concatenate([look, window(0.5, 0.5)])[None]
    result = moved(kernel, BANDS, np.array([way], np.float32))
    assert result.dtype == np.float32 and result.shape == kernel.shape
    np.testing.assert_array_equal(result[0, :5], look)
    np.testing.assert_allclose(result[0, 5:], window(0.5 + way[0], 0.5 + way[1]), atol=1e-5)
    drawn = np.tensordot(result[0, 5:], waves(48, 64), 1)
    row, column = np.unravel_index(drawn.argmax(), drawn.shape)
    assert abs((row + 0.5) / 48 - 0.5 - way[0]) < 0.03
    assert abs((column + 0.5) / 64 - 0.5 - way[1]) < 0.03


def test_each_kernel_goes_its_own_way():
    some = np.random.default_rng(0).normal(size=(3, 7 + 4 * BANDS)).astype(np.float32)
    ways = np.array([(0.1, 0.2), (0.0, 0.0), (-0.3, 0.05)], np.float32)
    together = moved(some, BANDS, ways)
    for row in range(3):
        np.testing.assert_allclose(together[row], moved(some[row:row + 1], BANDS,
                                                        ways[row:row + 1])[0], atol=1e-5)
    np.testing.assert_allclose(moved(together, BANDS, -ways), some, atol=1e-4)
    assert moved(some, 0, ways) is some
    assert moved(some[:0], BANDS, ways[:0]).shape == (0, 7 + 4 * BANDS)


@pytest.mark.skipif(compiled() is None, reason='the compiled loops are not built here')
@pytest.mark.parametrize('bands', [1, 12, 24])
def test_compiled_and_plain_windows_are_equal(bands):
    rng = np.random.default_rng(bands)
    some = rng.normal(size=(9, 5 + 4 * bands)).astype(np.float32)
    ways = rng.uniform(-0.5, 0.5, (9, 2)).astype(np.float32)
    before = some.copy()
    np.testing.assert_allclose(moved(some, bands, ways), turned(some, bands, ways), atol=2e-5)
    np.testing.assert_array_equal(some, before)


def test_centres_are_shares_of_the_input():
    masks = np.zeros((3, 6, 8), bool)
    masks[0, 2:4, 1:5], masks[1, 5, 7] = True, True
    found = centres(masks.reshape(3, 48), (6, 8), (12, 8))
    np.testing.assert_allclose(found, [(3 / 12, 3 / 8), (5.5 / 12, 7.5 / 8), (0, 0)])
    assert found.dtype == np.float32 and centres(masks[:0].reshape(0, 48), (6, 8), (12, 8)).shape \
        == (0, 2)


class PlacedScene(Scene):
    """Discs that all look alike: only their windows tell them apart."""

    def features(self):
        shape = self.mask_size
        look = np.full((1, *shape), -1.0, np.float32)
        for disc in self.discs:
            centre = disc.at(self.frame)
            if centre is not None:
                rows, columns = np.mgrid[:shape[0], :shape[1]]
                look[0][np.hypot(rows - centre[0], columns - centre[1]) < disc.radius] = 1
        return np.concatenate([20 * look, np.ones((1, *shape), np.float32), waves(*shape)])

    def key(self, image):
        self.frame += 1
        self.key_frames.append(self.frame)
        features, found = self.features(), []
        for disc in self.discs:
            centre = disc.at(self.frame)
            if centre is not None:
                y, x = ((c + 0.5) / s for c, s in zip(centre, self.mask_size, strict=True))
                found.append(np.concatenate([[1.0, -34.0], 8 * window(y, x)]))
        several = np.array(found, np.float32)
        masks = np.tensordot(several, features, 1).clip(-12, 12)
        return KeyOutput(
            logits=np.full((len(found), 2), 4.0, np.float32),
            # Windows are open along rows and columns: of two that are seen as one the first stays,
            # not the one that rounding makes better.
            objectness=4.0 - 0.3 * np.arange(len(found), dtype=np.float32), kernels=several,
            masks=masks,
            mask_features=features, look_dim=2, bands=BANDS)


@pytest.mark.parametrize('late', [False, True])
def test_a_window_is_where_its_object_is_also_after_a_late_keyframe(late):
    scene = PlacedScene([Disc(kernels(1)[0], lambda t: (6, 4 + 1.5 * t), radius=3)])
    tracker = InstanceTracker(scene, InstanceTrackerParams(reuse_interval=3))
    tracker.late_keyframes = late
    real, drawn = scene.reuse, {}

    def reuse(image, given, context=None):
        if len(given):
            window_ = np.tensordot(given[0, 2:], waves(*scene.mask_size), 1)
            drawn[scene.frame + 1] = np.unravel_index(window_.argmax(), window_.shape)[1]
        return real(image, given, context)

    scene.reuse = reuse
    for frame in range(16):
        scene.frame = frame - 1
        tracker.step(blank())
        scene.frame = frame - 1         # the network sees the picture of this frame twice
        tracker.finish()
    # The first keyframe knows of no speed.
    later = {frame: column for frame, column in drawn.items() if frame > 4}
    assert len(later) >= 7
    assert later == pytest.approx({frame: 4 + 1.5 * frame for frame in later}, abs=0.8)


def run(bands, interval, speed):
    """Return the ids that a fast disc has in each frame, 0 where it is not shown."""
    fast = Disc(kernels(1)[0], lambda t: (6, 4 + speed * t), radius=3)
    scene = PlacedScene([fast, Disc(kernels(1)[0], lambda t: (18, 16), radius=3)])
    if not bands:
        found = scene.key
        scene.key = lambda image: replace(found(image), bands=0)
    tracker = InstanceTracker(scene, InstanceTrackerParams(reuse_interval=interval))
    ids = []
    for frame in range(int(24 / speed)):
        labels = tracker.step(blank()).label_map
        ids.append(int(labels[(6 * 8 + 4), int((4 + speed * frame) * 8 + 4)]))
    return ids


def test_a_fast_object_is_followed_where_it_goes():
    still, along = run(0, 3, 1.5), run(BANDS, 3, 1.5)
    # The first keyframe knows of no speed; from the second on it is known.
    assert along[3:] == [along[0]] * len(along[3:]) and along[0] > 0
    assert still.count(along[0]) < along.count(along[0])
