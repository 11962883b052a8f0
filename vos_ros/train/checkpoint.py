# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a training run: written whole or not at all, read without unpickling code."""

from collections.abc import Collection
from collections.abc import Mapping
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
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


def restore_optimiser(optimiser: torch.optim.Optimizer, saved: dict[str, Any],
                      configured: Collection[str]) -> None:
    """Load an optimiser's state, but keep what `configured` names of each group as it is.

    ValueError when what is trained is not what was trained when it was saved.
    """
    now = [{key: group[key] for key in configured} for group in optimiser.param_groups]
    try:
        optimiser.load_state_dict(saved)
    except ValueError as error:
        raise ValueError('trains other weights than the configuration: go on with those of then '
                         f'(freeze, auxiliary), or begin anew with --fresh ({error})') from error
    for group, entries in zip(optimiser.param_groups, now, strict=True):
        group.update(entries)


def load_tensors(path: str | os.PathLike[str], packed: bool) -> dict[str, Any]:
    """Read weights by name: of a safetensors file if `packed`, else a checkpoint's averaged ones.

    A file of torch without averaged weights is taken for a plain state_dict.
    Raises OSError, or ValueError naming the file when it is not what it should be.
    """
    if packed:
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f'{path}: is no safetensors file: {error}') from error
    content = load_checkpoint(path)
    return content['ema']['state'] if 'ema' in content else content
