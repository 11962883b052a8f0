# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sources that are not as they should be: broken bags, several topics, times that vary."""

import struct

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from vos_ros.nodes.matcher import StampMatcher
from vos_ros.nodes.sources import open_source
from vos_ros.nodes.sources import VideoFile

SECOND = 10 ** 9


def bag(folder, messages):
    """Write messages: (topic, nanoseconds, encoding, array), or (topic, nanoseconds, text)."""
    pytest.importorskip('rosbags')
    from rosbags.rosbag2 import StoragePlugin
    from rosbags.rosbag2 import Writer
    from rosbags.typesys import get_typestore
    from rosbags.typesys import Stores
    store = get_typestore(Stores.ROS2_HUMBLE)
    kinds, connections = store.types, {}
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, when, *content in messages:
            name = 'std_msgs/msg/String' if len(content) == 1 else 'sensor_msgs/msg/Image'
            if (topic, name) not in connections:
                connections[topic, name] = writer.add_connection(topic, name, typestore=store)
            if len(content) == 1:
                message = kinds[name](data=content[0])
            else:
                encoding, array = content
                head = kinds['std_msgs/msg/Header'](
                    stamp=kinds['builtin_interfaces/msg/Time'](
                        sec=when // SECOND, nanosec=when % SECOND), frame_id='')
                message = kinds[name](
                    header=head, height=array.shape[0], width=array.shape[1], encoding=encoding,
                    is_bigendian=0, step=array.strides[0],
                    data=np.ascontiguousarray(array).reshape(-1).view(np.uint8))
            writer.write(connections[topic, name], when, store.serialize_cdr(message, name))
    return folder


DEPTH, RGB = np.zeros((8, 12), np.uint16), np.zeros((8, 12, 3), np.uint8)


def test_the_first_topic_that_can_be_shown_is_taken(tmp_path):
    path = bag(tmp_path / 'bag', [
        ('/depth', SECOND, '16UC1', DEPTH), ('/rgb', SECOND, 'rgb8', RGB), ('/rgb', SECOND, 'hi'),
        ('/rgb', 2 * SECOND, 'rgb8', RGB)])
    assert [frame.nanoseconds for frame in open_source(str(path))] == [SECOND, 2 * SECOND]
    with pytest.raises(ValueError, match=r'bag, topic /depth: .*16UC1'):
        list(open_source(str(path), bag_topic='/depth'))
    path = bag(tmp_path / 'depth', [('/depth', SECOND, '16UC1', DEPTH)])
    with pytest.raises(ValueError, match=r'no topic has images that can be shown; /depth: '):
        open_source(str(path))


@pytest.mark.parametrize(('times', 'rate'), [
    ([0, 100, 200, 300, 9000, 9100, 9200], 10),     # a pause in the recording
    ([0, 0, 0, 0], 30), ([5], 30),
    ([0, 1e-6, 2e-6, 3e-6], 30)])                   # written by a program, all at once
def test_the_rate_of_a_bag_is_that_of_most_images(tmp_path, times, rate):
    path = bag(tmp_path / 'bag', [
        ('/rgb', SECOND + int(time * 10 ** 6), 'rgb8', RGB) for time in times])
    assert open_source(str(path)).rate == pytest.approx(rate)


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3'])
@pytest.mark.parametrize('content', [b'', b'garbage', b'\x89MCAP0\r\n'])
def test_a_broken_bag_is_named(tmp_path, name, content):
    pytest.importorskip('rosbags')
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        open_source(str(tmp_path / name))


def test_a_folder_of_pictures_may_have_metadata(tmp_path):
    cv2.imwrite(str(tmp_path / '1.png'), RGB)
    (tmp_path / 'metadata.yaml').write_text('taken_with: a camera\n')
    assert len(list(open_source(str(tmp_path)))) == 1


def varied(path, deltas):
    """Give the frames of an mp4 durations of their own, in its time units' multiples."""
    content = bytearray(path.read_bytes())
    at = content.index(b'stts')
    old = struct.unpack('>I', content[at - 4:at])[0]
    unit = struct.unpack('>I', content[at + 16:at + 20])[0]
    table = struct.pack('>II', 0, len(deltas)) + b''.join(
        struct.pack('>II', 1, unit * delta) for delta in deltas)
    content[at - 4:at - 4 + old] = struct.pack('>I', len(table) + 8) + b'stts' + table
    # All boxes around it grow; the pictures lie before them.
    for box in (b'moov', b'trak', b'mdia', b'minf', b'stbl'):
        place = content.index(box)
        size = struct.unpack('>I', content[place - 4:place])[0]
        content[place - 4:place] = struct.pack('>I', size + len(table) + 8 - old)
    edits = content.index(b'elst')      # says how long the film is
    content[edits + 12:edits + 16] = struct.pack('>I', 10 ** 6)
    path.write_bytes(content)


def test_frames_of_a_varying_rate_have_the_times_of_the_file(tmp_path):
    path = tmp_path / 'phone.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 20.0, (64, 48))
    for index in range(6):
        writer.write(np.full((48, 64, 3), 40 * index, np.uint8))
    writer.release()
    regular = [frame.seconds for frame in open_source(str(path))]
    np.testing.assert_allclose(regular, 0.05 * np.arange(6), atol=1e-6)
    varied(path, [1, 1, 10, 10, 10, 1])
    times = [frame.seconds for frame in open_source(str(path))]
    np.testing.assert_allclose(times, [0, 0.05, 0.1, 0.6, 1.1, 1.6], atol=2e-3)


class Camera:
    """A webcam that gives two pictures and is pulled out."""

    def __init__(self, source):
        self.left = 2

    def isOpened(self):
        return True

    def get(self, what):
        return 0.0

    def set(self, what, value):
        assert (what, value) == (cv2.CAP_PROP_BUFFERSIZE, 1)

    def read(self):
        self.left -= 1
        return self.left >= 0, RGB

    def release(self):
        pass


def test_a_webcam_that_stops_is_no_end(monkeypatch):
    monkeypatch.setattr(cv2, 'VideoCapture', Camera)
    frames = iter(VideoFile(0))
    assert [next(frames).seconds, next(frames).seconds] == pytest.approx([0, 1 / 30])
    with pytest.raises(OSError, match='webcam 0: gives no more images'):
        next(frames)


def test_what_cannot_be_complete_any_more_is_not_kept():
    matcher = StampMatcher(('image', 'labels', 'tracks'), bytes=60, seconds=60.0)
    for stamp in range(10):
        matcher.add('image', stamp, stamp, 1)
    # The tracker left out all but every fifth.
    for stamp in (4, 9):
        matcher.add('labels', stamp, stamp, 1)
        assert matcher.add('tracks', stamp, stamp, 1)
        assert len(matcher) == 9 - stamp
    assert matcher.evicted == 8


def test_results_of_an_earlier_pass_are_not_drawn_over_a_later_image():
    matcher = StampMatcher(('image', 'labels'), bytes=3, seconds=60.0)
    for stamp in (1, 2, 3):
        matcher.add('image', stamp, f'first {stamp}', 1)
    assert matcher.add('image', 1, 'second 1', 1) is None
    assert matcher.add('image', 4, 'first 4', 1) is None    # the oldest leaves: not the one anew
    assert matcher.add('labels', 1, 'labels', 0)['image'] == 'second 1'
    assert not len(matcher) or matcher.add('labels', 4, 'x', 0)
