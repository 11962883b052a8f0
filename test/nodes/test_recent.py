# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which labels and tracks of the instance tracker belong to an image that is asked for."""

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from vos_ros.nodes.recent import Recent
from vos_ros.tracking.prompt import PromptError

VALUES = {'ring_frames': 10, 'ring_seconds': 60.0, 'ring_megabytes': 1.0}


class Node:
    def create_subscription(self, *_, **__):
        pass

    def resolve_topic_name(self, name):
        return f'/{name}'


def recent_of(stamps, labelled=()):
    """Return rings of images, labels and tracks; each item tells its place in the sequence."""
    recent = Recent(Node(), VALUES)
    for index, stamp in enumerate(stamps):
        recent.images.put(stamp, f'image {index}', 1)
    for index, stamp in enumerate(labelled):
        recent._labels.put(stamp, f'labels {index}', 1)
        recent._tracks.put(stamp, f'tracks {index}', 1)
    return recent


def test_labels_of_stamp_zero_are_of_no_image():
    recent = recent_of([0, 0, 0], [0])
    moment = recent.moment(0, by_track=False)
    assert (moment.messages, moment.labels, moment.tracks) == (['image 2'], None, None)
    with pytest.raises(PromptError, match='the images have stamp zero'):
        recent.moment(0, by_track=True)


def test_the_newest_image_of_a_stamp_is_taken_where_some_have_none():
    recent = recent_of([0, 10, 20], [0, 10])
    moment = recent.moment(0, by_track=True)
    assert (moment.messages, moment.labels) == (['image 1', 'image 2'], 'labels 1')
    moment = recent.moment(10, by_track=False)
    assert (moment.labels, moment.tracks) == ('labels 1', 'tracks 1')


def test_without_any_labels_their_topic_is_named():
    with pytest.raises(PromptError, match='expected on /instances/labels, 0 are here'):
        recent_of([10, 20]).moment(0, by_track=True)


def test_boxes_and_clicks_go_to_the_newest_image_with_instances_where_there_is_one():
    recent = recent_of([10, 20, 30], [10, 20])
    moment = recent.moment(0, by_track=False, by_instance=True)
    assert (moment.messages, moment.labels) == (['image 1', 'image 2'], 'labels 1')
    # One that is long gone by is not what anybody means by the newest.
    late = recent_of([10, 20, 10 ** 9], [10, 20])
    assert late.moment(0, by_track=False, by_instance=True).messages == ['image 2']
    moment = recent_of([10, 20]).moment(0, by_track=False, by_instance=True)
    assert (moment.messages, moment.labels) == (['image 1'], None)
    moment = recent.moment(0, by_track=False)
    assert (moment.messages, moment.labels) == (['image 2'], None)


def test_labels_that_come_after_the_request_count():
    recent = recent_of([10, 20])
    moment = recent.moment(10, by_track=True)
    assert moment.labels is None
    recent._labels.put(10, 'labels', 1)
    recent._tracks.put(10, 'tracks', 1)
    moment = recent.going_on(moment)
    assert (moment.labels, moment.tracks) == ('labels', 'tracks')


def test_a_moment_goes_on_with_what_came_while_it_waited():
    recent = recent_of([10, 20, 30])
    moment = recent.moment(20, by_track=False)
    assert recent.going_on(moment) == moment
    for stamp in (40, 50):
        recent.images.put(stamp, f'image at {stamp}', 1)
    assert recent.going_on(moment).messages == ['image 1', 'image 2', 'image at 40', 'image at 50']
    # It holds what it began with, also when the ring has nothing of it any more.
    recent.images.frames = 1
    recent.images.put(60, 'image at 60', 1)
    assert recent.going_on(moment).messages == ['image 1', 'image 2', 'image at 60']
