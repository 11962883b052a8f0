# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The array work of XMem's memories, as a small interface with two implementations.

The memories keep their tokens as rows of plain arrays; what is heavy (reading, potentiation) and
what differs between numpy and torch is behind `MemoryOps`.  Arrays are numpy's or torch's and
support slicing, assignment by slice or index array, `+=` and `.shape`.

Similarity (XMem equation 2), of memory token i and query j:
s(i, j) = -shrinkage_i sum_c selection_cj (k_ci - q_cj)^2 / sqrt(C^k).
Expanded, it is one product of extended vectors; the shrinkage and the root move into the stored
one, so the scan over the memory is a single matrix product without temporaries of its size::

    stored_i = shrinkage_i / sqrt(C^k) * [-k_i^2, 2 k_i, -1]        (2 C^k + 1 numbers)
    asked_j  = [selection_j, selection_j q_j, sum_c selection_cj q_cj^2]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# numpy or torch; the memories use only what both offer.
Array = Any


@dataclass(frozen=True)
class ReadGroup:
    """Objects that see the same tokens.

    allowed: bool [N], the tokens that hold values of these objects; None means all.
    values: one array [N, C^v] an object.
    """

    allowed: NDArray[np.bool_] | None
    values: Sequence[Array]


class MemoryOps(Protocol):
    """Array work on one device."""

    name: str

    def zeros(self, *shape: int) -> Array:
        """Return float32 zeros on the device."""

    def array(self, values: NDArray) -> Array:
        """Return the device's copy (or view) of a numpy array, dtype kept."""

    def numpy(self, values: Array) -> NDArray:
        """Return a numpy array of the same values."""

    def concatenate(self, arrays: Sequence[Array]) -> Array:
        """Join along the first axis."""

    def resize(self, maps: Array, height: int, width: int) -> Array:
        """Resample [n, C, h, w] bilinearly to another grid."""

    def stored(self, key: Array, shrinkage: Array) -> Array:
        """Return the extended vectors [N, 2 C^k + 1] of keys [N, C^k] and shrinkages [N]."""

    def split(self, stored: Array) -> tuple[Array, Array]:
        """Return the keys [N, C^k] and shrinkages [N] that `stored` was made from."""

    def read(self, key: Array, selection: Array, stored: Array, groups: Sequence[ReadGroup],
             top_k: int) -> tuple[list[Array], Array]:
        """Read the memory for queries.

        key, selection: [Q, C^k].  stored: [N, 2 C^k + 1].  Per query the `top_k` most similar
        tokens that the group may see (all of them when there are fewer) get softmax weights; the
        maximum is subtracted, so the result is finite however small all similarities are.

        Returns a readout [objects, Q, C^v] a group, and the first group's affinity summed over
        the queries, float32 [N].
        """

    def potentiate(self, stored: Array, key: Array, selection: Array,
                   values: Sequence[Array]) -> list[Array]:
        """Fill prototypes (XMem section 3.3): softmax over candidates, applied to their values.

        stored: candidates [N, 2 C^k + 1].  key, selection: prototypes [P, C^k].
        values: arrays [N, C].  Returns arrays [P, C].
        """
