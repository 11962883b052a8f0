# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Quality figures by their standard definitions."""
