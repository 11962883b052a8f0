# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The node's share of busy cores: its nice value, on every thread that it has."""

import contextlib
import os


def set_nice(value: int) -> str | None:
    """Give all threads of this process a nice value; return why it was refused, None when done.

    Linux keeps the value by thread, and new threads inherit it from the one that starts them.
    Lower than 0 needs CAP_SYS_NICE or a limit (`nice` in limits.conf).
    """
    try:
        for thread in os.listdir('/proc/self/task'):
            # A thread may have ended meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, int(thread), value)
    except PermissionError:
        return (f'nice {value} was refused: the user needs CAP_SYS_NICE, or a nice limit of '
                f'{value} in /etc/security/limits.conf')
    return None
