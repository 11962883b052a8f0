# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Trackers: a frame in, tracks and a label map out.  No ROS, no torch."""
