# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which middleware setting loses images, in words that name the cure."""

from collections.abc import Mapping
import os

PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
_BEFORE_FAST_DDS_3 = ('humble', 'iron', 'jazzy')


def profile_variable(environment: Mapping[str, str] = os.environ) -> str:
    """Return the variable from which this distribution's Fast DDS takes its profile.

    The old name still works with Fast DDS 3, which warns of it in every process.
    """
    return PROFILE_VARIABLES[environment.get('ROS_DISTRO', '') in _BEFORE_FAST_DDS_3]


def transport_hint(environment: Mapping[str, str] = os.environ) -> str:
    """Return what to change so that images are not lost on the way, '' if nothing is known.

    Fast DDS's default shared-memory segment is 512 KiB, smaller than a VGA image.
    """
    if environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp') != 'rmw_fastrtps_cpp' \
            or any(environment.get(name) for name in PROFILE_VARIABLES):
        return ''
    cure = (f"start this node and the camera's with {profile_variable(environment)}="
            '<share>/vos_ros/config/fastdds.xml (docs/topics.md)')
    chosen = environment.get('FASTDDS_BUILTIN_TRANSPORTS')
    return f': FASTDDS_BUILTIN_TRANSPORTS={chosen} may be too small; {cure}' if chosen \
        else f': {cure}'
