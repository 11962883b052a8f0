# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The messages read and written by hand, against rclpy's own serialisation."""

import gc
import struct
import sys

from builtin_interfaces.msg import Time
import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vos_ros.msg import TrackArray

from vos_ros.nodes import cdr
from vos_ros.nodes import images
from vos_ros.nodes import messages
from vos_ros.tracking.tracks import StepResult
from vos_ros.tracking.tracks import Tracks

RNG = np.random.default_rng(5)
FRAME_IDS = ('', 'a', 'ab', 'abc', 'left_camera', 'caméra')
CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1, '8UC1': 1}


def header(frame_id='left', sec=-7, nanosec=999_999_999):
    return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame_id)


def picture(encoding, frame_id='left', size=(6, 10)):
    channels = CHANNELS.get(encoding, 1)
    kind = np.uint16 if encoding in ('mono16', '16UC1') else np.uint8
    shape = size if channels == 1 else (*size, channels)
    return images.fill(Image(header=header(frame_id)),
                       RNG.integers(0, 255, shape).astype(kind), encoding)


def foreign(data):
    """Return a serialised image in the other byte order."""
    source = deserialize_message(data, Image)
    out = bytearray(b'\0\0\0\0')

    def put(form, *values):
        out.extend(bytes(-(len(out)) % struct.calcsize('>' + form[0])))
        out.extend(struct.pack('>' + form, *values))

    def text(value):
        coded = value.encode() + b'\0'
        put('I', len(coded))
        out.extend(coded)

    put('iI', source.header.stamp.sec, source.header.stamp.nanosec)
    text(source.header.frame_id)
    put('II', source.height, source.width)
    text(source.encoding)
    put('B', source.is_bigendian)
    put('II', source.step, len(source.data))
    return bytes(out + bytes(source.data))


@pytest.mark.parametrize('encoding', [*CHANNELS, 'mono16', '16UC1', 'yuv422_yuy2'])
@pytest.mark.parametrize('frame_id', FRAME_IDS)
@pytest.mark.parametrize('swapped', [False, True])
def test_an_image_reads_as_by_rclpy(encoding, frame_id, swapped):
    expected = picture(encoding, frame_id)
    data = serialize_message(expected)
    result = cdr.read_image(foreign(data) if swapped else data)
    for name in ('header', 'height', 'width', 'encoding', 'is_bigendian', 'step'):
        assert getattr(result, name) == getattr(expected, name)
    assert bytes(result.data) == expected.data.tobytes()
    if encoding in CHANNELS:
        pixels = images.decode(result)
        np.testing.assert_array_equal(pixels, images.to_rgb(expected))
        np.testing.assert_array_equal(images.decode(result, reverse=True), pixels)


def test_images_one_after_another_read_as_each_alone():
    read = cdr.ImageReader()
    forms = [('bgr8', 'left', (6, 10)), ('bgr8', 'left', (6, 10)), ('rgb8', 'left', (6, 10)),
             ('rgb8', 'right', (6, 10)), ('rgb8', 'right', (10, 6)), ('mono8', 'right', (10, 18)),
             ('mono8', 'right', (5, 7)), ('mono8', 'right', (5, 7))]
    for index, (encoding, frame_id, size) in enumerate(forms * 2):
        expected = picture(encoding, frame_id, size)
        expected.header.stamp = Time(sec=index, nanosec=7 * index)
        data = serialize_message(expected)
        result = read(foreign(data) if index % 5 == 4 else data)
        for name in ('header', 'height', 'width', 'encoding', 'is_bigendian', 'step'):
            assert getattr(result, name) == getattr(expected, name)
        assert bytes(result.data) == expected.data.tobytes()
        with pytest.raises(cdr.CdrError):
            read(data[:-40])


def test_no_message_is_kept_by_the_reader():
    read = cdr.ImageReader()
    for _ in range(2):
        result = read(serialize_message(picture('rgb8')))
        before = sys.getrefcount(result.data.obj)
        message = result.data.obj
        del result
        assert sys.getrefcount(message) <= before


