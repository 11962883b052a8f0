# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The kernels that tracks had on earlier keyframes, and what they say of the new ones.

A track goes by its newest kernel (MobileInst, section 3.4).  When somebody walks past a bicycle,
the newest is of the leg before it, or of the wheel that still shows, and the bicycle seen whole
again is a stranger, though like what the track was a second ago.  So a few earlier kernels are
kept, with their windows where they were, and speak up where they find about the same mask and the
same look.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.mobileinst import KeyOutput
from vos_ros.tracking.association import cosine_similarity
from vos_ros.tracking.association import overlap
from vos_ros.tracking.association import propagate
from vos_ros.tracking.association import SAME_PLACE
from vos_ros.tracking.association import similarity
from vos_ros.tracking.candidates import Candidates
from vos_ros.tracking.candidates import FloatArray
from vos_ros.tracking.candidates import mask_logit
from vos_ros.tracking.life import stack
from vos_ros.tracking.life import Track
from vos_ros.tracking.params import InstanceTrackerParams

# An earlier kernel speaks for an instance of which it gives about the same mask (SAME_PLACE), and
# whose kernel is much like it without the window.
_SAME_LOOK = 0.8
# A track whose newest kernel is so like an instance asks no other.
_SURE = 0.9
# So many are asked where they are on a keyframe, those of the nearest look: the bound on its cost.
_MOST = 64


def hung(tracks: Sequence[Track], width: int, of: NDArray[np.bool_] | None = None,
         ) -> tuple[FloatArray, NDArray[np.intp]]:
    """Return the earlier kernels of tracks [m, width], and of which track each is [m].

    of: bool [n], which tracks; None for all.
    """
    pairs = [(row, kernel) for row, track in enumerate(tracks) if of is None or of[row]
             for kernel in track.gallery]
    return (stack([kernel for _, kernel in pairs], width),
            np.array([row for row, _ in pairs], np.intp))


def recall(
        tracks: Sequence[Track], found: Candidates, output: KeyOutput, cells: tuple[int, int],
        cosines: FloatArray, overlaps: FloatArray,
        params: InstanceTrackerParams) -> set[tuple[int, int]]:
    """Raise, in place, the similarity of pairs for which an earlier kernel speaks louder.

    cosines, overlaps: float32 [n, k], of the tracks' newest kernels and the k instances.
    Returns those pairs.
    """
    raised: set[tuple[int, int]] = set()
    if not len(tracks) or not len(found):
        return raised
    weight = params.overlap_weight
    doubtful = similarity(cosines, overlaps, weight).max(axis=1) < _SURE
    kernels, owners = hung(tracks, output.kernels.shape[1], doubtful)
    look = slice(output.look_dim)
    looks = cosine_similarity(kernels[:, look], found.kernels[:, look])
    best = looks.max(axis=1)
    some = np.argsort(-best, kind='stable')[:min(np.count_nonzero(best >= _SAME_LOOK), _MOST)]
    if not len(some):
        return raised
    kernels, owners, same = kernels[some], owners[some], looks[some] >= _SAME_LOOK
    masks = propagate(kernels, output.mask_features)[:, :cells[0], :cells[1]]
    shared = overlap(
        masks.reshape(len(some), cells[0] * cells[1]) > mask_logit(params.mask_threshold),
        found.footprints)
    whole = cosine_similarity(kernels, found.kernels)
    for row, column in np.argwhere(same & (shared >= SAME_PLACE)).tolist():
        pair, seen = (int(owners[row]), column), (row, column)
        if similarity(whole[seen], shared[seen], weight) \
                > similarity(cosines[pair], overlaps[pair], weight):
            cosines[pair], overlaps[pair] = whole[seen], shared[seen]
            raised.add(pair)
    return raised


def likeness(
        tracks: Sequence[Track], kernels: FloatArray, others: FloatArray,
        look_dim: int | None) -> FloatArray:
    """Return the cosine of the looks of tracks and instances: the best of all their kernels.

    kernels: [n, D], the newest of each track.  others: [k, D].  look_dim: how many of the D
    numbers say how a thing looks, not where it is; None for all.  Returns [n, k].
    """
    look = slice(look_dim)
    result = cosine_similarity(kernels[:, look], others[:, look])
    earlier, owners = hung(tracks, kernels.shape[1])
    np.maximum.at(result, owners, cosine_similarity(earlier[:, look], others[:, look]))
    return result
