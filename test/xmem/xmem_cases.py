# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where the golden vectors are, and what the tests of XMem share beside fixtures."""

import os
from pathlib import Path

import torch

from vos_ros.models.xmem.config import XMemConfig

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(os.environ.get('VOS_ROS_GOLDEN') or ROOT / '..' / 'shared' / 'golden')
SHIPPED = ROOT / 'weights' / 'xmem-lite'
ABSENT = f'no golden vectors at {GOLDEN}: name their folder by VOS_ROS_GOLDEN'

# A random network of few channels: quick, and nothing like a tracker.
TINY = XMemConfig(key_dim=8, value_dim=16, hidden_dim=8, key_encoder='efficientnet_lite0',
                  value_stem=8, value_widths=(8, 8, 16), value_blocks=(1, 1, 1), fuse_dim=16,
                  up8_dim=16, up4_dim=16, update_dim=16)


def trained_norms(module: torch.nn.Module) -> None:
    """Fill norm statistics as a trained network has them, in place.

    At their defaults norms fold to nothing, and random layers fade to outputs too small to
    compare.
    """
    for child in module.modules():
        if isinstance(child, torch.nn.BatchNorm2d):
            child.running_mean.uniform_(-1, 1)
            child.running_var.uniform_(0.5, 2)
