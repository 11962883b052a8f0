# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training recipes (PyTorch)."""
