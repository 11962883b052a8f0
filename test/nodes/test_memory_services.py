# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The memory tracker's services where the worker fails, or is busy when a request comes."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from builtin_interfaces.msg import Time
from memory_probe import picture_message
from std_msgs.msg import Header
from vos_ros.msg import ObjectPrompt
from vos_ros.srv import AddObjects

from vos_ros.nodes import images
from vos_ros.nodes.memory_services import _by_instance
from vos_ros.nodes.memory_services import MemoryServices
from vos_ros.nodes.recent import Recent
from vos_ros.nodes.timejump import Timeline
from vos_ros.tracking.following import Followed
from vos_ros.tracking.prompts import Identities
from vos_ros.tracking.tracks import TrackState


class Node:
    service_group = None

    def create_service(self, *_, **__):
        pass

    def get_logger(self):
        return SimpleNamespace(warning=print, error=print)


@pytest.mark.parametrize('error', [RuntimeError('the network failed'), MemoryError('no room'),
                                   ValueError('refused')])
def test_a_failure_tells_who_is_followed_all_the_same(error, tmp_path):
    following = SimpleNamespace(listing=lambda: [Followed(1, 'cup', TrackState.TRACKED, 5)])
    services = MemoryServices(Node(), following, None, None, tmp_path)

    def answer(_request, _response):
        raise error

    reply = services._answered('add_objects', answer, AddObjects.Request(), AddObjects.Response())
    assert not reply.success and str(error) in reply.message
    assert (list(reply.ids), reply.names) == ([1], ['cup'])


def test_which_prompts_are_about_instances():
    box, click = ObjectPrompt(box=[1.0, 1.0, 9.0, 9.0]), ObjectPrompt(points=[4.0, 4.0])
    track, polygon = ObjectPrompt(track_id=3), ObjectPrompt(polygon=[1.0, 1.0, 9.0, 1.0, 9.0, 9.0])
    assert _by_instance([track, polygon]) == (True, True)
    assert _by_instance([box, click]) == (False, True)
    # Drawn on a picture that is not named: the newest.
    assert _by_instance([box, polygon]) == (False, False)
    assert _by_instance([ObjectPrompt()]) == (False, False)


class Busy(Node):
    """A node whose worker is busy when a request comes: `meanwhile` happens before its turn."""

    def __init__(self):
        self.ended, self.meanwhile = [], lambda: None
        self.parameters = {'catch_up_frames': 8}
        self.timeline = Timeline(self, lambda: 0.5, lambda: self.ended.append(True))
        self.recent = Recent(self, {'ring_frames': 3, 'ring_seconds': 60.0,
                                    'ring_megabytes': 10.0, 'time_jump': 0.5})
        self.frames = None
        self.following = SimpleNamespace(
            ids=[], listing=lambda: [], add=self._add,
            identities=lambda: Identities([], 8, lambda obj: None, lambda count: [1]))
        self.services = MemoryServices(self, self.following, self.recent, None, None)

    def create_subscription(self, *_, **__):
        pass

    def resolve_topic_name(self, name):
        return f'/{name}'

    def get_logger(self):
        return SimpleNamespace(warning=print, error=print, info=print)

    def decode(self, message):
        return images.to_rgb(message)

    def _add(self, taken, frames):
        self.frames = [int(frame[0, 0, 0]) for frame in frames]

    def objects_changed(self):
        pass

    async def submit(self, job):
        self.meanwhile()
        return job()

    def show(self, *seconds):
        for second in seconds:
            self.recent.put(picture_message(np.full((40, 60, 3), second, np.uint8), second))

    def add(self, second):
        request = AddObjects.Request(objects=[ObjectPrompt(
            polygon=[5.0, 5.0, 30.0, 5.0, 30.0, 30.0])])
        request.stamp.sec, request.stamp.nanosec = second, 5
        return asyncio.run(self.services._add_asked(request, AddObjects.Response()))


def test_a_request_is_about_the_picture_that_was_there_when_it_came():
    node = Busy()
    node.show(1, 2)
    node.meanwhile = lambda: node.show(3, 4, 5, 6)      # the ring keeps three
    reply = node.add(1)
    assert reply.success, reply.message
    assert reply.header.stamp.sec == 1 and node.frames == [1, 2, 4, 5, 6]
    # What comes only after the request is found at its turn.
    node.meanwhile = lambda: node.show(7)
    assert node.add(7).success and node.frames == [7]
    node.meanwhile = lambda: None
    assert 'no image of stamp 1.000000005 is kept' in node.add(1).message


def test_a_picture_of_a_timeline_that_has_ended_is_refused():
    node = Busy()
    node.show(8, 9)
    for second in (8, 9):
        node.timeline.check(Header(stamp=Time(sec=second)))
    node.meanwhile = lambda: node.show(2)
    assert 'stamps went back' in node.add(9).message
    assert node.ended == [True] and node.frames is None
    # The new timeline's first picture, whose own turn is still to come, ends nothing again.
    node.meanwhile = lambda: None
    assert node.add(2).success and node.frames == [2]
    node.timeline.check(Header(stamp=Time(sec=2)))
    assert node.ended == [True]
