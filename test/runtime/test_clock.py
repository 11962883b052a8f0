# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The stage clock: order, sums, windows and percentiles."""

import time

import pytest

from vos_ros.budget.clock import percentile
from vos_ros.budget.clock import StageClock


def test_percentiles_are_measured_values():
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.2, 0.5, 0.61, 0.95, 1)] == [1, 3, 4, 5, 5]
    assert percentile(list(range(1, 101)), 0.95) == 95
    with pytest.raises(ValueError, match='no values'):
        percentile([], 0.5)
    with pytest.raises(ValueError, match='share is 0'):
        percentile([1.0], 0)


def test_stages_in_order_and_added_up():
    clock = StageClock()
    clock.start()
    for name, seconds in (('b', 0.01), ('a', 0.002), ('b', 0.01)):
        with clock.stage(name):
            time.sleep(seconds)
    timings = clock.finish()
    assert list(timings) == ['b', 'a']
    assert timings['b'] >= 20 and 2 <= timings['a'] < timings['b']
    assert clock.summary()['step'].median >= sum(timings.values())


def test_window_and_unfinished_frames():
    clock = StageClock(window=3)
    for _ in range(5):
        clock.start()
        with clock.stage('a'):
            pass
        clock.finish()
    clock.start()
    with pytest.raises(KeyError):
        with clock.stage('broken'):
            raise KeyError
    clock.start()
    clock.finish()
    summary = clock.summary()
    assert summary['a'].count == 3 and summary['step'].count == 3 and 'broken' not in summary
    with pytest.raises(ValueError, match='window is 0'):
        StageClock(0)
