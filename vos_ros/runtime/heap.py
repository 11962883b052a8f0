# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What glibc's heap keeps of freed memory, and what it gives back to the system."""

import ctypes
from typing import Any

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# The most that glibc accepts; images above it are mapped anew each time.
_MMAP_THRESHOLD = 32 << 20
_TRIM_THRESHOLD = 256 << 20


def keep_large_blocks() -> bool:
    """Tell glibc to reuse the memory of images; return False where there is no glibc.

    By default every block above 128 KiB..32 MiB may be a fresh mapping, and the kernel clears
    each of its pages on first touch.  For 1080p images that was half of the time between the
    middleware and Python and half of the node's CPU time: 9.6 ms became 2.7 ms.  The price is
    that up to 256 MiB of freed memory stay with the process.
    """
    mallopt = _glibc('mallopt')
    return mallopt is not None and bool(
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)
        and mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD))


def give_back() -> bool:
    """Return the heap's free pages to the system; False where there is no glibc.

    onnxruntime holds a graph's weights several times while it loads.  What it frees then lies
    between what it keeps, and would stay with the process: of the 638 MB after loading XMem's four
    largest graphs 242 were such.
    """
    trim = _glibc('malloc_trim')
    if trim is None:
        return False
    trim(0)
    return True


def _glibc(name: str) -> Any:
    """Return a function of glibc, None where there is none."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
