# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The instance tracker as a process: images in over DDS, labels and tracks out."""

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image

from vos_ros.msg import Latency
from vos_ros.msg import TrackArray
from vos_ros.nodes import images

LABELS, TRACKS, LATENCY = (f'/instance_tracker/{name}' for name in ('labels', 'tracks', 'latency'))
KINDS = {LABELS: Image, TRACKS: TrackArray, LATENCY: Latency}


def stamp_of(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


def send(publisher, pixels, second, encoding='rgb8', frame_id='camera', nanosec=5):
    message = images.fill(Image(), pixels, encoding)
    message.header.stamp = Time(sec=second, nanosec=nanosec if second else 0)
    message.header.frame_id = frame_id
    publisher.publish(message)


@pytest.fixture
def tracker(ros, tiny_package, eager):
    """Start a tracker; return (publisher, exchange), which sends a picture and awaits results."""
    for topic, kind in KINDS.items():
        ros.listen(kind, topic)
    publisher = ros.publisher(Image, '/image')
    process = ros.start('instance_tracker', model_path=tiny_package, **eager)
    ros.connected(publisher, *KINDS)

    def exchange(pixels, second, **options):
        for topic in KINDS:
            ros.received[topic].clear()
        send(publisher, pixels, second, **options)
        ros.until(lambda: all(ros.received[topic] for topic in KINDS), 10, 'labels, tracks, ...')
        return tuple(ros.received[topic][-1] for topic in KINDS)

    exchange.publisher, exchange.process = publisher, process
    return exchange


def test_labels_and_tracks_carry_the_stamp_and_one_set_of_ids(tracker, scene):
    some = 0
    for second in range(10, 16):
        labels, tracks, latency = tracker(scene(second), second, frame_id='left')
        for message in (labels, tracks, latency):
            assert stamp_of(message) == (second, 5)
            assert message.header.frame_id == 'left'
        assert (labels.height, labels.width, labels.encoding) == (120, 160, 'mono16')
        pixels = images.to_labels(labels)
        seen = set(np.unique(pixels).tolist()) - {0}
        assert seen == {track.id for track in tracks.tracks if track.area > 0}
        for track in tracks.tracks:
            assert track.area == np.count_nonzero(pixels == track.id)
            assert track.label in ('person', 'vehicle', 'animal')
        some += len(seen)
    assert some
    assert latency.frames_in == latency.frames_processed == 6
    assert (latency.dropped_busy, latency.dropped_bad, latency.lost_transport) == (0, 0, 0)
    assert list(latency.stages[:3]) == ['receive', 'wait', 'decode']
    assert 0 < sum(latency.stage_ms[2:]) <= latency.step_ms * 1.01
