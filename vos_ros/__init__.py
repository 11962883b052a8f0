# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Video object segmentation for ROS 2: instance tracks and followed objects, on a CPU board.

This module stays empty of imports on purpose: ``import vos_ros.msg`` runs it, and so do tools that
only read messages.  Extending the path lets a source checkout and an installed copy with the
generated messages serve one package name.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
