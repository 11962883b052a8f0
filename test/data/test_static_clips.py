# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Clips made from stills: objects, their sizes, motion, camouflage, and labels that fit."""

from clip_material import material
import cv2
import numpy as np
from numpy.testing import assert_allclose
import pytest

from vos_ros.data import static_clips
from vos_ros.data.clip_motion import thin_plate_basis
from vos_ros.data.cutouts import Cutout
from vos_ros.data.instances import Instance
from vos_ros.data.instances import MaskedImage
from vos_ros.data.static_clips import ClipConfig
from vos_ros.data.static_clips import StaticClips
from vos_ros.data.static_clips import Still


def test_clips_are_a_function_of_the_generator():
    clips = StaticClips(*material(), ClipConfig(size=64, frames=4))
    first = clips.clip(np.random.default_rng(5), 2)
    again = clips.clip(np.random.default_rng(5), 2)
    assert (first.frames == again.frames).all()
    assert (first.labels == again.labels).all()
    assert first.frames.shape == (4, 64, 64, 3)
    assert first.labels.shape == (4, 64, 64)


def test_objects_are_numbered_and_begin_in_the_first_frame():
    clips = StaticClips(*material(), ClipConfig(size=64, frames=3))
    rng = np.random.default_rng(1)
    most, moved = 0, 0
    for _ in range(40):
        clip = clips.clip(rng, 3)
        numbers = set(np.unique(clip.labels[0]).tolist()) - {0}
        assert numbers == set(range(1, len(numbers) + 1))
        assert numbers
        assert set(np.unique(clip.labels).tolist()) <= numbers | {0}
        most = max(most, len(numbers))
        moved += bool((clip.labels[0] != clip.labels[2]).any())
    assert most == 3
    assert moved == 40


def test_objects_can_fill_the_frame():
    rng = np.random.default_rng(2)
    covered = {}
    for share in ((0.2, 0.3), (1.2, 1.3)):
        clips = StaticClips(*material(), ClipConfig(size=64, frames=1, sprites=0, share=share))
        covered[share] = np.mean([(clips.clip(rng, 1).labels > 0).mean() for _ in range(30)])
    assert covered[0.2, 0.3] < 0.15
    assert covered[1.2, 1.3] > 0.45
    for wrong in ({'share': (0.5, 0.2)}, {'sprite_share': (0.0, 0.2)}, {'returns': 1.5},
                  {'camouflage': -0.1}):
        with pytest.raises(ValueError, match='clips'):
            ClipConfig(**wrong)


def test_returning_clips_lose_sight_of_things_and_see_them_again():
    # Alone on the picture, the pasted thing is what is followed.
    stills = [Still(s.rgb, np.zeros_like(s.labels)) for s in material()[0]]
    count = {}
    for returns in (0.0, 1.0):
        clips = StaticClips(stills, material()[1], ClipConfig(
            size=64, frames=5, sprites=1, returns=returns))
        rng = np.random.default_rng(4)
        seen = np.stack([clips.clip(rng, 1, 200).labels.any((1, 2)) for _ in range(60)])
        count[returns] = int((seen[:, 0] & ~seen[:, 2] & seen[:, 4]).sum())
    assert count[1.0] >= 10 * max(count[0.0], 1)


def test_labels_follow_the_pixels():
    # A white cut-out on a black photograph, without any change of light: label = white pixel.
    still = Still(np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8))
    white = Cutout(np.full((30, 30, 3), 255, np.uint8), np.full((30, 30), 255, np.uint8), 0)
    clips = StaticClips([still], [white], ClipConfig(size=96, frames=3, sprites=1))
    rng = np.random.default_rng(3)
    agree = []
    for _ in range(10):
        clip = clips.clip(rng, 1)
        bright = clip.frames.min(-1).astype(int)
        for frame, label in zip(bright, clip.labels > 0, strict=True):
            if label.any() and not label.all():
                agree.append(frame[label].mean() - frame[~label].mean())
    # The photograph's outside is filled with grey, so bright is relative.
    assert np.mean(agree) > 60


@pytest.mark.parametrize('side', [448, 640])
def test_labels_lie_on_the_middle_of_the_pixels(monkeypatch, side):
    # A photograph of a white disc that is its own label, neither cut nor developed.
    fine = cv2.circle(np.zeros((3840, 5120), np.uint8), (2563, 1925), 720, 255, -1)
    grey = cv2.resize(fine, (640, 480), interpolation=cv2.INTER_AREA)
    disc = Instance.from_full(np.uint8(grey > 127), 0)
    still = Still.from_masked(MaskedImage(np.repeat(grey[..., None], 3, 2), (disc,)), side)
    clips = StaticClips([still], [], ClipConfig(size=192, frames=2, sprites=0, warp=0.02))
    monkeypatch.setattr(static_clips, 'develop', lambda rng, frames: frames)
    shifts = [_middle(still.labels) - _middle(still.rgb[..., 0] > 127)]
    for seed in range(60):
        clip = clips.clip(np.random.default_rng(seed), 1)
        for frame, label in zip(clip.frames[..., 0] > 127, clip.labels, strict=True):
            inside = label[1:-1, 1:-1].sum() == label.sum() > 0
            if inside:
                shifts.append(_middle(label) - _middle(frame))
    assert len(shifts) > 20 and np.abs(shifts[0]).max() < 0.1
    assert np.abs(np.mean(shifts, 0)).max() < 0.1


def _middle(mask):
    """Middle (y, x) of a mask [H, W]."""
    return np.mean(np.nonzero(mask), 1)


def test_camouflage_takes_the_colours_of_what_is_behind():
    # White things on a dark picture of little contrast: bright as they are, dark in camouflage.
    noise = np.random.default_rng(0).integers(20, 40, (100, 100, 3)).astype(np.uint8)
    still = Still(noise, np.zeros((100, 100), np.uint8))
    white = Cutout(np.full((30, 30, 3), 255, np.uint8), np.full((30, 30), 255, np.uint8), 0)
    contrast = {}
    for camouflage in (0.0, 1.0):
        clips = StaticClips([still], [white], ClipConfig(
            size=96, frames=1, sprites=1, camouflage=camouflage))
        rng = np.random.default_rng(3)
        found = []
        for _ in range(20):
            clip = clips.clip(rng, 1, 200)
            frame, label = clip.frames[0].astype(int), clip.labels[0] > 0
            found.append(frame[label].mean() - np.median(frame[~label]))
        contrast[camouflage] = np.median(np.abs(found))
    assert contrast[0.0] > 100 and contrast[1.0] < 30


def test_thin_plate_goes_through_its_control_points():
    basis = thin_plate_basis(4, 60)
    assert_allclose(basis @ np.ones((16, 2)), 1, atol=1e-4)     # a shift stays a shift
    axis = np.linspace(0, 1, 4)
    plane = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    grid = (np.arange(60) + 0.5) / 60
    wanted = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    assert_allclose(basis @ plane, wanted, atol=1e-4)           # an affine map bends nothing
    single = np.zeros((16, 1))
    single[5] = 1                                               # control point (1/3, 1/3)
    field = (basis @ single).reshape(60, 60)
    assert field[20, 20] == pytest.approx(1, abs=0.02)
    assert abs(field[40, 40]) < 0.02
