# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The life of instance tracks: born, confirmed, seen, coasting, lost, found again, removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import logging

import numpy as np

from vos_ros.tracking.candidates import BoolArray
from vos_ros.tracking.candidates import Candidates
from vos_ros.tracking.candidates import FloatArray
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.tracks import MAX_TRACK_ID
from vos_ros.tracking.tracks import TrackState

_LOGGER = logging.getLogger(__name__)
_UNCONFIRMED = 0
# Share of the past in a track's speed at each keyframe.
_PAST_SPEED = 0.3
# Kernels of neighbouring keyframes say the same: of so many one is kept.
_KEPT_OF = 2


@dataclass
class Track:
    """One object over time.

    id: 0 until the track is confirmed.  missed: keyframes since an instance last confirmed it.
    hits: keyframes that did, in a row.  logits: its mask in the current frame, [h, w] over the
    cells that the frame covers, None while lost.  footprint: bool [h·w], the same mask decided,
    None on frames between keyframes.
    born: number of the frame that it was first published in, None before that.
    centre: where an instance last confirmed it, row and column as shares of the network's input,
    None when that is not to be compared with; seen: the number of that frame.
    speed: how far the centre moves a frame, None while nothing is known of it.
    gallery: kernels that instances gave it, [D] each, the latest last; see tracking/gallery.py.
    sightings: instances it ever had.
    """

    kernel: FloatArray
    class_probs: FloatArray
    score: float
    logits: FloatArray | None
    footprint: BoolArray | None
    id: int = _UNCONFIRMED
    born: int | None = None
    hits: int = 1
    missed: int = 0
    centre: tuple[float, float] | None = None
    seen: int = 0
    speed: tuple[float, float] | None = None
    gallery: list[FloatArray] = field(default_factory=list)
    sightings: int = 0

    @property
    def confirmed(self) -> bool:
        """Return whether the track has an id, which the next result publishes."""
        return self.id != _UNCONFIRMED

    @property
    def visible(self) -> bool:
        """Return whether the track holds a mask in the current frame."""
        return self.logits is not None

    def hide(self) -> None:
        """Take the track's mask away; its kernel stays to find it by."""
        self.logits = None
        self.footprint = None
        self.rest()

    def rest(self) -> None:
        """Forget how the track moves."""
        self.centre = self.speed = None

    def go(self, centre: Sequence[float], frame: int) -> None:
        """Note where the track is in a frame."""
        down, right = centre
        if self.centre is not None and frame > self.seen:
            frames = frame - self.seen
            speed = (down - self.centre[0]) / frames, (right - self.centre[1]) / frames
            before = self.speed or speed
            self.speed = (_PAST_SPEED * before[0] + (1 - _PAST_SPEED) * speed[0],
                          _PAST_SPEED * before[1] + (1 - _PAST_SPEED) * speed[1])
        self.centre, self.seen = (down, right), frame

    def hang(self, kernel: FloatArray, most: int) -> None:
        """Note the kernel of an instance, of every second one; ``most`` are kept."""
        if self.sightings % _KEPT_OF == 0:
            self.gallery.append(kernel.copy())
        self.sightings += 1
        self.trim(most)

    def trim(self, most: int) -> None:
        """Keep only the latest ``most`` kernels of the gallery, whose size may be set lower."""
        del self.gallery[:max(len(self.gallery) - most, 0)]

    def way(self, frame: int) -> tuple[float, float]:
        """Return how far it should be from its centre in a frame, down and right."""
        if self.speed is None:
            return 0.0, 0.0
        return self.speed[0] * (frame - self.seen), self.speed[1] * (frame - self.seen)

    def age(self, frame: int) -> int:
        """Return for how many frames it has been published in a frame, but the first."""
        return 0 if self.born is None else frame - self.born

    def state(self, frame: int, area: int) -> TrackState:
        """Return the state to publish in a frame in which the track shows ``area`` pixels."""
        if not area:
            return TrackState.LOST
        return TrackState.NEW if self.born == frame else TrackState.TRACKED


