# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Networks in PyTorch, for training and export only."""
