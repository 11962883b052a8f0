# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Prompts: what becomes of each kind, what is refused and in which words."""

import cv2
import numpy as np
import pytest

from vos_ros.tracking.objects import ObjectInfo
from vos_ros.tracking.objects import ObjectTable
from vos_ros.tracking.prompt import Prompt
from vos_ros.tracking.prompt import PromptError
from vos_ros.tracking.prompt import Scene
from vos_ros.tracking.prompts import Identities
from vos_ros.tracking.prompts import resolve

HEIGHT, WIDTH = 150, 200


@pytest.fixture
def picture():
    """A disc at (130, 70), radius 30, on a textured ground; and where it is."""
    noise = np.random.default_rng(4).normal(0, 8, (HEIGHT, WIDTH, 3))
    image = np.full((HEIGHT, WIDTH, 3), (70, 110, 60), np.float64)
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(truth, (130, 70), 30, 1, -1)
    image[truth > 0] = (200, 60, 40)
    return np.clip(image + noise, 0, 255).astype(np.uint8), truth > 0


def table(*followed, used=()):
    objects = ObjectTable()
    for obj in (*used, *followed):
        objects.add(ObjectInfo(obj))
    for obj in used:
        objects.remove(obj)
    return objects


def take(scene, *prompts, objects=None, most=8, replace=False):
    objects = objects or table()
    return resolve(prompts, scene, Identities(
        objects.ids, most, objects.check_new, objects.new_ids), replace)


def iou(a, b):
    return np.count_nonzero(a & b) / np.count_nonzero(a | b)


def test_a_mask_is_taken_as_it_is(picture):
    image, truth = picture
    for mask in (truth, truth.astype(np.uint8) * 255, truth.astype(np.uint16) * 900):
        (taken,) = take(Scene(image), Prompt('ball', mask=mask))
        assert (taken.id, taken.name, taken.method) == (1, 'ball', 'mask')
        assert np.array_equal(taken.mask, truth)


def test_a_polygon_is_filled(picture):
    image, _ = picture
    (taken,) = take(Scene(image), Prompt(polygon=[10, 20, 39, 20, 39, 59, 10, 59]))
    rows, columns = np.nonzero(taken.mask)
    assert taken.method == 'polygon'
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 59, 10, 39)
    assert taken.mask.sum() == 40 * 30


def test_a_box_cuts_the_object_out_of_its_ground(picture):
    image, truth = picture
    (taken,) = take(Scene(image), Prompt(box=[98, 38, 163, 103]))
    assert taken.method == 'grabcut'
    assert iou(taken.mask, truth) > 0.9
    box_alone = np.zeros_like(truth)
    box_alone[38:103, 98:163] = True
    assert iou(taken.mask, truth) > iou(box_alone, truth) + 0.1


def test_the_same_box_gives_the_same_mask(picture):
    image, _ = picture
    masks = [take(Scene(image), Prompt(box=[98, 38, 163, 103]))[0].mask for _ in range(2)]
    assert np.array_equal(*masks)


def test_a_box_over_the_whole_image_works(picture):
    image, _ = picture
    (taken,) = take(Scene(image), Prompt(box=[0, 0, WIDTH, HEIGHT]))
    assert taken.mask.any()


def test_a_box_on_flat_ground_is_taken_as_the_box():
    flat = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    (taken,) = take(Scene(flat), Prompt(box=[20, 30, 60, 80]))
    assert taken.method == 'box'
    assert taken.mask.sum() == 40 * 50 and taken.mask[30:80, 20:60].all()


def test_a_box_round_an_object_before_its_own_colour():
    """The middle of the box tells then, which its surroundings cannot."""
    rng = np.random.default_rng(3)
    image = np.full((HEIGHT, WIDTH, 3), (200, 60, 40), np.uint8)
    image[40:100, 60:120] = (70, 110, 60)
    truth = cv2.circle(np.zeros((HEIGHT, WIDTH), np.uint8), (90, 70), 29, 1, -1) > 0
    image[truth] = (200, 60, 40)
    image = np.clip(image + rng.integers(-12, 13, image.shape), 0, 255).astype(np.uint8)
    (taken,) = take(Scene(image), Prompt(box=[60, 40, 120, 100]))
    assert taken.method == 'grabcut'
    assert iou(taken.mask, truth) > 0.9