def test_pixels_are_a_view_of_the_bytes_received():
    data = serialize_message(picture('bgr8'))
    pixels = images.decode(cdr.read_image(data), reverse=True)
    assert np.shares_memory(pixels, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize('frame_id', FRAME_IDS)
@pytest.mark.parametrize('size', [0, 1, 2, 3, 999])
def test_a_compressed_image_reads_as_by_rclpy(frame_id, size):
    expected = CompressedImage(header=header(frame_id), format='bgr8; jpeg compressed bgr8',
                               data=RNG.bytes(size))
    result = cdr.read_compressed_image(serialize_message(expected))
    assert (result.header, result.format) == (expected.header, expected.format)
    assert bytes(result.data) == expected.data.tobytes()


def test_a_jpeg_is_decoded_from_the_bytes_received():
    smooth = np.repeat(np.arange(0, 240, 10, np.uint8)[None, :, None], 16, axis=0).repeat(3, 2)
    message = images.to_compressed(CompressedImage(), smooth)
    raw = cdr.read_compressed_image(serialize_message(message))
    for reverse in (False, True):
        np.testing.assert_array_equal(
            images.decode(raw, reverse=reverse), images.from_compressed(message))


def test_every_truncated_message_is_refused_with_its_reason():
    for kind, read in ((picture('rgb8'), cdr.read_image),
                       (CompressedImage(format='png', data=b'12345'), cdr.read_compressed_image)):
        data = serialize_message(kind)
        for length in range(len(data)):
            with pytest.raises(cdr.CdrError, match='bytes'):
                read(data[:length])


@pytest.mark.parametrize('change, reason', [
    (lambda data: b'\0\3' + data[2:], 'representation 0x0003 is not plain CDR'),
    (lambda data: data + bytes(4), '4 bytes too many'),
    # length of frame_id
    (lambda data: data[:12] + b'\xff\xff\xff\xff' + data[16:], 'end within frame_id'),
    (lambda data: data[:12] + b'\4\0\0\0' + data[16:], 'frame_id does not end'),
    (lambda data: data[:16] + b'\xff' + data[17:], 'frame_id is no UTF-8'),
])
def test_garbage_is_refused_with_its_reason(change, reason):
    with pytest.raises(cdr.CdrError, match=reason):
        cdr.read_image(change(serialize_message(picture('rgb8'))))


@pytest.mark.parametrize('read', [cdr.read_image, cdr.ImageReader()])
def test_random_bytes_never_raise_anything_else(read):
    data = serialize_message(picture('rgb8'))
    for _ in range(2000):
        garbled = bytearray(data)
        for place in RNG.integers(0, 64, 3):
            garbled[place] = RNG.integers(0, 256)
        try:
            images.decode(read(bytes(garbled)))
        except (cdr.CdrError, images.ImageError):
            pass


@pytest.mark.parametrize('frame_id', FRAME_IDS)
@pytest.mark.parametrize('labels', [(), ('person',), ('', 'a', 'ab', 'abc', 'tasse à café')])
def test_tracks_are_written_as_rclpy_reads_them(frame_id, labels):
    n = len(labels)
    tracks = Tracks(
        ids=RNG.integers(1, 65535, n).astype(np.uint32),
        class_ids=RNG.integers(-1, 80, n).astype(np.int32), labels=labels,
        scores=RNG.random(n, np.float32), states=RNG.integers(0, 4, n).astype(np.uint8),
        ages=RNG.integers(0, 2 ** 32, n).astype(np.uint32),
        boxes=RNG.random((n, 4), np.float32) * 2000,
        areas=RNG.integers(0, 2 ** 32, n).astype(np.uint32))
    for keyframe in (False, True):
        data = cdr.track_array(header(frame_id), StepResult(
            tracks, np.zeros((1, 1), np.uint16), keyframe))
        message = deserialize_message(data, TrackArray)
        # Not the bytes: rclpy leaves those between two fields as they were.
        assert len(serialize_message(message)) == len(data)
        assert (message.header, message.keyframe) == (header(frame_id), keyframe)
        read = messages.tracks_of(message)
        assert read.labels == labels
        for name in ('ids', 'class_ids', 'scores', 'states', 'ages', 'boxes', 'areas'):
            np.testing.assert_array_equal(getattr(read, name), getattr(tracks, name))


@pytest.mark.parametrize('frame_id', FRAME_IDS)
@pytest.mark.parametrize('size', [(6, 10), (5, 7), (1, 1)])
def test_a_label_map_is_written_as_rclpy_writes_it(frame_id, size):
    labels = RNG.integers(0, 65535, size).astype(np.uint16)
    expected = images.fill(Image(header=header(frame_id)), labels, 'mono16')
    coded = cdr.LabelMap(header(frame_id)).serialised(labels)
    assert deserialize_message(coded, Image) == expected
    # Of the padding only the length is the same: rclpy leaves there what was in memory.
    assert len(coded) == len(serialize_message(expected))
    # A view with strides is written as what it shows.
    double = np.repeat(labels, 2, axis=1)[:, ::2]
    assert cdr.LabelMap(header(frame_id)).serialised(double) == coded


@pytest.mark.parametrize('frame_id', [*FRAME_IDS, 'long' * 30])
def test_a_label_map_is_painted_where_it_is_sent_from(frame_id):
    labels = RNG.integers(0, 65535, (6, 10)).astype(np.uint16)
    message = cdr.LabelMap(header(frame_id))
    canvas = message.canvas(6, 10)
    assert canvas.flags.aligned and canvas.flags.c_contiguous
    canvas[:] = labels
    coded = message.serialised(canvas)
    assert type(coded) is bytes
    assert coded == cdr.LabelMap(header(frame_id)).serialised(labels)
    assert np.shares_memory(np.frombuffer(coded, np.uint8), canvas)
    # Whichever of the two lives longer, the memory is there.
    del message, coded
    gc.collect()
    others = [cdr.LabelMap(header(frame_id)).serialised(labels * 0) for _ in range(20)]
    np.testing.assert_array_equal(canvas, labels)
    assert len(others) == 20
