# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the operating points of a model cost on a board, as a YAML file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from vos_ros.budget.ladder import SizeCost

_FORMAT = 1


class CalibrationError(ValueError):
    """A calibration that cannot be read, or is of another model; the message names the file."""


def write_calibration(path: str | Path, costs: Sequence[SizeCost], *, kind: str, model: str,
                      digest: str, threads: int, machine: str, reuse_features: str = '') -> None:
    """Write costs, largest input first.

    kind, model, digest: of the package.  threads: that it was timed with.  machine: in words.
    reuse_features: what ran between keyframes, '' for a memory tracker.
    OSError when it cannot be written.
    """
    content = {
        'format': _FORMAT, 'kind': kind, 'model': model, 'digest': digest, 'threads': threads,
        'machine': machine, **({'reuse_features': reuse_features} if reuse_features else {}),
        'costs': [{'height': cost.size[0], 'width': cost.size[1],
                   'light_ms': round(cost.light_ms, 3), 'heavy_ms': round(cost.heavy_ms, 3),
                   **({} if cost.motion_ms is None else
                      {'motion_ms': round(cost.motion_ms, 3)})}
                  for cost in costs]}
    file = Path(path).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding='utf-8')


def read_calibration(path: str | Path, *, digest: str, threads: int,
                     reuse_features: str = '') -> list[SizeCost]:
    """Return the costs in a file.

    reuse_features: what runs between keyframes, '' for a memory tracker.  Optical flow is in every
    file; what is given up for it is nothing then, so it comes as the cost of ordinary frames.
    Raises CalibrationError for a file that is none, or of another package, number of threads or
    way between keyframes than given, FileNotFoundError where there is none.
    """
    path = Path(path).expanduser()
    try:
        content: Any = yaml.safe_load(path.read_text(encoding='utf-8'))
        if content['format'] != _FORMAT:
            raise CalibrationError(f'{path}: is of format {content["format"]}, not {_FORMAT}')
        costs = [SizeCost((int(entry['height']), int(entry['width'])), float(entry['light_ms']),
                          float(entry['heavy_ms']),
                          float(entry['motion_ms']) if 'motion_ms' in entry else None)
                 for entry in content['costs']]
        known = content['digest'], content['threads']
        way = content.get('reuse_features', 'cached')
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CalibrationError(f'{path}: is no calibration: {error!r}') from error
    except ValueError as error:
        raise CalibrationError(f'{path}: is no calibration: {error}') from error
    if known != (digest, threads):
        raise CalibrationError(
            f'{path}: was made for another model or {known[1]} threads, not for this one with '
            f'{threads}; make a new one with vos-ros calibrate')
    if not costs or not all(
            min(cost.size) > 0 and all(0 < ms < 1e7 for ms in (
                cost.light_ms, cost.heavy_ms, 1.0 if cost.motion_ms is None else cost.motion_ms))
            for cost in costs):
        raise CalibrationError(f'{path}: costs must be positive milliseconds of input sizes')
    if reuse_features in ('', way):
        return costs
    moved = [SizeCost(cost.size, cost.motion_ms, cost.heavy_ms) for cost in costs
             if cost.motion_ms is not None]
    if reuse_features == 'motion' and len(moved) == len(costs):
        return moved
    raise CalibrationError(
        f'{path}: was made with reuse_features {way}, not {reuse_features}; make a new one with '
        f'vos-ros calibrate --reuse-features {reuse_features}')
