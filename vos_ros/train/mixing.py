# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The mean of two trainings that went on from each other: often better than either."""

import argparse
from collections.abc import Mapping

import torch
from torch import Tensor


def add_mix(parser: argparse.ArgumentParser) -> None:
    """Declare --mix."""
    parser.add_argument('--mix', nargs=2, metavar=('PACKAGE', 'SHARE'), help='average with the '
                        'weights of another package, which get SHARE (0 to 1): of two trainings '
                        'that went on from each other the mean often generalises better')


def mixed(own: Mapping[str, Tensor], other: Mapping[str, Tensor],
          share: str) -> dict[str, Tensor]:
    """Return the weights `own` averaged with `other`, which get ``share``, a number 0 to 1.

    Both have the same names and shapes.  Raises ValueError naming a share that is none.
    """
    try:
        part = float(share)
    except ValueError:
        part = -1.0
    if not 0 <= part <= 1:
        raise ValueError(f'--mix: SHARE is {share}, must be 0 to 1')
    # Whole numbers are counters, which nothing is the mean of.
    return {name: torch.lerp(value, other[name].to(value), part)
            if value.is_floating_point() else value for name, value in own.items()}
