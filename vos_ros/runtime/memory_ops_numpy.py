# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The memories' array work in numpy and onnxruntime, for boards: a block of queries per thread."""

from collections.abc import Sequence
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.memory_ops import ReadGroup
from vos_ros.runtime.product import product
from vos_ros.runtime.strips import Strips

FloatArray = NDArray[np.float32]

# Most queries in one block: similarities of 64 x 26,000 tokens are 6.5 MB, in reach of the caches.
_BLOCK = 64
# Tokens in one bucket of the first selection stage, see top_k.
_BUCKET = 32


class NumpyOps:
    """See `vos_ros.runtime.memory_ops.MemoryOps`.

    threads: worker threads of a read; each multiplies on its own.
    """

    name = 'numpy'

    def __init__(self, threads: int = 1) -> None:
        """Start the workers.  Raises ValueError for fewer than one thread."""
        self.strips = Strips(threads)

    def zeros(self, *shape: int) -> FloatArray:
        """Return float32 zeros; the system gives the pages when they are first written."""
        return np.zeros(shape, np.float32)

    def array(self, values: NDArray) -> NDArray:
        """Return the array itself."""
        return values

    def numpy(self, values: NDArray) -> NDArray:
        """Return the array itself."""
        return values

    def concatenate(self, arrays: Sequence[NDArray]) -> NDArray:
        """Join along the first axis."""
        return np.concatenate(arrays)

    def resize(self, maps: FloatArray, height: int, width: int) -> FloatArray:
        """Resample [n, C, h, w] bilinearly to another grid."""
        count, channels = maps.shape[:2]
        out = np.empty((count, channels, height, width), np.float32)
        for i in range(count):
            for c in range(channels):
                cv2.resize(maps[i, c], (width, height), dst=out[i, c],
                           interpolation=cv2.INTER_LINEAR)
        return out

    def stored(self, key: FloatArray, shrinkage: FloatArray) -> FloatArray:
        """Return the extended vectors of memory keys."""
        count, dim = key.shape
        out = np.empty((count, 2 * dim + 1), np.float32)
        scale = (shrinkage / np.float32(math.sqrt(dim))).reshape(-1, 1)
        np.multiply(key, key, out=out[:, :dim])
        out[:, :dim] *= -scale
        np.multiply(key, 2 * scale, out=out[:, dim:2 * dim])
        out[:, 2 * dim:] = -scale
        return out

    def split(self, stored: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return keys and shrinkages."""
        dim = stored.shape[1] // 2
        scale = -stored[:, 2 * dim:]
        return stored[:, dim:2 * dim] / (2 * scale), scale[:, 0] * np.float32(math.sqrt(dim))

    @staticmethod
    def _asked(key: FloatArray, selection: FloatArray) -> FloatArray:
        count, dim = key.shape
        out = np.empty((count, 2 * dim + 1), np.float32)
        out[:, :dim] = selection
        np.multiply(selection, key, out=out[:, dim:2 * dim])
        np.einsum('qc,qc->q', out[:, dim:2 * dim], key, out=out[:, 2 * dim])
        return out

    def read(self, key: FloatArray, selection: FloatArray, stored: FloatArray,
             groups: Sequence[ReadGroup], top_k: int) -> tuple[list[FloatArray], FloatArray]:
        """Read the memory for queries."""
        asked = self._asked(key, selection)
        queries, tokens = len(asked), len(stored)
        plans = [_Plan(group, queries, tokens, top_k) for group in groups]

        def work(first: int, end: int) -> None:
            block = slice(first, end)
            scores = self.strips.scratch('scores', end - first, tokens)
            product(asked[block], stored, scores)
            for plan in plans:
                plan.read(scores, block)

        self.strips.run(work, queries, _BLOCK)
        lead = plans[0]
        usage = np.bincount(lead.tokens.ravel(), lead.weights.ravel(), tokens)
        return [plan.readout for plan in plans], usage.astype(np.float32)

    def potentiate(self, stored: FloatArray, key: FloatArray, selection: FloatArray,
                   values: Sequence[FloatArray]) -> list[FloatArray]:
        """Fill prototypes from candidates."""
        scores = self._asked(key, selection) @ stored.T
        scores -= scores.max(1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(1, keepdims=True)
        return [scores @ value for value in values]


class _Plan:
    """One group's share of a read: where its tokens, weights and readouts go."""

    def __init__(self, group: ReadGroup, queries: int, tokens: int, top_k: int) -> None:
        self.values = group.values
        self.bias: FloatArray | None = None
        visible = tokens
        if group.allowed is not None:
            visible = int(group.allowed.sum())
            self.bias = np.where(group.allowed, 0, -np.inf).astype(np.float32)
        self.count = min(top_k, visible)
        self.tokens = np.empty((queries, self.count), np.intp)
        self.weights = np.empty((queries, self.count), np.float32)
        self.readout = np.empty((len(group.values), queries, group.values[0].shape[1]),
                                np.float32)

    def read(self, scores: FloatArray, block: slice) -> None:
        if self.bias is not None:
            scores = scores + self.bias
        tokens, best = top_k(scores, self.count)
        best -= best.max(1, keepdims=True)
        np.exp(best, out=best)
        best /= best.sum(1, keepdims=True)
        self.tokens[block], self.weights[block] = tokens, best
        weights = best[:, None]
        for value, readout in zip(self.values, self.readout, strict=True):
            np.matmul(weights, value[tokens], out=readout[block, None])


def top_k(scores: FloatArray, count: int) -> tuple[NDArray[np.intp], FloatArray]:
    """Return the columns and values of the `count` largest numbers of each row, in no order.

    The columns are dealt to buckets.  The `count` largest numbers lie in the `count` buckets of
    largest maxima, so after one vectorised maximum over all numbers only those buckets are
    searched: several times faster than a partition of the whole row.
    """
    rows, columns = scores.shape
    buckets = columns // _BUCKET
    if buckets <= 2 * count:
        if count == columns:
            return np.broadcast_to(np.arange(columns), scores.shape), scores.copy()
        found = np.argpartition(scores, columns - count, axis=1)[:, columns - count:]
        return found, np.take_along_axis(scores, found, 1)
    whole = buckets * _BUCKET
    dealt = scores[:, :whole].reshape(rows, _BUCKET, buckets)
    best = np.argpartition(dealt.max(1), buckets - count, axis=1)[:, buckets - count:]
    columns_in = (best[:, None] + np.arange(0, whole, buckets)[:, None]).reshape(rows, -1)
    if whole < columns:
        rest = np.broadcast_to(np.arange(whole, columns), (rows, columns - whole))
        columns_in = np.concatenate([columns_in, rest], 1)
    near = np.take_along_axis(scores, columns_in, 1)
    found = np.argpartition(near, near.shape[1] - count, axis=1)[:, near.shape[1] - count:]
    return np.take_along_axis(columns_in, found, 1), np.take_along_axis(near, found, 1)
