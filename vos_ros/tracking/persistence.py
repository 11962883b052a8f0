# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A tracker's state in one file: safetensors with JSON, versioned, hashed, written atomically."""

from collections.abc import Mapping
import contextlib
import hashlib
import json
import os
from pathlib import Path
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray
import safetensors
from safetensors.numpy import save

FORMAT = 1
_KEY = 'vos_ros_memory'


class MemoryFileError(Exception):
    """A saved memory that cannot be used; the message names the file and what is wrong."""


def _digest(arrays: Mapping[str, NDArray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f'\n{name} {values.dtype.str} {values.shape}\n'.encode())
        digest.update(values.data if values.size else b'')
    return digest.hexdigest()


def save_state(path: str | os.PathLike[str], arrays: Mapping[str, NDArray],
               meta: Mapping[str, Any]) -> None:
    """Write arrays and JSON-able values; a reader sees the old file or the whole new one.

    Written beside the target, flushed to the disk, then renamed over it, so that losing the
    process or the power at any moment leaves a usable file.  Raises OSError.
    """
    path = Path(path)
    text = json.dumps(meta, sort_keys=True, separators=(',', ':'))
    arrays = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    content = save(dict(arrays), {_KEY: text, 'format': str(FORMAT),
                                  'sha256': _digest(arrays, text)})
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f'.{path.name}.', suffix='.part', dir=path.parent)
    try:
        with os.fdopen(handle, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    # The rename itself must reach the disk too.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_state(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Read what `save_state` wrote.

    Raises MemoryFileError for a file that is no such file, of another version, or whose hash is
    wrong; FileNotFoundError, and OSError where a file is there that may not be read: nothing is
    known to be wrong with that.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no saved memory there')
    # safetensors says of any file that it cannot open that it is not there.
    path.open('rb').close()
    try:
        with safetensors.safe_open(path, framework='numpy') as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (safetensors.SafetensorError, ValueError) as error:
        raise MemoryFileError(f'{path}: cannot be read: {error}') from error
    if _KEY not in header:
        raise MemoryFileError(f'{path}: is not a saved memory')
    if header.get('format') != str(FORMAT):
        raise MemoryFileError(f'{path}: has format {header.get("format")!r}, this program reads '
                              f'{FORMAT}')
    if header.get('sha256') != _digest(arrays, header[_KEY]):
        raise MemoryFileError(f'{path}: is damaged: its SHA-256 does not match')
    try:
        meta = json.loads(header[_KEY])
    except json.JSONDecodeError as error:
        raise MemoryFileError(f'{path}: its JSON is damaged: {error}') from error
    return arrays, meta
