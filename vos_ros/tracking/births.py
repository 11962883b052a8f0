# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which instances of a key frame, of those that no track took, are something new."""

from collections.abc import Sequence
from collections.abc import Set

import numpy as np

from vos_ros.tracking.candidates import BoolArray
from vos_ros.tracking.candidates import Candidates
from vos_ros.tracking.candidates import intersections
from vos_ros.tracking.life import Track
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.sieve import repeats
from vos_ros.tracking.sieve import swallows


def fresh(found: Candidates, taken: Set[int], tracks: Sequence[Track],
          params: InstanceTrackerParams) -> list[int]:
    """Return the candidates good enough for a birth that repeat no visible track, the best first.

    Nor do they swallow one that is shown, or a better birth: a mask of two things, or of a thing
    and the ground that it stands on, would take the pixels of what is already known.
    taken: rows of the candidates that tracks took.
    """
    seen = [track for track in tracks if track.footprint is not None]
    good = [column for column in np.flatnonzero(found.scores >= params.birth_score).tolist()
            if column not in taken]
    new = original(found.footprints[good], _stack(seen, found), params)
    known = _stack([track for track in seen if track.confirmed and track.visible], found)
    candidates = found.footprints[good]
    shared, area, areas = intersections(candidates, np.concatenate([known, candidates]))
    swallowed = swallows(shared, area[:, None], areas, params.duplicate_cover)
    births: list[int] = []
    for row in np.flatnonzero(new & ~swallowed[:, :len(known)].any(axis=1)).tolist():
        if not swallowed[row, [len(known) + birth for birth in births]].any():
            births.append(row)
    return [good[row] for row in births]


def original(
        footprints: BoolArray, others: BoolArray, params: InstanceTrackerParams) -> BoolArray:
    """Say of each mask, bool [n, cells], whether it repeats none of the others; bool [n]."""
    shared, area, areas = intersections(footprints, others)
    again = repeats(
        shared, area[:, None], areas, params.duplicate_iou, params.duplicate_cover)
    return np.logical_not(again.any(axis=1))


def _stack(tracks: Sequence[Track], found: Candidates) -> BoolArray:
    """Return where tracks lie, bool [n, cells]."""
    footprints = [track.footprint for track in tracks if track.footprint is not None]
    return np.stack(footprints) if footprints else np.zeros((0, found.footprints.shape[1]), bool)
