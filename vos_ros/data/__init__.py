# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Dataset readers and synthetic video."""
