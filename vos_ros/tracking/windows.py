# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where objects are, and kernels that look for them where they will be.

A kernel ends with the coefficients of a window over the position, by which it tells its object
from others that look alike.  The window lies where the object was on the keyframe; what moves
fast is gone from there by the next one.  So it is moved along, as the object moved before.
"""

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.native import address
from vos_ros.runtime.native import compiled

FloatArray = NDArray[np.float32]

# A way of this share of the input, a quarter of a cell, is not worth the while.
_HARDLY = 0.004


def centres(footprints: NDArray[np.bool_], cells: tuple[int, int],
            size: tuple[int, int]) -> FloatArray:
    """Return the middle of masks as shares of the network's input, row and column: [n, 2].

    footprints: bool [n, h·w] over cells (h, w), the top left part of size (height, width), all
    of the input's cells. An empty mask's is 0.
    """
    inside = footprints.reshape(len(footprints), *cells)
    result = np.empty((len(footprints), 2), np.float32)
    for axis, other in ((0, 2), (1, 1)):
        line = inside.sum(axis=other, dtype=np.float32)
        places = (np.arange(cells[axis], dtype=np.float32) + np.float32(0.5)) / size[axis]
        result[:, axis] = line @ places / np.maximum(line.sum(axis=1), 1)
    return result


def moved(kernels: FloatArray, bands: int, way: FloatArray) -> FloatArray:
    """Return kernels [n, D] with their windows elsewhere.

    bands: of the Fourier waves, whose coefficients are the last 4 · bands numbers of a kernel
    (cos k pi y, sin k pi y, then those of x, k = 1..bands, y and x in 0..1).  way: [n, 2], down
    and right, as shares of the input.  cos k(y - d) by cos ky and sin ky: the addition theorems.
    """
    # A few numbers: plain Python is done before numpy has started.
    if not bands or all(abs(side) < _HARDLY for row in way.tolist() for side in row):
        return kernels
    library = compiled()
    if library is not None:
        result, way = np.array(kernels, np.float32), np.ascontiguousarray(way, np.float32)
        library.vos_ros_move_windows(address(result), *result.shape, bands, address(way))
        return result
    return turned(kernels, bands, way)


def turned(kernels: FloatArray, bands: int, way: FloatArray) -> FloatArray:
    """Do what `moved` does by numpy, whatever the way."""
    turn = np.exp(1j * np.pi * np.arange(1, bands + 1) * way[:, :, None])
    # Cosine and sine as real and imaginary part: [n, 2, bands], y and x.
    window = kernels[:, -4 * bands:].reshape(len(kernels), 2, 2, bands)
    after = (window[:, :, 0] + 1j * window[:, :, 1]) * turn
    return np.concatenate([
        kernels[:, :-4 * bands],
        np.stack([after.real, after.imag], 2).reshape(len(kernels), -1)], 1, dtype=np.float32)
