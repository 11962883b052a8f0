# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which labels and tracks of the instance tracker belong to an image that is asked for."""

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from sensor_msgs.msg import Image

from vos_ros.nodes import images
from vos_ros.nodes.recent import Moment
from vos_ros.nodes.recent import Recent
from vos_ros.tracking.prompt import Prompt
from vos_ros.tracking.prompt import PromptError

VALUES = {'ring_frames': 10, 'ring_seconds': 60.0, 'ring_megabytes': 1.0, 'time_jump': 0.5}


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


def test_instances_of_before_stamps_went_back_are_not_of_the_newest_image():
    tenth = 10 ** 8
    # A clip of a second begins anew; the labels of its end are still here.
    stamps = [index * tenth for index in range(1, 9)] + [tenth, 2 * tenth]
    recent = recent_of(stamps, [8 * tenth])
    assert recent.moment(0, by_track=False, by_instance=True).messages == ['image 9']
    with pytest.raises(PromptError, match='no labels of the instance tracker for any image'):
        recent.moment(0, by_track=True)
    recent._labels.put(tenth, 'labels of the second pass', 1)
    moment = recent.moment(0, by_track=False, by_instance=True)
    assert (moment.messages, moment.labels) == (
        ['image 8', 'image 9'], 'labels of the second pass')
    # One image out of order begins nothing.
    recent = recent_of([5 * tenth, 7 * tenth, 6 * tenth], [5 * tenth])
    assert len(recent.moment(0, by_track=False, by_instance=True).messages) == 3


def test_labels_are_read_only_for_prompts_that_may_be_instances():
    message = Image(height=2, width=2, encoding='rgb8', step=6, data=bytes(12))
    moment, recent = Moment(['image'], message, None), recent_of([])
    image = np.zeros((2, 2, 3), np.uint8)
    mask, box = Prompt(mask=np.ones((2, 2))), Prompt(box=(0.0, 0.0, 1.0, 1.0))
    for prompts in ([mask], [Prompt(polygon=(0.0,) * 6)], [box], [mask, Prompt(points=(1, 1))]):
        assert recent.scene(moment, image, prompts).instances is None
    with pytest.raises(PromptError, match=r'labels on /instances/labels: .*rgb8'):
        recent.scene(moment, image, [box, Prompt(track_id=3)])
    moment = Moment(['image'], images.fill(Image(), np.eye(2, dtype=np.uint16), 'mono16'), None)
    assert recent.scene(moment, image, [mask]).instances is None
    assert recent.scene(moment, image, [mask, box]).instances.sum() == 2


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
