# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Keeping numpy's own thread pool out of the way of the frame that is being computed."""

import os

_BLAS_POOLS = ('OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'BLIS_NUM_THREADS')


def one_blas_thread() -> None:
    """Let numpy's matrix products run on the calling thread; call it before numpy is imported.

    The products of a tracker are small.  Spread over a pool they take longer than on one thread as
    soon as another process wants the cores: 1.3 ms became 15 ms for a keyframe's association on a
    busy two-core machine.  A value that the user has set stays.
    """
    for name in _BLAS_POOLS:
        os.environ.setdefault(name, '1')
