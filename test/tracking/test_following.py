# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What lies between a late click and the newest frame, and the ring of recent frames."""

from dataclasses import replace

import numpy as np
import pytest

from vos_ros.tracking.following import Following
from vos_ros.tracking.following import spread
from vos_ros.tracking.prompts import Designated
from vos_ros.tracking.stamp_ring import StampRing
from vos_ros.tracking.tracks import TrackState

torch = pytest.importorskip('torch', reason='a random network is exported by torch')


@pytest.fixture(scope='module')
def network(tmp_path_factory):
    from vos_ros.models.xmem.config import XMemConfig
    from vos_ros.models.xmem.export import export_xmem
    from vos_ros.models.xmem.network import XMem
    from vos_ros.runtime.package import load_package
    from vos_ros.runtime.xmem import load_network
    torch.manual_seed(5)
    folder = export_xmem(
        XMem(XMemConfig.lite(value_dim=16, hidden_dim=8)).eval(), tmp_path_factory.mktemp('x'),
        (96, 128), 'tiny', 'Apache-2.0', 'none', keep_weights=False)
    return load_network(load_package(folder))


@pytest.fixture
def following(network):
    from vos_ros.tracking.engine import MemoryTracker
    from vos_ros.tracking.memory_params import MemoryTrackerParams
    return Following(MemoryTracker(network, MemoryTrackerParams(short_side=0, max_objects=3)))


FRAMES = [np.random.default_rng(n).integers(0, 255, (96, 128, 3), np.uint8) for n in range(6)]


def square(obj, left):
    mask = np.zeros((96, 128), bool)
    mask[30:60, left:left + 30] = True
    return Designated(obj, f'object {obj}', mask, 'mask')


def states(result):
    return dict(zip(result.tracks.ids.tolist(), result.tracks.states.tolist(), strict=True))


def test_arrivals_and_departures_between_frames_are_published_once(following):
    following.step(FRAMES[0])
    following.add([square(1, 10), square(2, 60)], FRAMES[:1])
    assert [one.state for one in following.listing()] == [TrackState.NEW] * 2
    shown = states(following.step(FRAMES[1]))
    assert set(shown.values()) <= {TrackState.NEW, TrackState.LOST}
    following.remove([1])
    # The tracker reports the removal on the next frame it sees, which is not published.
    following.add([square(3, 10)], FRAMES[1:2])
    shown = states(following.step(FRAMES[2]))
    assert shown[1] == TrackState.REMOVED and sorted(shown) == [1, 2, 3]
    shown = states(following.step(FRAMES[3]))
    assert sorted(shown) == [2, 3] and TrackState.NEW not in shown.values()


def test_a_late_object_leaves_the_others_where_they_are(network, following):
    """Its journey to the newest frame is another tracker's; the real one sees two frames."""
    following.step(FRAMES[0])
    following.add([square(1, 10)], FRAMES[:1])
    for frame in FRAMES[1:5]:
        following.step(frame)
    age, seen = following.listing()[0].age, following.tracker._core.frame
    following.add([square(2, 60)], FRAMES[1:5])
    assert following.tracker._core.frame == seen + 2
    assert following.listing()[0].age == age, 'ages count published frames'
    assert following.ids == [1, 2]
    objects = {info.id: info for info in following.tracker.objects}
    assert objects[2].label == 'object 2'


def test_a_refused_addition_changes_nothing(following):
    following.step(FRAMES[0])
    following.add([square(1, 10)], FRAMES[:1])
    before = following.listing()
    with pytest.raises(ValueError, match='too many'):
        following.add([square(2, 40), square(3, 70), square(4, 98)], FRAMES[:3])
    assert following.listing() == before


def test_an_object_that_a_memory_brings_back_is_not_reported_removed(following, tmp_path):
    following.add([square(1, 10)], FRAMES[:1])
    following.step(FRAMES[1])
    following.tracker.save(tmp_path / 'm')
    following.remove([1])
    # This frame, which is not published, sees the removal.
    following.add([square(2, 60)], FRAMES[2:3])
    following.load(tmp_path / 'm')
    shown = following.step(FRAMES[3])
    assert shown.tracks.ids.tolist() == [1, 2]
    assert states(shown)[1] != TrackState.REMOVED and states(shown)[2] == TrackState.REMOVED


def test_spread_is_even_bounded_and_keeps_both_ends():
    assert spread(1, 9) == [0]
    assert spread(4, 9) == [0, 1, 2, 3]
    assert spread(31, 4) == [0, 10, 20, 30]
    assert spread(7, 1) == [0, 6]


def test_the_ring_is_bounded_in_every_way():
    ring = StampRing(3, 1.0, 1000)
    assert ring.newest() is None and ring.since(5) == []
    for stamp in (0, 100, 200, 300):
        ring.put(stamp, f'item {stamp}', 10)
    assert ring.stamps() == [100, 200, 300] and ring.held_bytes == 30
    assert ring.since(200) == ['item 200', 'item 300'] and ring.at(300) == 'item 300'
    assert ring.since(0) == [] and ring.at(250) is None
    ring.put(300 + 10 ** 9, 'later', 10)
    assert ring.stamps() == [300, 300 + 10 ** 9]
    ring.put(2 * 10 ** 9, 'large', 5000)
    assert ring.stamps() == [2 * 10 ** 9] and ring.held_bytes == 5000
    assert ring.newest() == (2 * 10 ** 9, 'large')


def test_the_ring_starts_over_with_time():
    ring = StampRing(10, 100.0, 1000)
    for stamp in (50, 60, 70):
        ring.put(stamp, stamp, 1)
    ring.put(65, 65, 1)  # out of order
    assert ring.stamps() == [50, 60, 70, 65]
    ring.put(10, 10, 1)  # another timeline
    assert ring.stamps() == [10]
    ring.clear()
    assert len(ring) == 0 and ring.held_bytes == 0


def test_an_object_is_new_and_of_age_zero_where_it_is_published_first(following):
    following.step(FRAMES[0])
    following.add([square(1, 10)], FRAMES[:1])
    shown = following.step(FRAMES[1]).tracks
    assert shown.ages.tolist() == [0]
    following.add([square(2, 60)], FRAMES[:2])
    shown = following.step(FRAMES[2]).tracks
    assert shown.ages.tolist() == [1, 0]
    assert following.step(FRAMES[3]).tracks.ages.tolist() == [2, 1]


def test_a_loaded_object_is_as_old_as_it_was_before_an_image_comes(following, tmp_path):
    following.add([square(1, 10)], FRAMES[:1])
    for frame in FRAMES[:4]:
        following.step(frame)
    following.tracker.save(tmp_path / 'm')
    following.load(tmp_path / 'm')
    assert [(one.state, one.age) for one in following.listing()] == [(TrackState.LOST, 3)]


def test_the_way_to_the_newest_frame_has_no_bounds_of_its_own(following, monkeypatch):
    """What is small on the way is in view, and what is followed already is no object more."""
    following.step(FRAMES[0])
    following.add([square(1, 10), square(2, 60)], FRAMES[:1])
    following.tracker.params = replace(following.tracker.params, max_objects=1, min_area=0.5)
    given, real = [], following.tracker.step
    monkeypatch.setattr(following.tracker, 'step', lambda image, mask=None, *more, **named: (
        given.append(set(np.unique(mask).tolist()) - {0}),
        real(image, mask, *more, **named))[1])
    following.add([square(1, 20), square(2, 70)], [FRAMES[0]] * 3)
    assert given == [{1, 2}, {1, 2}]
