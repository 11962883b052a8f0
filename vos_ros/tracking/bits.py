# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Sets of mask cells as bits, 64 to a word, because association counts them all the time.

A mask of 2240 cells is 35 words.  Counting what two masks share reads those; a matrix product of
masks as floats gives the same numbers but reads 64 times as much.
"""

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]

if hasattr(np, 'bitwise_count'):
    def count(bits: Bits) -> NDArray[np.int64]:
        """Return the number of bits set, summed over the last axis."""
        return np.bitwise_count(bits).sum(axis=-1, dtype=np.int64)
else:  # numpy 1
    _ONES = np.array([bin(value).count('1') for value in range(1 << 16)], np.uint8)

    def count(bits: Bits) -> NDArray[np.int64]:
        """Return the number of bits set, summed over the last axis."""
        return _ONES[np.ascontiguousarray(bits).view(np.uint16)].sum(axis=-1, dtype=np.int64)


def pack(masks: NDArray[np.bool_]) -> Bits:
    """Return masks, bool [n, cells], as bits, uint64 [n, ceil(cells / 64)], zeros behind."""
    n, cells = masks.shape
    octets = np.zeros((n, -(-cells // 64) * 8), np.uint8)
    octets[:, :-(-cells // 8)] = np.packbits(masks, axis=1)
    return octets.view(np.uint64)
