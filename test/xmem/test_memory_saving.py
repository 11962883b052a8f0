# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A saved memory goes on as if nothing had happened, or is refused; a kill leaves a whole file."""

from dataclasses import replace
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save_file
from test_memory_tracker import block
from test_memory_tracker import frame
from test_memory_tracker import PARAMS
from test_memory_tracker import SIZE
from xmem_cases import ROOT

from vos_ros.models.xmem.runtime import load_torch
from vos_ros.models.xmem.runtime import TorchXMem
from vos_ros.runtime.package import load_package
from vos_ros.runtime.xmem import OnnxXMem
from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.objects import ObjectInfo
from vos_ros.tracking.persistence import load_state
from vos_ros.tracking.persistence import MemoryFileError
from vos_ros.tracking.persistence import save_state
from vos_ros.tracking.tracks import TrackState


def busy(network: Any) -> MemoryTracker:
    """Return a tracker with objects of two ages, one removed, and a long-term memory."""
    tracker = MemoryTracker(network, PARAMS)
    tracker.step(frame(0), block((1, 4, 4), (2, 36, 60)))
    tracker.step(frame(1), block((9, 4, 60)), [ObjectInfo(9, 'mug', 3)])
    for number in range(2, 13):
        tracker.step(frame(number, (80, 96) if number == 4 else SIZE))
        if number == 6:
            tracker.remove([1])
    assert tracker.usage().long_term.elements
    return tracker


@pytest.mark.parametrize('runtime', ['onnxruntime', 'torch'])
def test_round_trip(runtime: str, tiny: Any, tiny_network: Any, tmp_path: Path) -> None:
    network = tiny if runtime == 'onnxruntime' else TorchXMem(tiny_network)
    tracker = busy(network)
    tracker.params = replace(PARAMS, long_term_max_elements=8)
    tracker.step(frame(12))
    fresh = MemoryTracker(network, tracker.params)
    path = tmp_path / 'sub' / 'memory.safetensors'
    tracker.save(path)
    assert fresh.load(path) == tracker.objects
    assert fresh.objects[1].label == 'mug'
    assert fresh.usage() == tracker.usage() and fresh.usage().forgotten
    assert fresh.size_changes == tracker.size_changes > 0
    for number in range(13, 25):
        mask = block((12, 30, 30)) if number == 15 else None
        want, found = tracker.step(frame(number), mask), fresh.step(frame(number), mask)
        assert np.array_equal(want.label_map, found.label_map)
        assert np.array_equal(tracker.probabilities, fresh.probabilities)
        assert np.array_equal(want.tracks.ages, found.tracks.ages)
        assert want.keyframe == found.keyframe
    assert fresh.new_ids() == tracker.new_ids()
    with pytest.raises(ValueError, match='used before'):
        fresh.step(frame(30), block((1, 4, 4)))
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_memory_without_counts_is_read(tiny: Any, tmp_path: Path) -> None:
    arrays, meta = busy(tiny).snapshot()
    del meta['core']['regridded'], meta['core']['memory']['consolidations']
    del meta['core']['memory']['forgotten']
    save_state(tmp_path / 'm', arrays, meta)
    fresh = MemoryTracker(tiny, PARAMS)
    assert len(fresh.load(tmp_path / 'm')) == 2 and not fresh.size_changes


def test_numbers_of_numpy_can_be_saved(tiny: Any, tmp_path: Path) -> None:
    tracker, fresh = MemoryTracker(tiny, PARAMS), MemoryTracker(tiny, PARAMS)
    mask = block((7, 4, 4))
    tracker.step(frame(0), mask, [ObjectInfo(np.unique(mask)[1], 'mug', np.int32(3))])
    tracker.save(tmp_path / 'm')
    assert fresh.load(tmp_path / 'm') == [ObjectInfo(7, 'mug', 3)]


def test_an_object_of_the_last_frame_can_be_saved_and_followed(tiny: Any, tmp_path: Path) -> None:
    tracker, fresh = MemoryTracker(tiny, PARAMS), MemoryTracker(tiny, PARAMS)
    tracker.step(frame(0), block((1, 4, 4)))
    assert tracker.step(frame(1), block((2, 36, 60)), end=True).keyframe
    tracker.save(tmp_path / 'm')
    assert [info.id for info in fresh.load(tmp_path / 'm')] == [1, 2]
    want, found = tracker.step(frame(2)), fresh.step(frame(2))
    assert want.tracks.ids.tolist() == [1, 2]
    assert np.array_equal(want.label_map, found.label_map)
    assert not tracker.step(frame(3), block((1, 4, 4)), end=True).keyframe