def test_a_click_finds_the_object_around_it(picture):
    image, truth = picture
    (taken,) = take(Scene(image), Prompt(points=[130, 70]))
    assert taken.method == 'grabcut'
    assert iou(taken.mask, truth) > 0.8


def test_a_negative_point_takes_its_region_away():
    image = np.full((HEIGHT, WIDTH, 3), (70, 110, 60), np.uint8)
    image[50:100, 40:95] = (200, 60, 40)
    image[50:100, 105:160] = (200, 60, 40)
    box = [35, 45, 165, 105]
    (both,) = take(Scene(image), Prompt(box=box))
    (left,) = take(Scene(image), Prompt(
        box=box, points=[60, 75, 130, 75], point_labels=[1, 0]))
    assert both.mask[75, 60] and both.mask[75, 130]
    assert left.mask[75, 60] and not left.mask[75, 130]
    assert left.method == 'grabcut'


def test_instances_come_before_colours(picture):
    image, truth = picture
    labels = np.where(truth, 7, 0).astype(np.uint16)
    labels[:20, :30] = 9
    scene = Scene(image, labels, {7: 'ball'})
    for prompt in (Prompt(box=[100, 40, 161, 101]), Prompt(points=[130, 70, 140, 80]),
                   Prompt(points=[130, 70, 5, 5], point_labels=[1, 0])):
        (taken,) = take(scene, prompt)
        assert taken.method == 'instance'
        assert np.array_equal(taken.mask, truth)
    # A box that only touches the instance, and points on two of them, mean something else.
    assert take(scene, Prompt(box=[90, 40, 120, 110]))[0].method != 'instance'
    assert take(scene, Prompt(points=[130, 70, 5, 5]))[0].method == 'grabcut'
    assert take(scene, Prompt(box=[100, 40, 161, 101], points=[130, 70], point_labels=[0])
                )[0].method != 'instance'


def test_a_track_id_takes_mask_and_name_of_the_instance(picture):
    image, truth = picture
    scene = Scene(image, np.where(truth, 7, 0).astype(np.uint16), {7: 'sports', 8: 'person'})
    (taken,) = take(scene, Prompt(track_id=7))
    assert (taken.name, taken.method) == ('sports', 'track')
    assert np.array_equal(taken.mask, truth)
    assert take(scene, Prompt('mine', track_id=7))[0].name == 'mine'
    with pytest.raises(PromptError, match='track 8 is not visible in this image; visible are: 7'):
        take(scene, Prompt(track_id=8))
    with pytest.raises(PromptError, match='track 5 is unknown in this image'):
        take(scene, Prompt(track_id=5))
    with pytest.raises(PromptError, match='track 7 is unknown: no labels'):
        take(Scene(image), Prompt(track_id=7))
    with pytest.raises(PromptError, match='labels are 50x50, the image is 200x150'):
        take(Scene(image, np.zeros((50, 50), np.uint16)), Prompt(track_id=7))


