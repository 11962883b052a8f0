# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The file that is kept in step with what is followed: a slow disk, a killed process."""

import os
from pathlib import Path
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

from vos_ros.nodes import memory_file
from vos_ros.nodes.memory_file import MemoryFile
from vos_ros.tracking.persistence import load_state
from vos_ros.tracking.persistence import MemoryFileError
from vos_ros.tracking.persistence import save_state

# A disk that takes a second for a save, and what a node's stop() does.
ENDING = """
import sys, time
from types import SimpleNamespace
from vos_ros.nodes import memory_file
from vos_ros.nodes.worker import Worker

def slow(path, text):
    time.sleep(1.0)
    path.write_text(text)

memory_file.save_state = slow
memory_file._QUICK = 0.1
texts = iter(('first', 'last'))
following = SimpleNamespace(
    ids=[1], tracker=SimpleNamespace(snapshot=lambda: (next(texts),)))
log = SimpleNamespace(warning=print)
file = memory_file.MemoryFile(following, sys.argv[1], lambda: 0.0, log)
worker = Worker(lambda frame: None, print)
worker.start()
worker.call(file.changed).result()
worker.stop(file.close)
"""


class Log:
    def __init__(self):
        self.lines = []

    def info(self, text, **_):
        self.lines.append(text)

    error = warning = info


class Arrays:
    def __init__(self, number):
        self.number = number


class Tracked:
    """What is followed, as MemoryFile sees it; every snapshot has its number."""

    def __init__(self):
        self.ids = [1]
        self.tracker = self
        self.taken = 0
        self.broken = False
        self.kept = weakref.WeakSet()

    def snapshot(self):
        self.taken += 1
        arrays = Arrays('broken' if self.broken else self.taken)
        self.kept.add(arrays)
        return (arrays,)


class Disk:
    """A disk that writes one snapshot for each ``go``."""

    def __init__(self, monkeypatch):
        self.written = []
        self.busy, self.go = threading.Semaphore(0), threading.Semaphore(0)
        monkeypatch.setattr(memory_file, 'save_state', self._save)

    def _save(self, path, arrays):
        self.busy.release()
        assert self.go.acquire(timeout=10)
        if arrays.number == 'broken':
            raise ValueError('cannot be written')
        path.write_text(str(arrays.number))
        self.written.append((path.name, arrays.number))


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def made(path):
    tracked, log = Tracked(), Log()
    return MemoryFile(tracked, str(path), lambda: 0.1, log), tracked, log


def test_a_folder_that_cannot_be_made_is_told_with_the_parameter(tmp_path):
    (tmp_path / 'file').write_text('')
    path = tmp_path / 'file' / 'memory.safetensors'
    file, _, _ = made(path)
    with pytest.raises(OSError, match=rf'memory_path {path}: its folder cannot be made'):
        file.load()


