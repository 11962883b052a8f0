# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which middleware setting loses images, in words that name the cure."""

from collections.abc import Mapping
import os

_PROFILES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def transport_hint(environment: Mapping[str, str] = os.environ) -> str:
    """Return what to change so that images are not lost on the way, '' if nothing is known.

    Fast DDS's default shared-memory segment is 512 KiB, smaller than a VGA image; LARGE_DATA cures
    that, but has no effect where discovery is limited to the local host.
    """
    if environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp') != 'rmw_fastrtps_cpp' \
            or any(environment.get(name) for name in _PROFILES):
        return ''
    if not environment.get('FASTDDS_BUILTIN_TRANSPORTS', '').startswith('LARGE_DATA'):
        return ": set FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA for this node and for the camera's"
    if environment.get('ROS_AUTOMATIC_DISCOVERY_RANGE') == 'LOCALHOST' \
            or environment.get('ROS_LOCALHOST_ONLY') == '1':
        return (': FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA has no effect with discovery limited to '
                'the local host; allow SUBNET, or give Fast DDS a profile with a larger '
                'shared-memory segment (docs/topics.md)')
    return ''
