# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The latency bound: stage clock, operating points, governor.  Plain Python and numpy."""
