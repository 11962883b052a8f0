# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image messages to numpy and back; no ROS needed, a message is anything with its fields."""

from array import array
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from vos_ros.nodes import images

RNG = np.random.default_rng(0)


def message(pixels, encoding, padding=0, cut=0, **fields):
    """Return what sensor_msgs/Image holds for pixels, with rows padded by so many bytes."""
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    padded = np.concatenate([rows, np.full((len(rows), padding), 255, np.uint8)], axis=1)
    data = array('B', padded.tobytes())
    if cut:
        del data[-cut:]
    return SimpleNamespace(**{
        'height': pixels.shape[0], 'width': pixels.shape[1], 'encoding': encoding,
        'is_bigendian': int(sys.byteorder == 'big'), 'step': padded.shape[1], 'data': data,
        **fields})


RGB = RNG.integers(0, 256, (7, 5, 3), np.uint8)
GREY = RNG.integers(0, 256, (7, 5), np.uint8)
ALPHA = RNG.integers(0, 256, (7, 5, 1), np.uint8)
CASES = {
    'rgb8': (RGB, RGB),
    'bgr8': (RGB[..., ::-1].copy(), RGB),
    'rgba8': (np.concatenate([RGB, ALPHA], 2), RGB),
    'bgra8': (np.concatenate([RGB[..., ::-1], ALPHA], 2), RGB),
    'mono8': (GREY, np.repeat(GREY[..., None], 3, 2)),
    '8UC1': (GREY, np.repeat(GREY[..., None], 3, 2)),
}


@pytest.mark.parametrize('padding', [0, 3, 64])
@pytest.mark.parametrize('encoding', CASES)
def test_every_encoding_with_and_without_padded_rows(encoding, padding):
    pixels, expected = CASES[encoding]
    result = images.to_rgb(message(pixels, encoding, padding))
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


def test_rgb8_is_a_view_of_the_message():
    source = message(RGB, 'rgb8', 4)
    result = images.to_rgb(source)
    source.data[0] = 255 - source.data[0]
    assert result[0, 0, 0] == source.data[0]


def test_last_row_may_lack_its_padding():
    np.testing.assert_array_equal(images.to_rgb(message(RGB, 'rgb8', 6, cut=6)), RGB)


@pytest.mark.parametrize(('source', 'says'), [
    (message(RGB, 'rgb8', cut=1), 'truncated'),
    (message(RGB, 'rgb8', step=14), 'step of at least 15'),
    (message(RGB, 'rgb8', height=0), 'without pixels'),
    (message(RGB, 'rgb8', width=0), 'without pixels'),
    (message(RGB, 'rgb8', data=array('B')), 'truncated'),
])
def test_damaged_images_are_refused_with_sizes_and_encoding(source, says):
    with pytest.raises(images.ImageError, match=says) as caught:
        images.to_rgb(source)
    assert "'rgb8'" in str(caught.value)
    assert f'{source.width}x{source.height}' in str(caught.value)


@pytest.mark.parametrize('encoding', ['bayer_rggb8', 'yuv422', 'mono16', '32FC1', '', '8UC3'])
def test_other_encodings_are_refused_by_name_without_cv_bridge(encoding, monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)  # as where it is absent
    with pytest.raises(images.ImageError, match='not supported') as caught:
        images.to_rgb(message(RGB, encoding))
    assert repr(encoding) in str(caught.value)
    assert 'bgra8' in str(caught.value)


def test_label_maps():
    labels = RNG.integers(0, 65535, (6, 4), np.uint16)
    np.testing.assert_array_equal(images.to_labels(message(labels, 'mono16', 2)), labels)
    np.testing.assert_array_equal(images.to_labels(message(labels, '16UC1')), labels)
    np.testing.assert_array_equal(images.to_labels(message(GREY, 'mono8')), GREY)
    foreign = int(sys.byteorder == 'little')
    with pytest.raises(images.ImageError, match='foreign byte order'):
        images.to_labels(message(labels, 'mono16', is_bigendian=foreign))
    with pytest.raises(images.ImageError, match='multiple'):
        images.to_labels(message(labels, 'mono16', 1))
    with pytest.raises(images.ImageError, match='label map'):
        images.to_labels(message(RGB, 'rgb8'))


@pytest.mark.parametrize(('pixels', 'encoding', 'back'), [
    (RGB, 'rgb8', images.to_rgb), (RGB[:, ::2], 'rgb8', images.to_rgb),
    (RNG.integers(0, 65535, (6, 4), np.uint16), 'mono16', images.to_labels),
    (RNG.integers(0, 65535, (6, 8), np.uint16)[:, 1:5], 'mono16', images.to_labels)])
def test_fill_and_read_back(pixels, encoding, back):
    filled = images.fill(SimpleNamespace(), pixels, encoding)
    assert isinstance(filled.data, array)
    assert len(filled.data) == filled.step * filled.height
    np.testing.assert_array_equal(back(filled), pixels)


def compressed(pixels, suffix, kind):
    return SimpleNamespace(format=kind, data=array('B', cv2.imencode(suffix, pixels)[1].tobytes()))


def test_compressed_colours():
    bgr = np.empty((32, 48, 3), np.uint8)
    bgr[:] = (10, 60, 200)
    rgb = bgr[..., ::-1]
    for suffix, kind in (('.png', 'png'), ('.png', 'bgr8; png compressed bgr8'),
                         ('.jpg', 'jpeg'), ('.jpg', 'rgb8; jpeg compressed bgr8')):
        result = images.from_compressed(compressed(bgr, suffix, kind))
        assert np.abs(result.astype(int) - rgb).max() <= 3, kind
    # The encoder was given RGB bytes as if they were BGR, and says so.
    result = images.from_compressed(compressed(rgb.copy(), '.png', 'rgb8; png compressed rgb8'))
    np.testing.assert_array_equal(result, rgb)


def test_compressed_grey_alpha_and_sixteen_bits():
    grey = np.full((8, 8), 77, np.uint8)
    assert (images.from_compressed(compressed(grey, '.png', 'mono8; png compressed')) == 77).all()
    alpha = np.dstack([np.full((8, 8, 3), 9, np.uint8), np.zeros((8, 8), np.uint8)])
    assert images.from_compressed(compressed(alpha, '.png', 'png')).shape == (8, 8, 3)
    deep = np.full((8, 8), 77 * 256, np.uint16)
    assert (images.from_compressed(compressed(deep, '.png', 'mono16; png compressed')) == 77).all()


@pytest.mark.parametrize(('data', 'kind', 'says'), [
    (b'', 'jpeg', 'no data'), (b'\xff\xd8\xff\xe0nonsense', 'jpeg', 'truncated'),
    (b'1234', '16UC1; compressedDepth png', 'depth')])
def test_compressed_nonsense_is_refused(data, kind, says):
    with pytest.raises(images.ImageError, match=says):
        images.from_compressed(SimpleNamespace(format=kind, data=array('B', data)))


def test_to_compressed_keeps_colours():
    rgb = np.empty((32, 48, 3), np.uint8)
    rgb[:] = (200, 60, 10)
    for given, bgr in ((rgb, False), (rgb[..., ::-1].copy(), True)):
        packed = images.to_compressed(SimpleNamespace(), given, 95, bgr=bgr)
        assert np.abs(images.from_compressed(packed).astype(int) - rgb).max() <= 3
