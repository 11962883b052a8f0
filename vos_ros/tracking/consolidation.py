# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Prototype selection, memory potentiation and least-frequently-used eviction (XMem 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.memory_ops import Array
from vos_ros.tracking.token_store import TokenStore


@dataclass(frozen=True)
class Prototypes:
    """chosen: [P] positions among the candidates, most used first.  usage: float32 [P], theirs.

    stored: extended keys [P, 2 C^k + 1].  values: object id to [P, C^v], zeros where the object's
    group does not see the candidate.
    """

    chosen: NDArray[np.intp]
    usage: NDArray[np.float32]
    stored: Array
    values: dict[int, Array]


def prototypes_of(store: TokenStore, candidates: NDArray[np.intp],
                  groups: Sequence[tuple[NDArray[np.bool_], Sequence[int]]],
                  count: int) -> Prototypes:
    """Choose the most used candidates and fill them from all of them.

    A prototype keeps its candidate's key.  Its shrinkage and values are potentiated: a full
    softmax of all candidates' similarity to the prototype's key and selection.  Each group uses
    only the candidates that it sees, and gets values only for prototypes among them; the first
    group must see all.

    candidates: rows of the store.  groups: (bool [candidates], object ids).  count: prototypes
    wanted; there are fewer when there are fewer candidates.
    """
    ops = store.ops
    rows = ops.array(candidates)
    stored = store.stored[rows]
    usage = store.usage()[candidates]
    chosen = np.argsort(-usage, kind='stable')[:count]
    own = ops.array(candidates[chosen])
    key, shrinkage = ops.split(stored)
    asked, selection = key[ops.array(chosen)], store.selection[own]
    values: dict[int, Array] = {}
    new_shrinkage = None
    for visible, objects in groups:
        seen, here = np.flatnonzero(visible), np.flatnonzero(visible[chosen])
        sources = [store.value(obj)[ops.array(candidates[seen])] for obj in objects]
        lead = new_shrinkage is None
        if lead:
            sources.append(shrinkage.reshape(-1, 1))
        if not len(here):
            continue
        subset = ops.array(here)
        made = ops.potentiate(stored[ops.array(seen)], asked[subset], selection[subset], sources)
        if lead:
            new_shrinkage = made.pop()[:, 0]
        for obj, value in zip(objects, made, strict=True):
            full = ops.zeros(len(chosen), store.value_dim)
            full[subset] = value
            values[obj] = full
    return Prototypes(chosen, usage[chosen], ops.stored(asked, new_shrinkage), values)


def survivors_of(usage: NDArray[np.float32], limit: int) -> NDArray[np.intp]:
    """Return the positions of the `limit` most used tokens, in their order.

    Of tokens used equally the newer stay: exactly `limit` survive, however many are tied.
    """
    order = np.argsort(usage, kind='stable')
    return np.sort(order[len(usage) - min(limit, len(usage)):])
