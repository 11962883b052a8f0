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
    good = [row for row in np.flatnonzero(found.scores >= params.birth_score).tolist()
            if row not in taken]
    if not good:
        return []
    seen = [track for track in tracks if track.footprint is not None]
    places = np.array([track.footprint for track in seen], bool).reshape(
        len(seen), found.footprints.shape[1])
    known = places[np.array([track.confirmed for track in seen], bool)]
    new = original(found.footprints[good], places, params)
    good = [row for row, is_new in zip(good, new, strict=True) if is_new]
    candidates = found.footprints[good]
    shared, area, areas = intersections(candidates, np.concatenate([known, candidates]))
    swallowed = swallows(shared, area[:, None], areas, params.duplicate_cover)
    births: list[int] = []
    for place in np.flatnonzero(~swallowed[:, :len(known)].any(axis=1)).tolist():
        if not swallowed[place, [len(known) + birth for birth in births]].any():
            births.append(place)
    return [good[place] for place in births]


def original(
        footprints: BoolArray, others: BoolArray, params: InstanceTrackerParams) -> BoolArray:
    """Say of each mask, bool [n, cells], whether it repeats none of the others; bool [n]."""
    shared, area, areas = intersections(footprints, others)
    again = repeats(
        shared, area[:, None], areas, params.duplicate_iou, params.duplicate_cover)
    return np.logical_not(again.any(axis=1))
