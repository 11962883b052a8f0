# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""XMem: long-term video object segmentation (ECCV 2022)."""
