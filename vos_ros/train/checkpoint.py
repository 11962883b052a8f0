# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a training run: written whole or not at all, read without unpickling code."""

from collections.abc import Mapping
import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write nested dicts and lists of tensors, numbers and texts; replace the file in one move.

    A run that is killed while it writes leaves the previous checkpoint in place.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + '.part')
    torch.save(dict(content), part)
    os.replace(part, target)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint to the CPU (weights_only: tensors and plain values, no objects).

    Raises FileNotFoundError, or ValueError naming the file when it is not a checkpoint.
    """
    target = Path(path)
    if not target.is_file():
        raise FileNotFoundError(f'{target}: no such checkpoint')
    try:
        content = torch.load(target, map_location='cpu', weights_only=True)
    except Exception as error:
        raise ValueError(f'{target}: is not a checkpoint of a training run: {error}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{target}: is not a checkpoint of a training run')
    return content