def test_a_snapshot_stays_as_it_was(tiny: Any, tmp_path: Path) -> None:
    tracker, fresh = busy(tiny), MemoryTracker(tiny, PARAMS)
    arrays, meta = tracker.snapshot()
    tracker.remove([2])
    tracker.step(frame(20), block((5, 4, 4)))
    save_state(tmp_path / 'memory', arrays, meta)       # as the writer's thread does, later
    assert [info.id for info in fresh.load(tmp_path / 'memory')] == [2, 9]


def test_an_empty_tracker_can_be_saved(tiny: Any, tmp_path: Path) -> None:
    tracker = MemoryTracker(tiny, PARAMS)
    tracker.new_ids(3)
    tracker.save(tmp_path / 'm')
    fresh = MemoryTracker(tiny, PARAMS)
    fresh.step(frame(0), block((1, 4, 4)))
    assert fresh.load(tmp_path / 'm') == []
    assert fresh.step(frame(1)).tracks.states.tolist() == [3]
    assert fresh.new_ids() == [4]


def test_going_back_to_an_older_memory_ends_what_came_after_it(tiny: Any, tmp_path: Path) -> None:
    tracker = MemoryTracker(tiny, PARAMS)
    tracker.step(frame(0), block((1, 4, 4)))
    tracker.save(tmp_path / 'm')
    for number in range(1, 6):
        tracker.step(frame(number), block((2, 36, 60)) if number == 3 else None)
    tracker.load(tmp_path / 'm')
    result = tracker.step(frame(6))
    assert result.tracks.ids.tolist() == [1, 2]
    assert result.tracks.states.tolist() == [1, 3]
    # 1 goes on from the file's frame 0; 2, of frame 3, was followed until 5.
    assert result.tracks.ages.tolist() == [1, 3]
    assert tracker.step(frame(7)).tracks.ids.tolist() == [1]


@pytest.mark.parametrize('gone', ['reset', 'removed'])
def test_what_goes_and_comes_back_between_two_frames_never_went(
        gone: str, tiny: Any, tmp_path: Path) -> None:
    tracker = MemoryTracker(tiny, PARAMS)
    tracker.step(frame(0), block((1, 4, 4)))
    tracker.save(tmp_path / 'm')
    for number in range(1, 4):
        tracker.step(frame(number), block((2, 36, 60)) if number == 2 else None)
    if gone == 'reset':
        tracker.reset()
    else:
        tracker.remove([1, 2])
    tracker.load(tmp_path / 'm')
    result = tracker.step(frame(4))
    assert result.tracks.ids.tolist() == [1, 2]
    assert result.tracks.states[0] != TrackState.REMOVED
    assert result.tracks.states[1] == TrackState.REMOVED
    assert result.tracks.ages.tolist() == [1, 2]


