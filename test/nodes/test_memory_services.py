# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Replies of the memory tracker's services where the worker fails."""

from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from vos_ros.msg import ObjectPrompt
from vos_ros.srv import AddObjects

from vos_ros.nodes.memory_services import _by_instance
from vos_ros.nodes.memory_services import MemoryServices
from vos_ros.tracking.following import Followed
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