class TrackTable:
    """The tracks alive, and the only place that gives out ids."""

    def __init__(self) -> None:
        """Start empty, with id 1 next."""
        self.tracks: list[Track] = []
        self._next_id = 1
        self._removed: list[Track] = []

    @property
    def exhausted(self) -> bool:
        """Return whether no id is left: no track is confirmed any more until ids start again."""
        return self._next_id > MAX_TRACK_ID

    def take_removed(self) -> list[Track]:
        """Return the published tracks that ended since the last call, each exactly once."""
        removed, self._removed = self._removed, []
        return removed

    def clear(self, restart_ids: bool = False) -> None:
        """End every track; ids go on from where they are unless told to start again at 1."""
        for track in list(self.tracks):
            self._end(track)
        if restart_ids:
            self._next_id = 1

    def see(
            self, track: Track, found: Candidates, row: int, frame: int,
            params: InstanceTrackerParams) -> None:
        """Carry a track on in an instance: newest mask, running score, class and kernel."""
        past = params.score_momentum
        track.score = past * track.score + (1 - past) * float(found.scores[row])
        track.class_probs = past * track.class_probs + (1 - past) * found.class_probs[row]
        past = params.kernel_momentum
        track.kernel = past * track.kernel + (1 - past) * found.kernels[row] if past \
            else found.kernels[row]
        track.logits, track.footprint = found.logits[row], found.footprints[row]
        track.hang(found.kernels[row], params.gallery)
        track.go(found.centres[row].tolist(), frame)
        track.hits += 1
        track.missed = 0
        self._confirm(track, params)

    def miss(
            self, track: Track, logits: FloatArray | None, footprint: BoolArray | None,
            params: InstanceTrackerParams) -> None:
        """Note that no instance confirmed a track; it coasts on the mask given, else is lost."""
        track.hits = 0
        track.missed += 1
        track.trim(params.gallery)
        if not track.confirmed or track.missed > params.coast_keyframes + params.lost_keyframes:
            self._end(track)
        elif logits is not None and track.visible and track.missed <= params.coast_keyframes:
            track.logits, track.footprint = logits, footprint
        else:
            track.hide()

    def bear(
            self, found: Candidates, row: int, frame: int, params: InstanceTrackerParams) -> bool:
        """Start a track from an instance; False when ``max_tracks`` are alive and none is lost."""
        if len(self.tracks) >= params.max_tracks:
            lost = [track for track in self.tracks if not track.visible]
            if not lost:
                return False
            self._end(max(lost, key=lambda track: track.missed))
        track = Track(
            kernel=found.kernels[row], class_probs=found.class_probs[row],
            score=float(found.scores[row]), logits=found.logits[row],
            footprint=found.footprints[row], seen=frame)
        track.hang(found.kernels[row], params.gallery)
        track.go(found.centres[row].tolist(), frame)
        self.tracks.append(track)
        self._confirm(track, params)
        return True

    def bound(self, most: int) -> None:
        """End what is above a number that was set lower: longest lost first, then least sure."""
        if len(self.tracks) > most:
            for track in sorted(
                    self.tracks, key=lambda t: (t.visible, -t.missed, t.score))[:-most]:
                self._end(track)

    def _confirm(self, track: Track, params: InstanceTrackerParams) -> None:
        if track.confirmed or track.hits < params.confirm_keyframes:
            return
        # After ids were started again some may still have to be reported REMOVED.
        going = {other.id for other in self._removed}
        while self._next_id in going:
            self._next_id += 1
        if self.exhausted:
            return
        track.id = self._next_id
        self._next_id += 1
        if self.exhausted:
            _LOGGER.warning('track id %d, the last one, is given: no new tracks until a reset '
                            'that starts the ids again', MAX_TRACK_ID)

    def _end(self, track: Track) -> None:
        # By identity: a dataclass compares by value, and values here are arrays.
        self.tracks = [other for other in self.tracks if other is not track]
        # What nobody has heard of need not be reported.
        if track.born is not None:
            track.hide()
            self._removed.append(track)


def stack(rows: list[FloatArray], width: int) -> FloatArray:
    """Return vectors as one array [n, width], for no vectors too."""
    return np.array(rows, np.float32) if rows else np.zeros((0, width), np.float32)
