# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Messages taken on a thread of their own, without any executor."""

import threading

import pytest

pytest.importorskip('rclpy')

from rclpy.serialization import deserialize_message
from std_msgs.msg import String

from vos_ros.nodes.taker import no_events
from vos_ros.nodes.taker import Taker


def start(ros, received):
    """Return a taker of /words, its publisher, and the list of errors it died of."""
    def unexpected(_data):
        raise AssertionError('an executor took a message')

    errors = []
    publisher = ros.publisher(String, '/words')
    subscription = ros.node.create_subscription(
        String, '/words', unexpected, 10, raw=True, event_callbacks=no_events())
    taker = Taker(ros.node, subscription, received, errors.append)
    ros.until(lambda: publisher.get_subscription_count() > 0)
    return taker, publisher, errors


def test_every_message_comes_on_its_thread_and_none_after_stop(ros):
    words, threads = [], set()

    def received(data, info):
        assert info['received_timestamp'] >= info['source_timestamp'] > 0
        threads.add(threading.get_ident())
        words.append(deserialize_message(bytes(data), String).data)

    taker, publisher, errors = start(ros, received)
    sent = [str(number) for number in range(50)]
    for count, word in enumerate(sent, 1):
        publisher.publish(String(data=word))
        # The executor spins, and must leave the subscription alone.
        ros.until(lambda count=count: len(words) == count, what=f'message {count}')
    assert words == sent and not errors
    assert len(threads) == 1 and threading.get_ident() not in threads
    assert taker.stop()
    publisher.publish(String(data='late'))
    ros.spin(0.3)
    assert words == sent and not errors


def test_an_exception_ends_it_and_is_told(ros):
    def received(_data, _info):
        raise ValueError('this one is bad')

    taker, publisher, errors = start(ros, received)
    publisher.publish(String(data='word'))
    ros.until(lambda: errors)
    assert isinstance(errors[0], ValueError)
    assert taker.stop() and len(errors) == 1


def test_a_subscription_with_events_is_refused(ros):
    subscription = ros.node.create_subscription(String, '/words', print, 10, raw=True)
    with pytest.raises(ValueError, match='/words has events'):
        Taker(ros.node, subscription, print, print)
