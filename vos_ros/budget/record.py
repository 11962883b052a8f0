# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Frames as the governor remembers them, and what a replay needs of them."""

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from vos_ros.budget.replay import Spent
from vos_ros.budget.replay import Trace


@dataclass(frozen=True)
class Record:
    """A frame in memory: when, at its point's cost, and what did not depend on the point.

    kind: of an ordinary frame, None for a heavy one.  spent: None where there was nothing to
    compute.  late: what was computed after the frame before was published, None where nothing was.
    The rest is in ms.
    """

    at: float
    kind: str | None
    spent: Spent | None
    late: Spent | None
    other: float
    outside: float
    after: float
    step: float
    latency: float

    def at_cost_times(self, factor: float) -> 'Record':
        """Return the same frame with its point's reference cost corrected by a factor."""
        spent, late = (
            None if old is None else Spent(old.ratio / factor, old.cost * factor)
            for old in (self.spent, self.late))
        return replace(self, spent=spent, late=late)


def by_kind(records: Iterable[Record]) -> dict[str | None, list[Spent]]:
    """Return what the frames spent, by their kind; None for the heavy ones, late or not."""
    spent: dict[str | None, list[Spent]] = {}
    for record in records:
        for frame, kind in ((record.spent, record.kind), (record.late, None)):
            if frame is not None:
                spent.setdefault(kind, []).append(frame)
    return spent


def ratios(records: Iterable[Record]) -> dict[str | None, list[float]]:
    """Return the ratios to the reference costs, by kind."""
    return {kind: [frame.ratio for frame in spent] for kind, spent in by_kind(records).items()}


def trace_of(records: Iterable[Record], gaps: Sequence[float],
             dearer: float = 1.0) -> Trace | None:
    """Return the frames for a replay; None when nothing was computed in them.

    gaps: between images, ms.  dearer: a factor on what they took.
    """
    records = list(records)
    spent = {kind: [Spent(frame.ratio * dearer, frame.cost) for frame in frames]
             for kind, frames in by_kind(records).items()}
    if not spent:
        return None
    heavy = spent.pop(None, [])
    return Trace({kind or '': frames for kind, frames in spent.items()}, heavy,
                 [r.other for r in records], [r.outside for r in records],
                 [r.after for r in records], gaps)
