# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where memories are saved, and the one that is kept up to date by itself."""

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait
import contextlib
import glob
import os
from pathlib import Path
import time
from typing import Any

from vos_ros.tracking.following import Following
from vos_ros.tracking.persistence import MemoryFileError
from vos_ros.tracking.persistence import save_state

SUFFIX = '.safetensors'
# Seconds for which nobody wrote to the beginnings of a file, so that nobody is going to end it.
_LEFT_OVER = 300.0
# Seconds until what could not be saved is tried again, where nothing is saved by time.
_AGAIN = 10.0
# Seconds after which a user at the end is told what the node waits for.
_QUICK = 2.0


def default_directory() -> Path:
    """Return where memories are kept when nobody says: beside the logs of ROS."""
    return Path(os.environ.get('ROS_HOME') or Path.home() / '.ros') / 'vos_ros'


def path_inside(directory: Path, name: str) -> Path:
    """Return the file that a service request names; raise ValueError for one it may not name.

    A request comes from anybody on the network: it reads and writes in one folder only.
    """
    if not name:
        raise ValueError('the path is empty')
    directory = directory.resolve()
    path = (directory / name).resolve()
    if not path.is_relative_to(directory) or path == directory:
        raise ValueError(f'{name} is not inside the memory_directory {directory}')
    if path.suffix != SUFFIX:
        raise ValueError(f'{name} does not end in {SUFFIX}')
    return path


def _sweep(path: Path) -> None:
    """Delete what processes that were killed while they saved have left, each a whole memory.

    Not what is young: a process that ends may still write its last save while the next one starts.
    """
    for part in path.parent.glob(f'.{glob.escape(path.name)}.*.part'):
        with contextlib.suppress(OSError):
            # One of the future was left before the clock was set back.
            if not 0 <= time.time() - part.stat().st_mtime < _LEFT_OVER:
                part.unlink()


def _free(path: Path) -> Path:
    """Return the path, or with a number behind it if that is there: nothing is written over."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_name(f'{path.name}.{number}')
    return free


class MemoryFile:
    """Keeps a file in step with what is followed.

    The worker's thread takes snapshots; a thread of its own writes them in that order, since a
    slow card must not hold frames up.  With an empty path it does nothing.
    """

    def __init__(
            self, following: Following, path: str, period: Callable[[], float],
            log: Any) -> None:
        """Write nothing yet.  period: seconds between savings, 0 for never by time alone."""
        self.path = Path(path).expanduser().absolute() if path else None
        self._following = following
        self._period = period
        self._log = log
        self._writer = ThreadPoolExecutor(1, thread_name_prefix='memory-writer')
        self._writing: Future | None = None
        self._waiting: list[Any] = []
        self._saved = time.monotonic()
        self.trouble = ''       # why the last saving failed

    def load(self) -> None:
        """Go on from the file, if there is one; a file that cannot be used is put aside.

        Raises OSError when the folder cannot be written, before hours of work are lost to it.
        Raises OSError for a file that may not be read and ValueError for one with more objects
        than max_objects: nothing is wrong with the file, so it stays as it is, and a node that
        went on without it would write over it.
        """
        if self.path is None:
            return
        if self.path.is_dir():
            raise IsADirectoryError(f'memory_path {self.path}: is a folder, a file is needed')
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f'memory_path {self.path}: its folder cannot be made: {error}') from None
        if not os.access(self.path.parent, os.W_OK):
            raise PermissionError(f'memory_path {self.path}: the folder cannot be written')
        _sweep(self.path)
        try:
            self._following.load(self.path)
        except FileNotFoundError:
            self._log.info(f'no memory yet at {self.path}; it will be saved there')
        except MemoryFileError as error:
            aside = _free(self.path.with_name(self.path.name + '.refused'))
            os.replace(self.path, aside)
            self._log.error(f'{error}; put aside as {aside.name}, starting without objects')
        else:
            ids = ', '.join(str(obj) for obj in self._following.ids) or 'none'
            self._log.info(f'memory loaded from {self.path}; objects followed: {ids}')

    def changed(self) -> None:
        """Save now: objects came or went.  Worker's thread.  Says in the log when it cannot."""
        if self.path is None:
            return
        try:
            self._save_next(self.path)
        except Exception as error:      # what was changed is changed all the same
            self._failed(self.path, error)

    def _save_next(self, path: Path) -> None:
        self._saved = time.monotonic()
        # Where the disk is slower than the changes, one snapshot waits: the newest.  It waits at
        # the end of the row, behind what a service has written, perhaps to this very file.
        if self._writing is not None and self._writing.cancel():
            self._waiting.clear()
        self._waiting = [self._following.tracker.snapshot()]
        self._writing = self._writer.submit(self._keep, path, self._waiting)

    def tick(self) -> None:
        """Save when it is time and the last saving is done.  Worker's thread.

        What could not be saved is tried again until it can: the file still has objects that were
        removed meanwhile, and a start from it would follow them.
        """
        period = self._period() or (_AGAIN if self.trouble else 0.0)
        if self.path is None or not period or time.monotonic() - self._saved < period:
            return
        if not self._following.ids and not self.trouble:
            return
        if self._writing is None or self._writing.done():
            self.changed()

    def write(self, path: Path, replace: bool = True) -> 'Future[int]':
        """Save to a file in the background; the future has its size.  Worker's thread.

        replace: whether a file that is there when its turn comes is written over; if not, the
        future has a FileExistsError.
        """
        snapshot = self._following.tracker.snapshot()
        return self._writer.submit(self._write, path, snapshot, replace)

    def close(self) -> None:
        """Save for the last time; nothing more may be written.  Worker's thread.

        Not waited for until it is done: the interpreter does that at its end, however long it
        takes.
        """
        if self.path is not None and (self._following.ids or self.path.exists()):
            self.changed()
        self._writer.shutdown(wait=False)
        if self._writing is not None and wait([self._writing], _QUICK).not_done:
            self._log.warning(f'still writing {self.path}: the node ends when that is done, and a '
                              'second Ctrl-C would lose what was learnt since the last saving')

    def _keep(self, path: Path, waiting: list[Any]) -> None:
        try:
            self._write(path, waiting.pop())
            self.trouble = ''
        except Exception as error:
            self._failed(path, error)

    def _failed(self, path: Path, error: Exception) -> None:
        self.trouble = f'memory not saved to {path}: {error}'
        self._log.error(self.trouble, throttle_duration_sec=10.0)

    def _write(self, path: Path, snapshot: Any, replace: bool = True) -> int:
        if not replace and path.exists():
            raise FileExistsError(f'{path} exists; set overwrite to replace it')
        _sweep(path)
        save_state(path, *snapshot)
        return path.stat().st_size