def test_more_objects_than_may_be_followed_are_refused(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / 'm'
    busy(tiny).save(path)
    tracker, other = (MemoryTracker(tiny, replace(PARAMS, max_objects=1)) for _ in range(2))
    for one in (tracker, other):
        one.step(frame(0), block((1, 4, 4)))
    with pytest.raises(ValueError, match='m: holds 2 objects, max_objects is 1'):
        tracker.load(path)
    assert np.array_equal(tracker.step(frame(1)).label_map, other.step(frame(1)).label_map)
    assert tracker.new_ids() == other.new_ids()
    tracker.params = replace(PARAMS, max_objects=2)
    assert len(tracker.load(path)) == 2


def test_a_memory_is_of_a_network_whatever_else_the_package_says(
        tiny: Any, tiny_network: Any, tiny_package: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_package, tmp_path / 'package')
    manifest = tmp_path / 'package' / 'model.yaml'
    manifest.write_text('# measured again\n' + manifest.read_text().replace(
        'figures: {}', 'figures: {J: 75.3}'))
    package = load_package(tmp_path / 'package')
    assert package.figures and package.digest != tiny.digest
    tracker = busy(tiny)
    arrays, meta = tracker.snapshot()
    save_state(tmp_path / 'new', arrays, meta)
    # As files were written that named the whole package.
    save_state(tmp_path / 'old', arrays, {**meta, 'network': package.digest})
    for network in (OnnxXMem(package), load_torch(package)):
        for name in ('new', 'old'):
            assert MemoryTracker(network, PARAMS).load(tmp_path / name) == tracker.objects
    other = MemoryTracker(TorchXMem(tiny_network), PARAMS)
    with pytest.raises(MemoryFileError, match='another network'):
        other.load(tmp_path / 'new')


@pytest.mark.parametrize('changes', [
    {'long_term': False}, {'long_term_max_elements': 8},
    {'working_memory_max_frames': 2, 'working_memory_min_frames': 1}])
def test_what_is_beyond_a_lower_ceiling_goes_in_loading(
        changes: dict[str, Any], tiny: Any, tmp_path: Path) -> None:
    tracker, fresh = busy(tiny), MemoryTracker(tiny, replace(PARAMS, **changes))
    tracker.save(tmp_path / 'm')
    fresh.load(tmp_path / 'm')
    for number in range(13, 25):
        usage = fresh.usage()
        assert usage.allocated_bytes <= usage.ceiling_bytes
        for store in (usage.working, usage.long_term):
            assert store.elements <= store.max_elements
        assert fresh.step(frame(number)).tracks.ids.tolist() == [2, 9]


def spoil(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    arrays, meta = load_state(path)
    if how == 'bit':
        content[-5] ^= 1
    elif how == 'cut':
        del content[-100:]
    elif how == 'empty':
        content.clear()
    elif how == 'other file':
        save_file(load_file(path), path)
        return
    elif how == 'version':
        content = bytearray(bytes(content).replace(b'"format":"1"', b'"format":"7"'))
    elif how == 'network':
        save_state(path, arrays, {**meta, 'network': 'another'})
        return
    elif how == 'tokens':
        save_state(path, {**arrays, 'stored': arrays['stored'][:-1]}, meta)
        return
    elif how == 'objects':
        core = {**meta['core'], 'objects': [2, 5]}
        save_state(path, arrays, {**meta, 'core': core})
        return
    elif how == 'meta':
        save_state(path, arrays, {k: v for k, v in meta.items() if k != 'table'})
        return
    path.write_bytes(content)


@pytest.mark.parametrize(('how', 'message'), [
    ('bit', 'SHA-256'), ('cut', 'cannot be read'), ('empty', 'cannot be read'),
    ('other file', 'not a saved memory'), ('version', 'format'), ('network', 'another network'),
    ('tokens', 'fit together'), ('objects', 'fit together'), ('meta', 'fit together')])
def test_damaged_files_are_refused(how: str, message: str, tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / 'memory.safetensors'
    busy(tiny).save(path)
    spoil(path, how)
    tracker, other = (MemoryTracker(tiny, PARAMS) for _ in range(2))
    for one in (tracker, other):
        one.step(frame(0), block((1, 4, 4)))
    with pytest.raises(MemoryFileError, match=message):
        tracker.load(path)
    assert np.array_equal(tracker.step(frame(1)).label_map, other.step(frame(1)).label_map)


def test_an_absent_file(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match='nothing'):
        MemoryTracker(tiny).load(tmp_path / 'nothing')


def test_killed_while_saving_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / 'memory.safetensors'
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        import numpy as np
        from vos_ros.tracking.persistence import save_state
        n = 0
        while True:
            n += 1
            save_state({str(path)!r}, {{'a': np.full(500_000, n, np.float32)}}, {{'n': n}})
            print(n, flush=True)
    """)
    seen = []
    for wait in (0.0, 0.004, 0.009):
        process = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        arrays, meta = load_state(path)
        assert (arrays['a'] == meta['n']).all()
        seen.append(meta['n'])
    assert min(seen) >= 1


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / 'memory.safetensors'
    save_state(path, {'a': np.zeros(3, np.float32)}, {'n': 1})

    def fail(*_: Any) -> None:
        raise OSError('no space left on device')

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(OSError, match='no space'):
        save_state(path, {'a': np.ones(3, np.float32)}, {'n': 2})
    monkeypatch.undo()
    assert load_state(path)[1] == {'n': 1}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
