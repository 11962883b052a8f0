# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which middleware setting loses images, in words that name the cure."""

from collections.abc import Mapping
import os

_PROFILES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')


def transport_hint(environment: Mapping[str, str] = os.environ) -> str:
    """Return what to change so that images are not lost on the way, '' if nothing is known.

    Fast DDS's default shared-memory segment is 512 KiB, smaller than a VGA image.
    """
    if environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp') != 'rmw_fastrtps_cpp' \
            or any(environment.get(name) for name in _PROFILES):
        return ''
    cure = ("start this node and the camera's with FASTDDS_DEFAULT_PROFILES_FILE="
            '<share>/vos_ros/config/fastdds.xml (docs/topics.md)')
    chosen = environment.get('FASTDDS_BUILTIN_TRANSPORTS')
    return f': FASTDDS_BUILTIN_TRANSPORTS={chosen} may be too small; {cure}' if chosen \
        else f': {cure}'
