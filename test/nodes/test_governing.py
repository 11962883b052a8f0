# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A latency budget that is set anew while operating points are being timed."""

import threading
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy')

from vos_ros.nodes import governing
from vos_ros.nodes.governing import Governing


class Node:
    """A node whose operating points are ready when ``open`` is set."""

    budget_parameters = ('latency_budget_ms',)

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
        return [SimpleNamespace(name='p', settings={})], '', True

    def still_meant(self, best, values):
        return self.meant

    def take_point(self, settings):
        pass

    def get_logger(self):
        return SimpleNamespace(info=self.lines.append, error=self.lines.append)


@pytest.fixture
def nices(monkeypatch):
    """Give the nice values set, with a governor that only holds what it is given."""
    values = []
    monkeypatch.setattr(governing, 'set_nice', values.append)
    monkeypatch.setattr(governing, 'Governor', lambda points, budget, limits, timed:
                        SimpleNamespace(points=points, budget_ms=budget, point=points[0]))
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
    assert node.lines[-2:] == ['no latency budget: back to the settings given',
                               'no latency budget: lacks the short side 720']
    assert governed.budget_ms == 0 and nices[-1] == governed._nice
