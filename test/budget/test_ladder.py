# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Operating points within the user's bounds, and calibrations that are read or refused."""

from dataclasses import replace

import pytest
import yaml

from vos_ros.budget.calibration import CalibrationError
from vos_ros.budget.calibration import read_calibration
from vos_ros.budget.calibration import write_calibration
from vos_ros.budget.ladder import falling
from vos_ros.budget.ladder import input_sizes
from vos_ros.budget.ladder import instance_points
from vos_ros.budget.ladder import memory_points
from vos_ros.budget.ladder import MemoryBounds
from vos_ros.budget.ladder import short_sides
from vos_ros.budget.ladder import SizeCost
from vos_ros.budget.ladder import working_costs

COSTS = [SizeCost((320, 448), 30.0, 35.0), SizeCost((256, 384), 20.0, 24.0),
         SizeCost((192, 256), 10.0, 12.0)]


def test_input_sizes_keep_the_shape_and_the_bound():
    assert input_sizes((320, 448), 128) == [(320, 448), (256, 384), (192, 256), (128, 192)]
    assert input_sizes((448, 320), 192) == [(448, 320), (384, 256), (256, 192)]
    assert input_sizes((320, 448), 320) == input_sizes((320, 448), 1000) == [(320, 448)]
    assert min(min(size) for size in input_sizes((128, 192), 1)) == 64


def test_short_sides_go_down_to_the_bound():
    sides = short_sides(480, 240)
    assert sides[0] == 480 and sides[-1] >= 240 and sides == sorted(sides, reverse=True)
    assert all(side % 16 == 0 for side in sides) and len(sides) == 4
    assert short_sides(480, 480) == [480] and min(short_sides(100, 1)) >= 16


def test_small_things_are_given_up_first():
    costs = [replace(cost, motion_ms=1.0) for cost in COSTS]
    points = instance_points(costs, 3, 12, 0)
    assert [point.name for point in points[:5]] == [
        'T=3 320x448', 'T=3 320x448 motion', 'T=6 320x448', 'T=6 320x448 motion', 'T=3 256x384']
    assert points[1].settings['reuse_features'] == 'motion' and points[1].light_ms == 1.0
    assert points[1].given_up == ('the network between keyframes',)
    # Twelve frames a keyframe only where there is no smaller input.
    assert {p.settings['input_size'] for p in points if p.cadence == 12} == {(192, 256)}


def test_keyframes_are_delayed_only_where_they_may_be():
    costs = [replace(cost, motion_ms=1.0) for cost in COSTS]
    points = instance_points(costs, 3, 6, 0, (False, True))
    assert [(point.name, point.late) for point in points[:4]] == [
        ('T=3 320x448', False), ('T=3 320x448 late', True), ('T=3 320x448 motion', False),
        ('T=3 320x448 motion late', True)]
    assert points[1].settings['late_keyframes'] is True
    assert points[1].given_up == ('keyframes before their frame is published',)
    # Where the user has them late, that is not given up.
    assert all(point.late and 'late_keyframes' not in point.settings and 'late' not in point.name
               for point in instance_points(costs, 3, 6, 0, (True,)))
    assert not any(point.late for point in instance_points(costs, 3, 6, 0))


@pytest.mark.parametrize(('interval', 'most', 'expected'), [
    (3, 12, {3, 6, 12}), (3, 5, {3}), (5, 2, {5}), (1, 4, {1, 2, 4})])
def test_instance_points_stay_within_the_bounds(interval, most, expected):
    points = instance_points(COSTS, interval, most, 2)
    assert {p.settings['reuse_interval'] for p in points} == expected
    assert {p.settings['input_size'] for p in points} == {cost.size for cost in COSTS}
    assert points[0].given_up == () and all(p.given_up for p in points[1:])
    assert points[0].settings == {'input_size': (320, 448), 'reuse_interval': interval}
    assert [p.max_skip for p in points] == [0] * (len(points) - 1) + [2]
    assert instance_points(COSTS, interval, most, 0) == points[:-1]


def test_memory_points_stay_within_the_bounds():
    bounds = MemoryBounds(5, 20, 10, 5, 30, 10, True)
    points = memory_points(COSTS, bounds, 0)
    assert {p.settings['mem_every'] for p in points} == {5, 10, 20}
    assert {p.settings['short_side'] for p in points} == {320, 256, 192}
    assert {p.settings.get('top_k', 30) for p in points} == {30, 10}
    assert points[0].given_up == () and points[-1].settings['working_memory_max_frames'] == 6
    assert 'working_memory_max_frames 10 -> 6' in points[-1].given_up
    assert points[-1].settings['read_long_term'] is False
    # The size goes first: it costs the least.
    assert [p.settings['short_side'] for p in points[:4]] == [320, 256, 192, 192]
    assert [p.settings['mem_every'] for p in points[:5]] == [5, 5, 5, 10, 20]
    # What may not be changed is left alone.
    tight = memory_points(COSTS, replace(
        bounds, working_memory_max_frames=6, min_top_k=30, long_term=False), 0)
    assert all(set(p.settings) == {'short_side', 'mem_every'} for p in tight)


