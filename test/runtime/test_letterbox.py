# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The letterbox: geometry, padding, its inverse, and that it writes where it says."""

import cv2
import numpy as np
import pytest

from vos_ros.runtime.letterbox import Letterbox
from vos_ros.runtime.letterbox import MEAN_COLOUR
from vos_ros.runtime.letterbox import Scaling
from vos_ros.runtime.native import compiled

SIZES = [(1080, 1920), (480, 640), (720, 1280), (901, 1601), (384, 640), (200, 120), (1, 1),
         (3, 4000)]


@pytest.mark.parametrize('size', SIZES)
def test_content_and_padding(size):
    letterbox = Letterbox(size, (384, 640))
    height, width = letterbox.content_size
    assert height == 384 or width == 640
    assert 1 <= height <= 384 and 1 <= width <= 640
    frame = np.full((*size, 3), (10, 20, 30), np.uint8)
    image = letterbox.apply(frame)
    assert image.shape == (384, 640, 3) and image.dtype == np.uint8
    assert (image[:height, :width] == (10, 20, 30)).all()
    assert (image[height:] == MEAN_COLOUR).all() and (image[:, width:] == MEAN_COLOUR).all()


def test_the_input_is_allocated_once():
    letterbox = Letterbox((480, 640), (384, 640))
    rng = np.random.default_rng(0)
    first = letterbox.apply(rng.integers(0, 255, (480, 640, 3), dtype=np.uint8))
    seen = first.copy()
    second = letterbox.apply(rng.integers(0, 255, (480, 640, 3), dtype=np.uint8))
    assert first is second
    assert not np.array_equal(seen, second)


def test_same_size_is_a_copy():
    frame = np.random.default_rng(1).integers(0, 255, (384, 640, 3), dtype=np.uint8)
    assert np.array_equal(Letterbox((384, 640), (384, 640)).apply(frame), frame)


@pytest.mark.parametrize('view', [
    lambda wide: wide[:, :640], lambda wide: wide[::-1, :640],
    lambda wide: wide[:, 639::-1], lambda wide: wide[:, :640, ::-1]])
def test_strided_frames_equal_contiguous_ones(view):
    wide = np.random.default_rng(2).integers(0, 255, (480, 700, 3), dtype=np.uint8)
    frame = view(wide)
    assert not frame.flags.c_contiguous
    letterbox = Letterbox((480, 640), (256, 320))
    strided = letterbox.apply(frame).copy()
    assert np.array_equal(strided, letterbox.apply(np.ascontiguousarray(frame)))


@pytest.mark.parametrize('size', [(1080, 1920), (480, 640), (300, 200), (901, 1601)])
@pytest.mark.parametrize('stride', [1, 8])
def test_inverse_is_exact_on_a_plane(size, stride):
    """A mask linear in frame coordinates comes back as itself: pixel centres meet centres."""
    letterbox = Letterbox(size, (384, 640))
    cell_height = letterbox.content_size[0] / size[0] / stride
    cell_width = letterbox.content_size[1] / size[1] / stride
    rows = (np.arange(384 // stride) + 0.5) / cell_height - 0.5
    columns = (np.arange(640 // stride) + 0.5) / cell_width - 0.5
    plane = (2.0 * rows[:, None] - 3.0 * columns).astype(np.float32)
    back = letterbox.mask_to_frame(plane)
    assert back.shape == size
    expected = 2.0 * np.arange(size[0])[:, None] - 3.0 * np.arange(size[1])
    # Outside the outermost centres there is nothing to interpolate between.
    edge_y, edge_x = int(1 / cell_height) + 1, int(1 / cell_width) + 1
    inner = (slice(edge_y, -edge_y), slice(edge_x, -edge_x))
    # OpenCV interpolates with 5 bits between two samples.
    tolerance = 4 * (1 / cell_height + 1 / cell_width) / 32
    assert np.abs(back - expected)[inner].max() < tolerance


def test_there_and_back_keeps_a_box():
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[100:301, 400:901] = 255
    letterbox = Letterbox((720, 1280), (384, 640))
    mask = letterbox.apply(frame)[:, :, 0].astype(np.float32)
    found = letterbox.mask_to_frame(mask) > 127
    box = cv2.boundingRect(found.view(np.uint8))
    assert np.abs(np.array(box) - (400, 100, 501, 201)).max() <= 2


@pytest.mark.parametrize('size, tolerance', [
    ((480, 640), 3), ((720, 1280), 3), ((1080, 1920), 3), ((901, 1601), 0), ((2160, 3840), 3),
    ((768, 1024), 3), ((640, 896), 0), ((1280, 1792), 1)])
def test_halving_first_averages_what_the_pixels_cover(size, tolerance):
    rng = np.random.default_rng(6)
    coarse = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    frame = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    letterbox = Letterbox(size, (320, 448))
    height, width = letterbox.content_size
    exact = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    error = np.abs(letterbox.apply(frame)[:height, :width].astype(int) - exact)
    assert error.max() <= tolerance


@pytest.mark.parametrize('size', [(1080, 1920), (901, 1601), (2160, 3840)])
@pytest.mark.parametrize('period', [2, 4])
def test_a_fine_pattern_does_not_come_through_as_another(size, period):
    rows, columns = np.mgrid[:size[0], :size[1]]
    stripes = (rows + columns) % period < period // 2
    frame = np.repeat((stripes * 255).astype(np.uint8)[..., None], 3, axis=2)
    letterbox = Letterbox(size, (320, 448))
    height, width = letterbox.content_size
    content = letterbox.apply(frame)[:height, :width]
    exact = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    least, most = min(126, exact.min()) - 9, max(129, exact.max()) + 9
    assert least <= content.min() and content.max() <= most


def test_wrong_frame_is_refused():
    letterbox = Letterbox((480, 640), (384, 640))
    for frame in (np.zeros((480, 641, 3), np.uint8), np.zeros((480, 640), np.uint8),
                  np.zeros((480, 640, 3), np.float32)):
        with pytest.raises(ValueError, match=r'must be uint8\(480, 640, 3\)'):
            letterbox.apply(frame)
    with pytest.raises(ValueError, match='frame_size'):
        Letterbox((0, 640), (384, 640))


@pytest.mark.skipif(compiled() is None, reason='the ROS 2 package is not built')
@pytest.mark.parametrize('size', [(480, 640), (1080, 1920), (270, 481), (200, 120), (2, 3)])
@pytest.mark.parametrize('network_input', [(320, 448), (384, 512), (384, 640)])
def test_the_compiled_scaling_is_opencvs(size, network_input, monkeypatch):
    rng = np.random.default_rng(6)
    frame = cv2.GaussianBlur(
        rng.integers(0, 255, (size[0], size[1] + 7, 3), dtype=np.uint8), (0, 0), 1.5)[:, :-7]
    assert not frame.flags.c_contiguous
    letterbox = Letterbox(size, network_input)
    ours, turned = letterbox.apply(frame).copy(), letterbox.apply(frame[:, :, ::-1]).copy()
    monkeypatch.setattr(Scaling, 'serves', lambda size, width: False)
    plain = Letterbox(size, network_input)
    theirs = plain.apply(frame)
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    height, width = letterbox.content_size
    assert np.array_equal(turned[:height, :width], ours[:height, :width, ::-1])
    assert np.array_equal(ours[height:], theirs[height:])
    assert np.array_equal(ours[:, width:], theirs[:, width:])
