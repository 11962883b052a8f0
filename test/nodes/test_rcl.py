# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Serialised messages through rcl, against rclpy."""

import numpy as np
import pytest

pytest.importorskip('rclpy')

from rclpy.serialization import deserialize_message
from rclpy.serialization import serialize_message
from std_msgs.msg import String

from vos_ros.nodes import rcl
from vos_ros.nodes.taker import Aside
from vos_ros.nodes.taker import no_events
from vos_ros.tracking.raster import compiled


def pair(ros, topic):
    """Return a publisher and a subscription that only ``take`` takes from."""
    publisher = ros.publisher(String, topic)
    subscription = ros.node.create_subscription(
        String, topic, print, 10, raw=True, event_callbacks=no_events())
    subscription.callback_group = Aside()
    ros.until(lambda: publisher.get_subscription_count() > 0)
    return publisher, subscription


def next_of(ros, subscription):
    """Return what ``take`` gives as soon as there is something."""
    taken = []
    ros.until(lambda: taken.append(rcl.take(subscription)) or taken[-1] is not None)
    return taken[-1]


@pytest.fixture(params=['rcl', 'rclpy'])
def way(request, monkeypatch):
    """Go by rcl, and by rclpy, which is used where rcl's functions cannot be had."""
    if request.param == 'rclpy':
        monkeypatch.setattr(rcl, '_RCL', None)
    else:
        assert rcl._RCL is not None
    return request.param


def test_the_compiled_loops_come_with_the_built_package():
    assert compiled() is not None


@pytest.mark.parametrize('kind', [bytes, lambda data: np.frombuffer(data, np.uint8)])
def test_what_is_published_is_taken(ros, way, kind):
    publisher, subscription = pair(ros, '/raw')
    assert rcl.take(subscription) is None
    kept = []
    for text in ('', 'word', 'long ' * 100_000):
        sent = serialize_message(String(data=text))
        rcl.publish(publisher, kind(sent))
        data, info = next_of(ros, subscription)
        kept.append((text, data))
        assert info['received_timestamp'] >= info['source_timestamp'] > 0
        assert rcl.take(subscription) is None
    # Each has memory of its own, which lives as long as something shows it.
    del data
    for text, data in kept:
        assert deserialize_message(bytes(data), String).data == text


def test_the_numbers_are_those_that_rclpy_gives(ros):
    publisher, subscription = pair(ros, '/numbers')
    numbers = []
    for take in (rcl.take, lambda own: own.handle.take_message(String, True)) * 2:
        publisher.publish(String(data='word'))
        taken = []
        ros.until(lambda take=take, taken=taken:
                  taken.append(take(subscription)) or taken[-1] is not None)
        info = taken[-1][1]
        numbers.append(info['publication_sequence_number'])
        assert {'source_timestamp', 'received_timestamp', 'publication_sequence_number',
                'reception_sequence_number'} <= info.keys()
    assert numbers == list(range(numbers[0], numbers[0] + 4))


def test_a_view_outlives_what_it_was_taken_with(ros):
    publisher, subscription = pair(ros, '/view')
    rcl.publish(publisher, serialize_message(String(data='here')))
    view = memoryview(next_of(ros, subscription)[0])[8:12]
    for _ in range(20):
        rcl.publish(publisher, serialize_message(String(data='else')))
        next_of(ros, subscription)
    assert bytes(view) == b'here'


def test_what_cannot_be_published_is_told(ros, way):
    publisher, _ = pair(ros, '/gaps')
    if way == 'rcl':
        with pytest.raises(ValueError, match='contiguous'):
            rcl.publish(publisher, np.zeros(64, np.uint8)[::2])
    publisher.destroy()
    with pytest.raises(Exception, match=r'[Dd]estr'):
        rcl.publish(publisher, serialize_message(String()))
