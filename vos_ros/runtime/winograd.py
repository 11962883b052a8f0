# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""3x3 convolutions by Winograd's F(4x4, 3x3), in strips of rows that stay in the caches.

A tile of 6 x 6 numbers gives 4 x 4 results by 36 multiplications in place of 144 (Lavin and Gray
2016, "Fast algorithms for convolutional neural networks", section 4.3).  onnxruntime convolves
directly; with its operators the transforms go through memory once for each addition and eat what
is won.  Here a strip of tile rows is transformed, multiplied and transformed back before the next
one begins, on maps whose channels lie together, so every addition runs over whole rows of them.
256 channels at 120 x 216: 0.42 of onnxruntime's time (docs/xmem.md).
"""

import math

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.product import products
from vos_ros.runtime.strips import Strips

FloatArray = NDArray[np.float32]

TILE = 4                # results of a tile, each way
_REACH = TILE + 2       # what they are computed from
_COUNT = _REACH * _REACH
# Tiles that a strip should have, times channels: fewer multiply slower, more leave the caches.
_NUMBERS = 270 * 256
_FILTER = np.array([[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6],
                    [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]])


def blank(height: int, width: int, channels: int) -> FloatArray:
    """Return zeros for a map [height, width, channels] with the border that a convolution reads.

    The map itself is `inside` of it; the border, and what fills up the last tiles, stays zero.
    """
    rows, columns = (TILE * math.ceil(side / TILE) + 2 for side in (height, width))
    return np.zeros((rows, columns, channels), np.float32)


def inside(padded: FloatArray, height: int, width: int) -> FloatArray:
    """Return the map in what `blank` gave, a view [height, width, channels]."""
    return padded[1:height + 1, 1:width + 1]


class Winograd:
    """A convolution 3x3 with stride 1 and a border of zeros.

    weight: float32 [outputs, inputs, 3, 3].  bias: float32 [outputs].
    """

    def __init__(self, weight: FloatArray, bias: FloatArray, strips: Strips) -> None:
        """Transform the weights, in double precision; they take 4 times their room then."""
        outputs, inputs = self.outputs, self.inputs = weight.shape[:2]
        wide = np.einsum('ai,kcij->ajck', _FILTER, weight.astype(np.float64))
        wide = np.einsum('bj,ajck->abck', _FILTER, wide)
        self._weight = np.ascontiguousarray(wide.reshape(_COUNT, inputs, outputs), np.float32)
        self._bias = bias
        self._strips = strips

    def __call__(self, padded: FloatArray, out: FloatArray, *, relu: bool = False,
                 relu_out: bool = False, add: bool = False) -> None:
        """Convolve a map; out [height, width, outputs] may be any view, also `inside` of another.

        padded: the map [height, width, inputs] as in `blank`.  relu: of the map, before.
        relu_out: of the result.  add: to what out holds, in place of over it.
        """
        height, width = out.shape[:2]
        columns = math.ceil(width / TILE)

        def work(first: int, end: int) -> None:
            result = self._strip(padded, first, end, columns, relu)
            last = min(TILE * end, height)
            result = result[:last - TILE * first, :width]
            place = out[TILE * first:last]
            np.add(result, self._bias, out=result)
            if relu_out:
                np.maximum(result, 0, out=result)
            if add:
                np.add(place, result, out=place)
            else:
                place[...] = result

        self._strips.run(work, math.ceil(height / TILE),
                         max(1, _NUMBERS // (columns * max(self.inputs, self.outputs))))

    def _strip(self, padded: FloatArray, first: int, end: int, columns: int,
               relu: bool) -> FloatArray:
        """Convolve tile rows; returns scratch memory [TILE rows, TILE columns, outputs]."""
        scratch, rows = self._strips.scratch, end - first
        _, inputs, outputs = self._weight.shape
        source = padded[TILE * first:TILE * end + 2]
        wide = source.shape[1]
        if relu:
            source = np.maximum(source, 0, out=scratch('relu', *source.shape))
        tall = scratch('tall', _REACH, rows, wide, inputs)
        _forward([source[i:i + TILE * rows:TILE] for i in range(_REACH)], list(tall),
                 scratch('a', rows, wide, inputs), scratch('b', rows, wide, inputs))
        tiles = scratch('tiles', _REACH, _REACH, rows, columns, inputs)
        shape = (_REACH, rows, columns, inputs)
        _forward([tall[:, :, i:i + TILE * columns:TILE] for i in range(_REACH)],
                 [tiles[:, i] for i in range(_REACH)], scratch('a', *shape), scratch('b', *shape))
        found = scratch('found', _REACH, _REACH, rows, columns, outputs)
        many = rows * columns
        products(tiles.reshape(_COUNT, many, inputs), self._weight,
                 found.reshape(_COUNT, many, outputs))
        shape = (_REACH, rows, columns, outputs)
        half = scratch('tall', TILE, *shape)
        _backward([found[:, i] for i in range(_REACH)], list(half), scratch('a', *shape),
                  scratch('b', *shape))
        out = scratch('tiles', rows, TILE, columns, TILE, outputs)
        shape = (TILE, rows, columns, outputs)
        _backward([half[:, i] for i in range(_REACH)],
                  [out[:, i].transpose(2, 0, 1, 3) for i in range(TILE)],
                  scratch('a', *shape), scratch('b', *shape))
        return out.reshape(TILE * rows, TILE * columns, outputs)


def _forward(d: list[FloatArray], out: list[FloatArray], a: FloatArray, b: FloatArray) -> None:
    """Transform six lines of the input into six, along one axis; a and b are scratch."""
    np.multiply(d[2], -4, out=a)
    np.add(a, d[4], out=a)
    np.multiply(d[1], -4, out=b)
    np.add(b, d[3], out=b)
    np.add(a, b, out=out[1])
    np.subtract(a, b, out=out[2])
    np.subtract(d[4], d[2], out=a)
    np.subtract(d[3], d[1], out=b)
    np.subtract(d[0], d[2], out=out[0])
    np.multiply(out[0], 4, out=out[0])
    np.add(out[0], a, out=out[0])
    np.multiply(b, 4, out=out[5])
    np.subtract(d[5], out[5], out=out[5])
    np.subtract(out[5], d[3], out=out[5])
    np.add(b, b, out=b)
    np.add(a, b, out=out[3])
    np.subtract(a, b, out=out[4])


def _backward(m: list[FloatArray], out: list[FloatArray], a: FloatArray, b: FloatArray) -> None:
    """Transform six lines of products into four results, along one axis."""
    np.add(m[1], m[2], out=a)
    np.add(m[3], m[4], out=b)
    np.add(m[0], a, out=out[0])
    np.add(out[0], b, out=out[0])
    np.multiply(b, 4, out=b)
    np.add(a, b, out=out[2])
    np.subtract(m[1], m[2], out=a)
    np.subtract(m[3], m[4], out=b)
    np.multiply(b, 2, out=b)
    np.add(a, b, out=out[1])
    np.multiply(b, 4, out=b)
    np.add(a, b, out=out[3])
    np.add(out[3], m[5], out=out[3])
