# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MobileInst: mobile video instance segmentation (arXiv 2303.17594)."""
