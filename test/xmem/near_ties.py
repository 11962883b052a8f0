# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Elements of the memory that are tied, within rounding, at the last rank of a read.

Which of two such elements a query reads hangs on the order in which a processor adds up numbers.
Either is right, so a step that differs from its golden vector may be repeated with them exchanged.
"""

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from vos_ros.runtime.memory_ops import ReadGroup
from vos_ros.tracking.xmem_step import CoreResult
from vos_ros.tracking.xmem_step import XMemCore

# Two runtimes' float32 scores of the same frame lay up to 1e-5 apart.
ROUNDING = 2e-5
# More queries than this with a tie in one frame are no accident.
MOST = 4


class ExchangingOps:
    """Array work that can leave an element out of some queries' read, for its rival.

    ties: (group, query, the two elements) for each query whose last element is tied with the next
    one, as found by the last read.  out: (group, query, element) to leave out.
    """

    def __init__(self, ops: Any) -> None:
        self._ops = ops
        self.ties: list[tuple[int, int, tuple[int, int]]] = []
        self.out: Sequence[tuple[int, int, int]] = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ops, name)

    def read(self, key: Any, selection: Any, stored: Any, groups: Sequence[ReadGroup],
             top_k: int) -> tuple[list[Any], Any]:
        readouts, usage = self._ops.read(key, selection, stored, groups, top_k)
        for number, query, token in self.out:
            asked = key[query:query + 1], selection[query:query + 1], stored
            group = groups[number]
            allowed = np.ones(len(stored), bool) if group.allowed is None \
                else group.allowed.copy()
            allowed[token] = False
            (readout,), used = self._ops.read(*asked, [replace(group, allowed=allowed)], top_k)
            readouts[number][:, query] = readout[:, 0]
            if not number:
                usage = usage + used - self._ops.read(*asked, [group], top_k)[1]
        self.ties = self._find(key, selection, stored, groups, top_k)
        return readouts, usage

    def _find(self, key: Any, selection: Any, stored: Any, groups: Sequence[ReadGroup],
              top_k: int) -> list[tuple[int, int, tuple[int, int]]]:
        memory, shrinkage = self._ops.split(stored)
        query, weight, memory, shrinkage = (
            self._ops.numpy(x).astype(np.float64) for x in (key, selection, memory, shrinkage))
        ties = []
        for q, (own, selected) in enumerate(zip(query, weight, strict=True)):
            score = -shrinkage * ((memory - own) ** 2 @ selected) / np.sqrt(query.shape[1])
            for g, group in enumerate(groups):
                seen = score if group.allowed is None else np.where(group.allowed, score, -np.inf)
                order = np.argsort(-seen)
                if top_k >= len(seen) or seen[order[top_k]] == -np.inf:
                    continue
                last, rival = int(order[top_k - 1]), int(order[top_k])
                if seen[last] - seen[rival] < ROUNDING:
                    ties.append((g, q, (last, rival)))
        return ties


class Exchanging:
    """A network whose memory is read by ExchangingOps."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.ops = ExchangingOps(network.ops)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


def state_of(core: XMemCore) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return a copy of all that a core remembers."""
    arrays, meta = core.export()
    return {name: np.array(values) for name, values in arrays.items()}, meta


def settled(core: XMemCore, before: tuple[dict[str, np.ndarray], dict[str, Any]],
            step: Callable[[], CoreResult], fits: Callable[[CoreResult], bool]) -> CoreResult:
    """Repeat a step from `before` on with tied elements exchanged, until its result fits.

    The core's network is an `Exchanging`.  Returns the plain result when none fits.
    """
    ops = core.network.ops
    ties = ops.ties if len(ops.ties) <= MOST else []
    # Rounding may have ranked the two either way, so either may be the one that was read.
    choices = product(*(((), *((g, q, token) for token in pair)) for g, q, pair in ties))
    for choice in sorted(choices, key=lambda chosen: sum(map(bool, chosen))):
        ops.out = [one for one in choice if one]
        core.restore(*before)
        result = step()
        if fits(result):
            break
    else:
        ops.out = ()
        core.restore(*before)
        result = step()
    ops.out = ()
    return result
