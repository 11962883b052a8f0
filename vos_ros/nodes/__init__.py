# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ROS 2 nodes: the only folder that imports rclpy."""
