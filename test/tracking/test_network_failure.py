# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A network that fails once while objects are added: they are not, and all goes on."""

from dataclasses import replace

import numpy as np
import pytest
from random_network import RandomNetwork

from vos_ros.tracking import memory
from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.following import Following
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.prompts import Designated
from vos_ros.tracking.token_store import TokenStore
from vos_ros.tracking.tracks import TrackState

FRAMES = [np.zeros((64, 96, 3), np.uint8)] * 3


def square(obj):
    mask = np.zeros((64, 96), bool)
    mask[10:30, 10 * obj:10 * obj + 10] = True
    return Designated(obj, f'object {obj}', mask, 'mask')


def started(followed):
    network = RandomNetwork()
    following = Following(MemoryTracker(network, MemoryTrackerParams(mem_every=2, short_side=0)))
    following.step(FRAMES[0])
    if followed:
        following.add([square(obj) for obj in followed], FRAMES[:1])
        for frame in FRAMES:
            following.step(frame)
    network.calls.clear()
    return following, network


def every_call(followed, adding, frames):
    """Return the calls that adding makes, each as what `fail` takes."""
    following, network = started(followed)
    following.add(adding, frames)
    return [(name, network.calls[:index].count(name)) for index, name in enumerate(network.calls)]


@pytest.mark.parametrize('count', [1, 3], ids=['newest frame', 'late click'])
@pytest.mark.parametrize('followed', [[], [1], [1, 2]])
def test_whatever_call_fails_nothing_is_added_and_all_goes_on(followed, count):
    adding, frames = [square(4), square(3)], FRAMES[:count]
    calls = every_call(followed, adding, frames)
    assert {name for name, _ in calls} >= {'encode_key', 'encode_value'}
    for call in calls:
        following, network = started(followed)
        network.fail = call
        with pytest.raises(MemoryError):
            following.add(adding, frames)
        assert following.ids == followed, call
        assert [one.id for one in following.listing()] == followed
        network.fail = None
        for _ in range(5):
            result = following.step(FRAMES[0])
            # Nobody saw the new ones, so nobody hears that they are gone.
            assert result.tracks.ids.tolist() == followed, call
        following.add(adding, frames)
        tracks = following.step(FRAMES[0]).tracks
        assert tracks.ids.tolist() == [*followed, 3, 4]
        assert set(tracks.states[-2:].tolist()) <= {TrackState.NEW, TrackState.LOST}


@pytest.mark.parametrize('where', ['prototypes', 'room', 'rows'])
def test_memory_that_runs_out_while_a_frame_is_written_adds_nothing(monkeypatch, where):
    network = RandomNetwork()
    following = Following(MemoryTracker(network, MemoryTrackerParams(
        mem_every=1, short_side=0, working_memory_max_frames=4, working_memory_min_frames=2,
        num_prototypes=8)))
    following.step(FRAMES[0])
    following.add([square(1)], FRAMES[:1])
    for frame in FRAMES[:2]:
        following.step(frame)
    calls = []

    def no_room(*given):
        calls.append(given)
        raise MemoryError('no room')

    target, name = {'prototypes': (memory, 'prototypes_of'), 'room': (TokenStore, 'reserve'),
                    'rows': (TokenStore, 'rewrite')}[where]
    with monkeypatch.context() as patch:
        patch.setattr(target, name, no_room)
        with pytest.raises(MemoryError):
            following.add([square(2)], FRAMES[:1])
    assert calls and following.ids == [1]
    held = following.tracker._core.memory
    assert list(held.store.objects) == held.objects == [1]
    assert held.store.size == held.long_term_size + sum(f.count for f in held.frames)
    for _ in range(6):
        assert following.step(FRAMES[0]).tracks.ids.tolist() == [1]
        assert held.store.size == held.long_term_size + sum(f.count for f in held.frames)
    following.add([square(2)], FRAMES[:1])
    assert following.step(FRAMES[0]).tracks.ids.tolist() == [1, 2]


def test_parameters_stay_where_the_network_fails_before_they_change():
    network, params = RandomNetwork(), MemoryTrackerParams(mem_every=2, short_side=0)
    tracker = MemoryTracker(network, params)
    tracker.late = True
    tracker.step(FRAMES[0], square(1).mask, [1])
    for frame in FRAMES[:2]:
        tracker.step(frame)
    network.fail = 'encode_value', 1
    with pytest.raises(MemoryError):
        tracker.params = replace(params, mem_every=9)
    assert tracker.params == tracker._core.params == params
    tracker.params = replace(params, mem_every=9)
    assert tracker.params == tracker._core.params == replace(params, mem_every=9)


def test_an_object_goes_also_where_there_is_no_memory_for_moving_the_others_tokens(monkeypatch):
    following, _ = started([1])
    following.add([square(2)], FRAMES[:1])
    tracker = following.tracker
    held = tracker._core.memory

    def no_room(*_):
        raise MemoryError('no room')

    with monkeypatch.context() as patch:
        patch.setattr(TokenStore, 'keep', no_room)
        tracker.remove([1])
    assert [info.id for info in tracker.objects] == held.objects == [2]
    assert tracker.step(FRAMES[0]).tracks.ids.tolist() == [1, 2]
    for _ in range(3):
        assert tracker.step(FRAMES[0]).tracks.ids.tolist() == [2]
    # What it alone saw went with the next memory frame.
    assert all(frame.groups for frame in held.frames)
    assert held.store.size == held.long_term_size + sum(f.count for f in held.frames)


def test_a_correction_that_fails_leaves_the_object():
    following, network = started([1, 2])
    network.fail = 'encode_value', 1
    with pytest.raises(MemoryError):
        following.add([square(2)], FRAMES[:1] * 2)
    assert following.ids == [1, 2]
    assert following.step(FRAMES[0]).tracks.ids.tolist() == [1, 2]
