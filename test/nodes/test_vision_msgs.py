# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where vision_msgs is installed: the same tracks as Detection2DArray, and latched class names."""

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')
pytest.importorskip('vision_msgs.msg', reason='vision_msgs is not installed')

from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import Image
import vision_msgs.msg as vision
from vos_ros.msg import TrackArray

from vos_ros.nodes import images


def test_detections_carry_the_ids_of_the_label_map(ros, tiny_package, eager, scene):
    topics = {name: f'/instance_tracker/{name}' for name in ('labels', 'tracks', 'detections')}
    for name, kind in (('labels', Image), ('tracks', TrackArray),
                       ('detections', vision.Detection2DArray)):
        ros.listen(kind, topics[name])
    publisher = ros.publisher(Image, '/image')
    ros.start('instance_tracker', model_path=tiny_package, **eager)
    ros.connected(publisher, *topics.values())
    # Latched: a subscriber that comes late hears it too.
    ros.listen(vision.LabelInfo, '/instance_tracker/label_info', depth=1,
               durability=DurabilityPolicy.TRANSIENT_LOCAL)
    message = images.fill(Image(), scene(3), 'rgb8')
    message.header.stamp.sec, message.header.frame_id = 7, 'eye'
    publisher.publish(message)
    ros.until(lambda: all(ros.received[topic] for topic in topics.values()), 10, 'results')
    found = ros.received[topics['detections']][-1]
    tracks = {str(t.id): t for t in ros.received[topics['tracks']][-1].tracks if t.area}
    assert tracks
    assert found.header == ros.received[topics['labels']][-1].header == message.header
    assert {detection.id for detection in found.detections} == set(tracks)
    for detection in found.detections:
        x1, y1, x2, y2 = tracks[detection.id].box
        centre = detection.bbox.center.position
        assert (centre.x, centre.y) == ((x1 + x2) / 2, (y1 + y2) / 2)
        assert (detection.bbox.size_x, detection.bbox.size_y) == (x2 - x1, y2 - y1)
        hypothesis = detection.results[0].hypothesis
        assert hypothesis.class_id == tracks[detection.id].label
        assert np.isclose(hypothesis.score, tracks[detection.id].score)
    topic = '/instance_tracker/label_info'
    ros.until(lambda: ros.received[topic], 10, 'label_info')
    names = {entry.class_id: entry.class_name for entry in ros.received[topic][-1].class_map}
    assert names == {0: 'person', 1: 'vehicle', 2: 'animal'}
