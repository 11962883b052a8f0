# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What operating points are thought to cost when something else runs while they are timed."""

from dataclasses import replace
import itertools

import pytest

from vos_ros.budget.ladder import input_sizes
from vos_ros.runtime import sizes as module
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.motion import Motion
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.sizes import Sizes


@pytest.fixture
def sizes(tiny_package):
    package = load_package(tiny_package)
    found = Sizes.of(MobileInst(package), package, 1, ('cpu',))
    found.load(input_sizes(package.input_size, 64))
    return found


def timed(sizes):
    wanted = input_sizes(next(iter(sizes._networks)), 64)
    return {cost.size: cost for cost in sizes.time(wanted, rounds=8)}


def test_a_neighbour_that_is_busy_for_a_while_does_not_bend_the_costs(sizes, monkeypatch):
    quiet = timed(sizes)
    real, calls = module._timed, [0]

    def disturbed(call, *arguments):
        # In the first rounds every call is held up, for as long whatever its size.
        value, ms = real(call, *arguments)
        calls[0] += 1
        return value, ms + (500.0 if calls[0] <= 3 * len(quiet) * 5 else 0.0)

    monkeypatch.setattr(module, '_timed', disturbed)
    for size, cost in timed(sizes).items():
        assert max(cost.heavy_ms, cost.light_ms, cost.motion_ms) < 500, size


@pytest.mark.parametrize('ways', ['cached', 'motion'])
def test_what_a_worker_computes_with_is_left_to_it(tiny_package, monkeypatch, ways):
    """Two threads in one search for optical flow end the process."""
    package = load_package(tiny_package)
    sizes = Sizes.of(MobileInst(package, reuse_features=ways), package, 1, ('cpu',))
    wanted = sizes.load(input_sizes(package.input_size, 64))
    searches = [one._reuse for size in wanted for one in (sizes[size], sizes.motion(size))]
    used, real = [], Motion.follow
    monkeypatch.setattr(Motion, 'follow', lambda self, *given: (
        used.append(self), real(self, *given))[1])
    costs = sizes.time(wanted, rounds=2)
    assert len(used) >= 2 * len(wanted)
    assert not any(one is search for one in used for search in searches)
    assert all(cost.light_ms > 0 for cost in costs)


def test_no_size_counts_as_dearer_than_a_larger_one(sizes, monkeypatch):
    real = module._timed
    smallest = min(sizes._networks)

    def disturbed(call, *arguments):
        value, ms = real(call, *arguments)
        return value, ms + (500.0 if arguments[0].shape[:2] == smallest else 0.0)

    monkeypatch.setattr(module, '_timed', disturbed)
    costs = list(timed(sizes).values())
    assert costs[-1].size == smallest
    for larger, smaller in itertools.pairwise(costs):
        assert smaller.heavy_ms <= larger.heavy_ms and smaller.light_ms <= larger.light_ms
        assert smaller.motion_ms <= larger.motion_ms
    assert all(cost.light_ms <= cost.heavy_ms for cost in costs)


def test_timing_at_the_start_takes_about_a_second(sizes, monkeypatch):
    spent = iter([0.0, 0.2, 0.4, 0.6, 0.8, 1.1, 1.2])
    monkeypatch.setattr(module.time, 'monotonic', lambda: next(spent))
    assert sizes.time(input_sizes(next(iter(sizes._networks)), 64))


def test_a_size_is_timed_once(sizes, monkeypatch):
    wanted = input_sizes(next(iter(sizes._networks)), 64)
    first = sizes.costs(wanted[:1])
    times, real = [], sizes.time
    monkeypatch.setattr(sizes, 'time', lambda asked: times.append(asked) or [
        replace(cost, light_ms=3 * cost.light_ms, heavy_ms=3 * first[0].heavy_ms,
                motion_ms=3 * cost.motion_ms) for cost in real(asked)])
    both = sizes.costs(wanted)
    # With a new size the known one is a yardstick for what else was running.
    assert times == [wanted] and both[0] == first[0]
    assert both[1].heavy_ms == pytest.approx(first[0].heavy_ms)
    assert sizes.costs(wanted) == both and sizes.costs(wanted[:1]) == first and len(times) == 1


def test_frames_that_stand_get_the_input_turned(tiny_package):
    package = load_package(tiny_package)
    first = MobileInst(package)
    sizes = Sizes.of(first, package, 1, ('cpu',))
    height, width = first.input_size
    assert height < width
    assert sizes.facing(first, (480, 640)) is first and sizes.facing(first, (480, 480)) is first
    turned = sizes.facing(first, (640, 480))
    assert turned.input_size == (width, height)
    assert sizes.facing(first, (640, 480)) is turned and sizes.facing(turned, (640, 480)) is turned
    assert sizes.facing(turned, (480, 640)) is first
    moved = sizes.facing(sizes.motion(first.input_size), (640, 480))
    assert moved is sizes.motion((width, height))


def test_a_package_of_one_size_is_not_turned(tiny_package):
    package = load_package(tiny_package)
    first = MobileInst(package)

    asked = []

    def refuse(size):
        asked.append(size)
        raise PackageError('made for one size')

    sizes = Sizes(first, refuse)
    assert sizes.facing(first, (640, 480)) is first and sizes.facing(first, (640, 480)) is first
    # Asking again, as every change of the budget does, loads nothing and says nothing.
    assert sizes.load([first.input_size, (64, 64)]) == [first.input_size]
    assert len(sizes.messages) == len(asked) == 1
