# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MobileInst: mobile video instance segmentation (arXiv 2303.17594)."""

from vos_ros.models.mobileinst.network import build
from vos_ros.models.mobileinst.network import MobileInst
from vos_ros.models.mobileinst.network import MobileInstConfig

__all__ = ['MobileInst', 'MobileInstConfig', 'build']
