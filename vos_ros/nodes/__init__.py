# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""ROS 2 nodes: the only folder that imports rclpy."""

from vos_ros.budget.threads import one_blas_thread

# Here, because it must come before the first import of numpy in the process of a node.
one_blas_thread()
