# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Instances and memory side by side: 'follow that one'."""

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from memory_probe import MemoryProbe
from memory_probe import stamp_of
from sensor_msgs.msg import Image
from vos_ros.msg import TrackArray

from vos_ros.nodes import images

LABELS, TRACKS = '/instance_tracker/labels', '/instance_tracker/tracks'


def test_a_real_instance_is_promoted(ros, tiny_package, xmem_package, eager, scene):
    """Both nodes on one stream; the instance of the newest labels goes on in memory."""
    for topic, kind in ((LABELS, Image), (TRACKS, TrackArray)):
        ros.listen(kind, topic)
    memory = MemoryProbe(ros, xmem_package, remaps={
        'instances/labels': LABELS, 'instances/tracks': TRACKS})
    instances = ros.start('instance_tracker', model_path=tiny_package, **eager)
    ros.until(lambda: memory.publisher.get_subscription_count() == 2
              and ros.node.count_subscribers(LABELS) == 2, 20, 'both nodes subscribe')
    # The two nodes find each other in their own time.
    for second in range(10, 60):
        ros.received[LABELS].clear()
        ros.received[TRACKS].clear()
        memory.show(scene(second % 20), second)
        ros.spin(0.5)
        if not (ros.received[LABELS] and ros.received[TRACKS]):
            continue  # best effort: a picture sent before the node matched us is not seen by it
        refused = memory.add({'track_id': 60000})
        assert not refused.success
        if refused.message.startswith('object 0: track 60000 is unknown in this image; visible'):
            break
    assert instances.process.poll() is None
    labels = images.to_labels(ros.received[LABELS][-1])
    visible = [row for row in ros.received[TRACKS][-1].tracks if row.area > 0]
    assert visible, 'the random network shows no instance: nothing to promote'
    chosen = max(visible, key=lambda row: row.area)
    ros.spin(1.0)  # labels were there; let the tracks with the names come too

    reply = memory.add({'track_id': chosen.id})
    assert reply.success, reply.message
    assert (reply.methods, reply.names) == (['track'], [chosen.label])
    assert stamp_of(reply) == (second, 5)
    taken = images.to_labels(reply.labels) == reply.added_ids[0]
    assert np.array_equal(taken, labels == chosen.id)

    # The same instance by a box around it, and when the picture is not the newest any more.
    reply = memory.add({'box': [float(v) for v in chosen.box]}, second=second)
    assert reply.methods == ['instance']
    memory.show(scene(1), second + 1)
    assert memory.add({'track_id': chosen.id}, second=second).success
    _, tracks, _, _ = memory.show(scene(2), second + 2)
    assert len(tracks) == 3 and {row.label for row in tracks.values()} >= {chosen.label}


def test_labels_of_another_size_are_refused(ros, xmem_package, scene):
    memory = MemoryProbe(ros, xmem_package)
    labels = ros.publisher(Image, '/instances/labels')
    ros.connected(labels)
    memory.show(scene(0), 10)
    message = images.fill(Image(), np.full((60, 80), 3, np.uint16), 'mono16')
    message.header.stamp.sec, message.header.stamp.nanosec = 10, 5
    for _ in range(50):
        labels.publish(message)
        ros.spin(0.3)
        refused = memory.add({'track_id': 3})
        if 'no labels' not in refused.message:
            break
    assert "the instance tracker's labels are 80x60, the image is 160x120" in refused.message
    # A box does without them.
    assert memory.add({'box': [8.0, 38.0, 53.0, 83.0]}).methods == ['grabcut']
