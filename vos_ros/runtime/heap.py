# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Giving freed memory back to the system."""

import ctypes


def give_back() -> bool:
    """Return the heap's free pages to the system; False where there is no glibc.

    onnxruntime holds a graph's weights several times while it loads.  What it frees then lies
    between what it keeps, and would stay with the process: of the 638 MB after loading XMem's four
    largest graphs 242 were such.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    trim(0)
    return True
