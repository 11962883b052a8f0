# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A latency budget that is set anew while operating points are being timed."""

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy')

from vos_ros.budget.point import OperatingPoint
from vos_ros.nodes import governing
from vos_ros.nodes.governing import Governing


class Node:
    """A node whose operating points are ready when ``open`` is set."""

    budget_parameters = ('latency_budget_ms',)
    scaled_stages = frozenset({'network'})
    heavy_stages = frozenset()

    def __init__(self):
        self.parameters = {'budget_nice': -10, 'nice': 0}
        self.lines = []
        self.open = threading.Event()
        self.entered = threading.Event()
        self.refusal = None
        self.meant = True

    def submit_job(self, job):
        job()

    def operating_points(self, values):
        self.entered.set()
        assert self.open.wait(10)
        if self.refusal:
            raise ValueError(self.refusal)
        return [OperatingPoint('p', 1.0, 1.0)], '', True

    def still_meant(self, best, values):
        return self.meant

    def take_point(self, settings):
        pass

    def get_logger(self):
        return SimpleNamespace(info=self.lines.append, error=self.lines.append,
                               warning=lambda text, **kwargs: None)


@pytest.fixture
def nices(monkeypatch):
    """Give the nice values set."""
    values = []
    monkeypatch.setattr(governing, 'set_nice', values.append)
    return values


def set_budget(governed, value, wait=False):
    governed.prepare({'latency_budget_ms': value}, wait)


def join():
    for thread in threading.enumerate():
        if thread.name == 'operating points':
            thread.join(10)


def test_a_budget_that_is_gone_before_its_turn_takes_no_priority(nices):
    node = Node()
    governed = Governing(node)
    set_budget(governed, 0.0, wait=True)
    set_budget(governed, 50.0)
    assert node.entered.wait(5)
    set_budget(governed, 60.0)
    set_budget(governed, 0.0)
    node.open.set()
    join()
    assert governed.budget_ms == 0
    assert nices[0] == -10 and nices[-1] == governed._nice
    set_budget(governed, 70.0)
    join()
    assert governed.budget_ms == 70 and nices[-1] == -10


def test_what_stays_is_said_when_new_points_cannot_be_made(nices):
    node = Node()
    node.open.set()
    node.refusal = 'lacks the short side 720'
    governed = Governing(node)
    set_budget(governed, 0.0, wait=True)
    set_budget(governed, 40.0)
    join()
    assert node.lines[-1] == 'no latency budget: lacks the short side 720'
    assert nices[-1] == governed._nice
    node.refusal = None
    set_budget(governed, 50.0)
    join()
    node.refusal = 'lacks the short side 720'
    set_budget(governed, 60.0)
    join()
    assert node.lines[-1] == ('no new operating points, 50 ms stay the latency budget: lacks the '
                              'short side 720')
    assert governed.budget_ms == 50 and nices[-1] == -10
    # Unless what stays is another thing than is asked for now, as another working size.
    node.meant = False
    set_budget(governed, 70.0)
    join()
    assert node.lines[-2:] == ['no latency budget: lacks the short side 720',
                               'no latency budget: back to the settings given']
    assert governed.budget_ms == 0 and nices[-1] == governed._nice


def test_a_budget_that_failed_is_told_and_tried_again(nices):
    node = Node()
    node.open.set()
    governed = Governing(node)
    set_budget(governed, 0.0, wait=True)
    node.refusal = 'lacks the short side 720'
    set_budget(governed, 40.0)
    join()
    assert governed.unmet == governed.status()['unmet'] == 'no latency budget: ' + node.refusal
    assert published(governed, 1.0)['unmet'] == governed.unmet
    # Images of another size are another try.
    node.refusal = None
    governed.renew({'latency_budget_ms': 40.0})
    join()
    assert governed.budget_ms == 40 and governed.unmet == ''
    node.refusal, node.meant = 'lacks the short side 720', False
    governed.renew({'latency_budget_ms': 40.0})
    join()
    assert governed.budget_ms == 0 and governed.unmet
    # So is the same value, set again.
    node.refusal = None
    set_budget(governed, 40.0)
    join()
    assert governed.budget_ms == 40 and governed.unmet == ''
    node.refusal = 'lacks the short side 720'
    set_budget(governed, 50.0)
    join()
    set_budget(governed, 0.0)
    assert governed.unmet == '' and governed.status()['unmet'] == 'nothing'


def test_a_try_that_waits_is_made_after_one_that_failed(nices):
    node = Node()
    governed = Governing(node)
    set_budget(governed, 0.0, wait=True)
    node.refusal = 'lacks the short side 720'
    set_budget(governed, 40.0)
    assert node.entered.wait(5)
    # Meanwhile images of another size come.
    governed.renew({'latency_budget_ms': 40.0})
    first = node.operating_points

    def second(values):
        node.refusal = None
        return first(values)

    node.operating_points = second
    node.open.set()
    join()
    assert governed.budget_ms == 40 and governed.unmet == ''
    assert not any('lacks' in line for line in node.lines)


def test_a_priority_that_is_refused_is_told_without_new_points(nices, monkeypatch):
    node = Node()
    node.open.set()
    governed = Governing(node)
    set_budget(governed, 40.0, wait=True)
    monkeypatch.setattr(governing, 'set_nice', lambda nice: f'nice {nice} was refused')
    node.parameters['budget_nice'] = -15
    governed.renew({'latency_budget_ms': 40.0})
    join()
    assert governed.budget_ms == 40
    assert 'nice -15 was refused' in node.lines[-1]


def published(governed, ms):
    return governed.published({'wait': 0.0, 'receive': 1.0, 'network': ms}, ms, ms + 1, True)


def test_counts_go_on_and_the_same_points_are_left_alone(nices):
    node = Node()
    node.open.set()
    governed = Governing(node)
    set_budget(governed, 40.0, wait=True)
    governor = governed.governor
    assert [published(governed, 80.0)['misses'] for _ in range(3)] == [1, 2, 3]
    governed.renew({'latency_budget_ms': 40.0})
    join()
    assert governed.governor is governor
    set_budget(governed, 50.0)
    join()
    assert governed.governor is not governor and published(governed, 80.0)['misses'] == 4
    set_budget(governed, 0.0)
    assert published(governed, 80.0)['misses'] == 4


def test_a_frame_tells_of_the_point_it_ran_at(nices):
    node = Node()
    node.open.set()
    node.operating_points = lambda values: (
        [OperatingPoint('p', 90.0, 90.0), OperatingPoint('q', 10.0, 10.0, given_up=('half',))],
        '', False)
    governed = Governing(node)
    set_budget(governed, 50.0, wait=True)
    seen = []
    while governed.governor.index == 0 and len(seen) < 30:
        seen.append(published(governed, 90.0))
    assert governed.governor.changes == 1
    assert all(not message['given_up'] and message['changes'] == 0 for message in seen)
    assert seen[-1]['misses'] == len(seen)
    after = published(governed, 10.0)
    assert after['given_up'] == ['half'] and after['changes'] == 1
