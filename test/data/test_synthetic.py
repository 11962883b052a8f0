# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Augmentation and synthetic video: alike from a seed, masks exact, ids that last."""

from dataclasses import replace
from itertools import pairwise
import math

from miniature import draw_disc
from miniature import texture
import numpy as np

from vos_ros.data.augment import AugmentConfig
from vos_ros.data.augment import Augmenter
from vos_ros.data.compose import place
from vos_ros.data.compose import similarity
from vos_ros.data.cutouts import Cutout
from vos_ros.data.instances import Instance
from vos_ros.data.instances import MaskedImage
from vos_ros.data.photometry import Look
from vos_ros.data.synthetic_video import Actor
from vos_ros.data.synthetic_video import SyntheticVideo
from vos_ros.data.synthetic_video import VideoConfig
from vos_ros.data.synthetic_video import Wave

PLAIN = VideoConfig(height=96, width=128, colour=0.0, blur=0.0, static=1.0, objects=(0, 0))
RED, BLUE = (250, 0, 0), (0, 0, 250)


def disc(colour, class_id=0, radius=14):
    mask = draw_disc((2 * radius + 1, 2 * radius + 1), (radius, radius), radius)
    rgb = np.empty((*mask.shape, 3), np.uint8)
    rgb[:] = colour
    return Cutout(rgb, mask * 255, class_id)


def grey_image():
    return MaskedImage(np.full((96, 128, 3), 128, np.uint8), ())


def photo():
    rng = np.random.default_rng(5)
    rgb = texture(rng, (120, 160), (90, 120, 90))
    mask = draw_disc((120, 160), (80, 60), 30)
    rgb[mask > 0] = texture(rng, (120, 160), (200, 180, 20))[mask > 0]
    return MaskedImage(rgb, (Instance.from_full(mask, 3),), 'photo')


def still(value):
    return Wave(value, 0.0, 0.0, 0.1, 0.0)


def staged(*actors):
    """A scene over grey with a still camera at scale 1 and the given (cut-out, x, y) actors."""
    scene = SyntheticVideo([grey_image()], [], PLAIN).scene(1)
    scene.view = (still(64.0), still(48.0), still(0.0), still(0.0))
    look = Look(np.random.default_rng(0), 0.0)
    scene.actors = [Actor(c, False, x, y, still(0.0), still(0.0), look) for c, x, y in actors]
    scene.classes = np.array([a.cutout.class_id for a in scene.actors])
    return scene


def test_same_seed_same_pixels():
    video = SyntheticVideo([photo()], [disc(RED), disc(BLUE, 1)],
                           VideoConfig(height=96, width=128))
    first, again = video.clip(9, [0, 5, 40]), video.clip(9, [0, 5, 40])
    assert np.array_equal(first.frames, again.frames)
    assert np.array_equal(first.labels, again.labels)
    # frames can be asked for in any order
    assert np.array_equal(video.clip(9, [40]).frames[0], first.frames[2])
    assert not np.array_equal(video.clip(10, [0]).frames[0], first.frames[0])


def test_masks_are_where_the_colours_are():
    scene = staged((disc(RED), Wave(30, 2.0, 0, 0.1, 0), still(40.0)),
                   (disc(BLUE, 1), Wave(100, -2.0, 0, 0.1, 0), still(50.0)))
    for time in (0, 7, 20):
        rgb, labels = scene.frame(time)
        distance = np.abs(rgb.astype(int) - np.array(RED)).sum(-1)
        assert np.array_equal(distance < 200, labels == 1) or (
            (distance < 200) ^ (labels == 1)).mean() < 0.003
        assert (rgb[labels == 2][:, 2] > 120).all()
        assert (rgb[labels == 0] == 128).all(-1).mean() > 0.98


def test_later_actors_lie_over_earlier_ones():
    below, above = (disc(RED), still(64.0), still(48.0)), (disc(BLUE), still(70.0), still(48.0))
    _, alone = staged(below).frame(0)
    _, both = staged(below, above).frame(0)
    _, swapped = staged(above, below).frame(0)
    shape = alone == 1
    top = np.roll(shape, 6, 1)
    assert np.array_equal(both == 2, top)
    assert np.array_equal(both == 1, shape & ~top)
    assert np.array_equal(swapped == 2, shape)