def test_the_last_save_is_waited_for_however_long_it_takes(tmp_path):
    path = tmp_path / 'memory.safetensors'
    path.write_text('old')
    began = time.monotonic()
    done = subprocess.run([sys.executable, '-c', ENDING, str(path)], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert f'still writing {path}' in done.stdout
    assert path.read_text() == 'last'
    assert time.monotonic() - began > 2.0


def test_one_snapshot_waits_and_the_newest_is_written_last(disk, tmp_path):
    path = tmp_path / 'memory.safetensors'
    file, tracked, _ = made(path)
    file.changed()
    assert disk.busy.acquire(timeout=5)
    for _ in range(20):
        file.changed()
    assert sorted(arrays.number for arrays in tracked.kept) == [1, 21]
    file.tick()
    assert tracked.taken == 21, 'the last saving is not done'
    disk.go.release(2)
    file._writing.result(5)
    assert disk.written == [(path.name, 1), (path.name, 21)]


def test_a_save_on_request_is_written_in_its_turn(disk, tmp_path, monkeypatch):
    path = tmp_path / 'memory.safetensors'
    file, _, log = made(path)
    file.changed()
    assert disk.busy.acquire(timeout=5)
    file.changed()
    asked = file.write(path)
    other = file.write(tmp_path / 'other.safetensors')
    file.changed()
    file.changed()
    monkeypatch.setattr(memory_file, '_QUICK', 0.0)
    file.close()
    assert f'still writing {path}' in log.lines[-1]
    disk.go.release(9)
    assert (asked.result(5), other.result(5)) == (1, 1), 'bytes'
    file._writing.result(5)
    # Nothing older comes after the newest, whoever asked for it.
    assert disk.written == [(path.name, 1), (path.name, 3), ('other.safetensors', 4),
                            (path.name, 7)]


def test_what_cannot_be_written_is_said_once_and_the_next_one_is(disk, tmp_path):
    file, tracked, log = made(tmp_path / 'memory.safetensors')
    disk.go.release(3)
    tracked.broken = True
    file.changed()
    file._writing.result(5)
    assert len(log.lines) == 1 and 'memory.safetensors: cannot be written' in log.lines[0]
    with pytest.raises(ValueError, match='cannot be written'):
        file.write(tmp_path / 'other.safetensors').result(5)
    tracked.broken = False
    file.changed()
    file._writing.result(5)
    assert disk.written == [('memory.safetensors', 3)]


@pytest.mark.parametrize('period', [0.1, 0.0])
def test_what_could_not_be_saved_is_tried_again_when_no_object_is_left(
        disk, tmp_path, monkeypatch, period):
    monkeypatch.setattr(memory_file, '_AGAIN', 0.1)
    tracked = Tracked()
    tracked.ids, tracked.broken = [], True
    file = MemoryFile(tracked, str(tmp_path / 'memory.safetensors'), lambda: period, Log())
    disk.go.release(4)
    file.changed()      # the last object was removed
    file._writing.result(5)
    tracked.broken = False
    file.tick()
    assert not disk.written and file.trouble, 'too early'
    for _ in range(3):
        time.sleep(0.12)
        file.tick()
        file._writing.result(5)
    assert disk.written == [('memory.safetensors', 2)] and not file.trouble


def test_what_killed_processes_left_of_a_file_goes_when_it_is_saved(disk, tmp_path):
    old, young, other = (tmp_path / f'.{name}.part' for name in (
        'a.safetensors.old', 'a.safetensors.young', 'b.safetensors.old'))
    for part in (old, young, other):
        part.write_text('half')
        if part != young:
            os.utime(part, (0, 0))
    file, _, _ = made(tmp_path / 'memory.safetensors')
    disk.go.release()
    file.write(tmp_path / 'a.safetensors').result(5)
    assert [part.exists() for part in (old, young, other)] == [False, True, True]


def test_what_killed_processes_left_is_deleted_at_the_start(tmp_path):
    path = tmp_path / 'memory[1].safetensors'
    now = time.time()
    ages = {f'.{path.name}.aaaa.part': 3600, f'.{path.name}.bbbb.part': -3600,
            f'.{path.name}.young.part': 1, '.memory1.safetensors.cccc.part': 3600,
            '.other.safetensors.dddd.part': 3600, f'.{path.name}.eeee.parts': 3600}
    for name, age in ages.items():
        (tmp_path / name).write_text('half')
        os.utime(tmp_path / name, (now - age, now - age))
    (tmp_path / f'.{path.name}.folder.part').mkdir()
    os.utime(tmp_path / f'.{path.name}.folder.part', (0, 0))
    file, tracked, log = made(path)

    def load(given):
        raise FileNotFoundError(given)

    tracked.load = load
    file.load()
    assert 'no memory yet' in log.lines[0]
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == set(ages) - {f'.{path.name}.aaaa.part', f'.{path.name}.bbbb.part'} | {
        f'.{path.name}.folder.part'}


def test_every_memory_that_was_put_aside_is_kept(tmp_path):
    path = tmp_path / 'memory.safetensors'
    for content in ('first', 'second', 'third'):
        path.write_text(content)
        file, tracked, log = made(path)

        def load(given):
            raise MemoryFileError(f'{given}: was saved with another network')

        tracked.load = load
        file.load()
        assert 'put aside as memory.safetensors.refused' in log.lines[-1]
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {
        f'{path.name}.refused': 'first', f'{path.name}.refused.2': 'second',
        f'{path.name}.refused.3': 'third'}


def test_a_memory_that_may_not_be_read_ends_the_start_and_stays(tmp_path, monkeypatch):
    path = tmp_path / 'memory.safetensors'
    save_state(path, {'rows': np.zeros(3, np.float32)}, {'a': 1})
    file, tracked, _ = made(path)
    tracked.load = load_state
    real = Path.open

    def locked(self, *given, **more):
        # What a file of root's does to others; tests may run as root.
        if self == path:
            raise PermissionError(13, 'Permission denied', str(self))
        return real(self, *given, **more)

    monkeypatch.setattr(Path, 'open', locked)
    with pytest.raises(PermissionError, match=r'memory\.safetensors'):
        file.load()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_memory_of_too_many_objects_ends_the_start_and_stays(tmp_path):
    path = tmp_path / 'memory.safetensors'
    path.write_text('three objects')
    file, tracked, _ = made(path)

    def load(given):
        raise ValueError(f'{given}: has 3 objects, max_objects is 2')

    tracked.load = load
    with pytest.raises(ValueError, match='max_objects is 2'):
        file.load()
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == 'three objects'


def test_a_folder_is_no_file_to_save_to(tmp_path):
    file, _, _ = made(tmp_path)
    with pytest.raises(IsADirectoryError, match='is a folder, a file is needed'):
        file.load()


def test_what_must_not_be_replaced_is_looked_for_when_it_is_written(disk, tmp_path):
    file, _, _ = made(tmp_path / 'memory.safetensors')
    path = tmp_path / 'kitchen.safetensors'
    first, second, third = file.write(path, False), file.write(path, False), file.write(path, True)
    disk.go.release(2)
    assert first.result(5)
    with pytest.raises(FileExistsError, match='set overwrite to replace it'):
        second.result(5)
    assert third.result(5) and path.read_text() == '3'


def test_a_save_that_fails_is_trouble_until_one_does_not(disk, tmp_path):
    file, tracked, log = made(tmp_path / 'memory.safetensors')
    disk.go.release(2)
    tracked.broken = True
    file.changed()
    file._writing.result(5)
    assert 'cannot be written' in file.trouble
    tracked.broken = False
    file.changed()
    file._writing.result(5)
    assert not file.trouble

    def no_room():
        raise MemoryError('no room for a copy')

    tracked.snapshot = no_room
    file.changed()          # what was changed is changed all the same
    assert 'no room for a copy' in file.trouble and 'no room for a copy' in log.lines[-1]