@pytest.mark.parametrize(('prompt', 'words'), [
    (Prompt(), 'object 0: has no mask, box, points, polygon or track_id'),
    (Prompt('x', box=[1, 1, 9, 9], track_id=3), r"object 0 \('x'\): has box and track_id"),
    (Prompt(mask=np.ones((9, 9), bool)), 'mask is 9x9, the image is 200x150'),
    (Prompt(mask=np.ones((HEIGHT, WIDTH, 1), bool)), 'mask has 3 dimensions'),
    (Prompt(mask=np.zeros((HEIGHT, WIDTH), bool)), 'mask is empty'),
    (Prompt(box=[1, 2, 3]), 'box has 3 numbers, must have 4'),
    (Prompt(box=[10, 10, 300, 50]), 'is not inside the image of 200x150'),
    (Prompt(box=[-1, 10, 30, 50]), 'is not inside'),
    (Prompt(box=[float('nan'), 10, 30, 50]), 'is not inside'),
    (Prompt(box=[50, 10, 30, 50]), 'smaller than a pixel'),
    (Prompt(points=[1, 2, 3]), 'points has 3 numbers, must have an even number'),
    (Prompt(points=[10, 10, 10, 150.5]), r'has \(10, 150.5\) as number 1, outside'),
    (Prompt(points=[float('inf'), 10]), 'outside the image'),
    (Prompt(points=[10, 10], point_labels=[1, 0]), 'it has 1 points and 2 point_labels'),
    (Prompt(points=[10, 10], point_labels=[3]), 'point_labels are not all 0 or 1'),
    (Prompt(points=[10, 10], point_labels=[0]), 'none of its points is on the object'),
    (Prompt(box=[1, 1, 9, 9], point_labels=[1]), 'has point_labels without points'),
    (Prompt(polygon=[1, 1, 50, 1]), 'polygon has 2 corners'),
    (Prompt(polygon=[1, 1, 50, 1, 20, -7]), r'has \(20, -7\) as number 2, outside'),
    (Prompt(polygon=[0.0] * 10_001), 'more than 10000'),
    (Prompt(id=70000, box=[1, 1, 9, 9]), 'object id 70000 is outside'),
])
def test_what_cannot_be_taken_is_refused_by_name(picture, prompt, words):
    with pytest.raises(PromptError, match=words):
        take(Scene(picture[0]), prompt)


def test_the_bad_one_of_several_is_named(picture):
    image, truth = picture
    with pytest.raises(PromptError, match=r"object 1 \('second'\): its mask is empty"):
        take(Scene(image), Prompt(mask=truth), Prompt('second', mask=truth & False))
    with pytest.raises(PromptError, match='names no object'):
        take(Scene(image))


def test_identities(picture):
    image, truth = picture
    scene, mask = Scene(image), np.array(truth)
    other = np.roll(mask, -70, axis=1)
    objects = table(2, 4, used=(3,))
    taken = take(scene, Prompt(mask=mask), Prompt(mask=other, id=1), objects=objects)
    # 2 and 4 are followed, 3 was, 1 is asked for: the next free one is 5.
    assert [one.id for one in taken] == [5, 1]
    with pytest.raises(PromptError, match='id 4 is followed already; set replace'):
        take(scene, Prompt(mask=mask, id=4), objects=objects)
    assert take(scene, Prompt(mask=mask, id=4), objects=objects, replace=True)[0].id == 4
    with pytest.raises(PromptError, match='object id 3 was used before'):
        take(scene, Prompt(mask=mask, id=3), objects=objects)
    with pytest.raises(PromptError, match='object 1: id 9 is given to object 0 already'):
        take(scene, Prompt(mask=mask, id=9), Prompt(mask=other, id=9), objects=objects)
    with pytest.raises(PromptError, match='2 new objects beside 2 followed make 4, max_objects '
                                          'is 3'):
        take(scene, Prompt(mask=mask), Prompt(mask=other), objects=objects, most=3)
    # A correction is no object more.
    take(scene, Prompt(mask=mask, id=4), Prompt(mask=other), objects=objects, most=3, replace=True)
    # Nor is it one too many after the number was set lower.
    take(scene, Prompt(mask=mask, id=4), objects=objects, most=1, replace=True)


def test_the_later_mask_lies_on_top(picture):
    image, truth = picture
    half = np.zeros_like(truth)
    half[:, 130:] = True
    below, above = take(Scene(image), Prompt(mask=truth), Prompt(mask=half))
    assert np.array_equal(above.mask, half)
    assert np.array_equal(below.mask, truth & ~half)
    with pytest.raises(PromptError, match='object 0: its mask is covered wholly'):
        take(Scene(image), Prompt(mask=truth & half), Prompt(mask=half))