def test_id_survives_leaving_and_coming_back():
    # a swing of 120 px out to the right and back in 40 frames
    out_and_back = Wave(90.0, 0.0, 60.0, 2 * math.pi / 40, -math.pi / 2)
    scene = staged((disc(RED), still(30.0), still(48.0)), (disc(BLUE), out_and_back, still(48.0)))
    seen = [(scene.frame(t)[1] == 2).any() for t in range(41)]
    assert seen[0] and seen[40] and not seen[20]
    assert sum(a != b for a, b in pairwise(seen)) == 2
    rgb, labels = scene.frame(40)
    assert (rgb[labels == 2][:, 2] > 120).all()


def test_drawn_paths_leave_and_return():
    config = replace(PLAIN, objects=(3, 3), leave=1.0, speed=0.06)
    video = SyntheticVideo([grey_image()], [disc(RED), disc(BLUE)], config)
    returned = 0
    for seed in range(6):
        scene = video.scene(seed)
        seen = np.array([[(scene.frame(t)[1] == k).any() for k in (1, 2, 3)]
                         for t in range(0, 240, 6)])
        for k in range(3):
            gone = np.flatnonzero(~seen[:, k])
            returned += bool(len(gone) and seen[:gone[0], k].any() and seen[gone[0]:, k].any())
    assert returned >= 4, f'{returned} of 18 objects left and came back'


def test_background_instances_are_objects_that_follow_the_camera():
    config = replace(PLAIN, static=0.0, camera=0.05)
    scene = SyntheticVideo([photo()], [], config).scene(4)
    assert scene.classes.tolist() == [3]
    middles = []
    for time in (0, 15):
        rgb, labels = scene.frame(time)
        assert rgb[labels == 1].mean(0)[0] > 150 > rgb[labels == 0].mean(0)[0]
        middles.append(np.mean(np.nonzero(labels == 1), 1))
    assert np.abs(middles[1] - middles[0]).max() > 1


def test_place_outside_is_nothing():
    cutout = disc(RED)
    assert place(cutout, similarity(1, 0, False, (0, 0), (500, 0)), 96, 128) is None
    rgb, alpha, (x, _) = place(cutout, similarity(1, 0, False, (0, 0), (-10, 20)), 96, 128)
    assert (x, alpha.shape[1]) == (0, 20)
    assert rgb.shape == (*alpha.shape, 3) and alpha.max() == 255


def test_augmenter_gives_exact_visible_masks():
    config = AugmentConfig(height=96, width=128, pastes=4, colour=0.0, turn=0.0,
                           paste_size=(0.3, 0.5), min_area=1)
    augmenter = Augmenter([disc(RED, 7), disc(BLUE, 8)], config)
    seen = set()
    for seed in range(12):
        sample = augmenter.sample(np.random.default_rng(seed), photo())
        again = augmenter.sample(np.random.default_rng(seed), photo())
        assert np.array_equal(sample.rgb, again.rgb)
        assert np.array_equal(sample.masks, again.masks)
        assert sample.rgb.shape == (96, 128, 3)
        assert sample.masks.shape[0] == len(sample.classes)
        for mask, class_id in zip(sample.masks, sample.classes, strict=True):
            seen.add(int(class_id))
            colour = np.median(sample.rgb[mask > 0], 0)
            wanted = {3: (200, 180, 20), 7: RED, 8: BLUE}[int(class_id)]
            assert np.abs(colour - wanted).max() < 90  # some are pasted half transparent
        # nothing lies under two masks: what is pasted hides what is below
        assert sample.masks.sum(0).max() <= 1
    assert seen == {3, 7, 8}


def test_crowds_are_void_but_for_what_is_pasted_over_them():
    image = photo()
    crowd = MaskedImage(image.rgb, (), image.name, image.instances)
    config = AugmentConfig(height=96, width=128, pastes=4, colour=0.0, paste_size=(0.3, 0.5))
    for seed in range(12):
        sample = Augmenter([disc(BLUE, 8)], config).sample(np.random.default_rng(seed), crowd)
        yellow = (sample.rgb[..., 0] > 145) & (sample.rgb[..., 2] < 80)
        assert (sample.void ^ yellow).mean() < 0.02
        assert not (sample.void & sample.masks.any(0)).any()
    assert Augmenter([], config).sample(np.random.default_rng(0), image).void is None


def test_padding_has_the_letterbox_colour():
    config = AugmentConfig(height=96, width=128, scale=(0.5, 0.5), pastes=0, turn=0.0)
    sample = Augmenter([], replace(config, colour=0.0)).sample(np.random.default_rng(0), photo())
    assert (sample.rgb == (124, 116, 104)).all(-1).mean() > 0.5
