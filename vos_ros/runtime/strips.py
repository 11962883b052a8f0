# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Work on the rows of an array, strip by strip, on threads that keep their scratch memory."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
import math
import threading

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class Strips:
    """Threads that share the rows of an array, each with scratch memory of its own."""

    def __init__(self, threads: int = 1) -> None:
        """Start the threads.  Raises ValueError for fewer than one."""
        if threads < 1:
            raise ValueError(f'threads is {threads}, must be at least 1')
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, 'strip') if threads > 1 else None
        self._local = threading.local()

    def run(self, work: Callable[[int, int], None], rows: int, most: int) -> None:
        """Call work(first, end) for strips of at most `most` of the rows, and wait for all."""
        count = self.threads * math.ceil(rows / (self.threads * most))
        bounds = [rows * i // count for i in range(count + 1)]
        strips = [(a, b) for a, b in pairwise(bounds) if b > a]
        # list() lets an exception of a thread through.
        list((map if self._pool is None else self._pool.map)(lambda strip: work(*strip), strips))

    def scratch(self, name: str, *shape: int) -> FloatArray:
        """Return this thread's array of that name; what it held is gone.

        Fresh pages for each strip would cost a fifth of a memory read.
        """
        held: dict[str, FloatArray] = self._local.__dict__
        size = math.prod(shape)
        room = held.get(name)
        if room is None or room.size < size:
            room = held[name] = np.empty(size, np.float32)
        return room[:size].reshape(shape)