def test_writing_the_memory_is_what_comes_late():
    points = memory_points([SizeCost((320, 320), 30.0, 48.0), SizeCost((256, 256), 20.0, 19.0)],
                           MemoryBounds(5, 5, 10, 5, 30, 30, False), 0)
    assert [(p.light_ms, p.heavy_ms, p.late) for p in points[:2]] == [
        (30.0, 18.0, True), (20.0, 1.0, True)]


@pytest.mark.parametrize(('side', 'expected'), [
    (480, [(320, 30.0), (256, 20.0), (192, 10.0)]), (320, [(320, 30.0), (256, 20.0), (192, 10.0)]),
    (256, [(256, 20.0), (192, 10.0)]), (128, [(192, 10.0 * (128 / 192) ** 2)])])
def test_sizes_above_the_images_are_one(side, expected):
    found = working_costs(COSTS, side)
    assert [(min(cost.size), cost.light_ms) for cost in found] == expected
    assert found[0].heavy_ms / found[0].light_ms == pytest.approx(
        COSTS[-len(found)].heavy_ms / COSTS[-len(found)].light_ms)


def test_what_is_given_up_is_the_size_of_the_images():
    costs = working_costs([SizeCost((144, 144), 3.0, 4.0), SizeCost((112, 112), 2.0, 3.0)], 120)
    points = memory_points(costs, MemoryBounds(5, 5, 10, 9, 30, 30, False), 0, 120)
    assert [point.given_up for point in points] == [(), ('short_side 120 -> 112',)]
    assert points[0].settings['short_side'] == 144


def test_a_smaller_size_is_no_dearer():
    assert falling([SizeCost((2, 2), 3.0, 4.0, 1.0), SizeCost((1, 1), 5.0, 2.0, 2.0)])[1] \
        == SizeCost((1, 1), 3.0, 2.0, 1.0)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / 'board.yaml'
    write_calibration(path, COSTS, kind='mobileinst', model='m', digest='d', threads=2,
                      machine='test')
    return path


def test_a_calibration_comes_back_as_it_was_written(written):
    assert read_calibration(written, digest='d', threads=2) == COSTS


@pytest.mark.parametrize(('digest', 'threads'), [('other', 2), ('d', 1)])
def test_a_calibration_of_something_else_is_refused(written, digest, threads):
    with pytest.raises(CalibrationError, match='made for another model or 2 threads'):
        read_calibration(written, digest=digest, threads=threads)


def test_a_calibration_serves_what_it_was_timed_with_and_optical_flow(tmp_path):
    path = tmp_path / 'board.yaml'
    costs = [replace(cost, motion_ms=1.0) for cost in COSTS]
    about = {'kind': 'mobileinst', 'model': 'm', 'digest': 'd', 'threads': 2, 'machine': 'test'}
    write_calibration(path, costs, reuse_features='cached', **about)

    def read(way):
        return read_calibration(path, digest='d', threads=2, reuse_features=way)

    assert read('cached') == costs
    assert read('motion') == [SizeCost(cost.size, 1.0, cost.heavy_ms) for cost in costs]
    with pytest.raises(CalibrationError, match=r'reuse_features cached, not full.*calibrate --re'):
        read('full')
    write_calibration(path, COSTS, reuse_features='motion', **about)
    assert read('motion') == COSTS
    with pytest.raises(CalibrationError, match='reuse_features motion, not cached'):
        read('cached')


@pytest.mark.parametrize('change', [
    {'format': 2}, {'costs': []}, {'costs': [{'height': 1}]}, {'costs': 3},
    {'costs': [{'height': 64, 'width': 64, 'light_ms': -1, 'heavy_ms': 1}]},
    {'costs': [{'height': 'x', 'width': 64, 'light_ms': 1, 'heavy_ms': 1}]}])
def test_a_damaged_calibration_is_refused_by_its_name(written, change):
    written.write_text(yaml.safe_dump({**yaml.safe_load(written.read_text()), **change}))
    with pytest.raises(CalibrationError, match=r'board\.yaml'):
        read_calibration(written, digest='d', threads=2)


@pytest.mark.parametrize('text', ['', '- 1', 'a: [', '\x00'])
def test_what_is_no_calibration_is_refused(tmp_path, text):
    path = tmp_path / 'x.yaml'
    path.write_text(text)
    with pytest.raises(CalibrationError, match=r'x\.yaml: is no calibration'):
        read_calibration(path, digest='d', threads=2)
