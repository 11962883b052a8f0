# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Following designated objects in a live stream, where a designation comes late.

A click lands on a picture that is some frames old.  The tracker itself only goes forward; this
brings the new objects up to date, and sees to it that no subscriber misses that an object came or
went on a frame that was not published.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.objects import ObjectInfo
from vos_ros.tracking.prompts import Designated
from vos_ros.tracking.prompts import Identities
from vos_ros.tracking.tracks import StepResult
from vos_ros.tracking.tracks import Tracks
from vos_ros.tracking.tracks import TrackState

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Followed:
    """An object as a list shows it.  age: frames since it was added."""

    id: int
    name: str
    state: TrackState
    age: int


class Following:
    """A memory tracker, and what lies between two published frames.  One thread uses it."""

    def __init__(self, tracker: MemoryTracker) -> None:
        """Go on with the objects of the tracker."""
        self.tracker = tracker
        self._seen: dict[int, tuple[TrackState, int]] = {}
        self._new: set[int] = set()
        self._removed: list[Tracks] = []

    @property
    def ids(self) -> list[int]:
        """Return the ids followed, ascending."""
        return sorted(info.id for info in self.tracker.objects)

    def listing(self) -> list[Followed]:
        """Return the objects followed by ascending id, with their state on the last frame."""
        return [
            Followed(info.id, info.label, *self._seen.get(
                info.id, (TrackState.LOST, self.tracker.age(info))))
            for info in sorted(self.tracker.objects, key=lambda info: info.id)]

    def identities(self) -> Identities:
        """Return what prompts must get on with."""
        return Identities(self.ids, self.tracker.params.max_objects, self.tracker.check_new,
                          self.tracker.new_ids)

    def step(self, image: Image) -> StepResult:
        """Process the next frame of the stream, uint8 [H, W, 3] RGB, for publishing.

        Objects that came or went since the last call are NEW or REMOVED in this result, once.
        """
        result = self.tracker.step(image)
        self._note(result)
        if not self._new and not self._removed:
            return result
        tracks = result.tracks
        fresh = np.isin(tracks.ids, list(self._new)) & (tracks.areas > 0)
        states = np.where(fresh, TrackState.NEW, tracks.states).astype(np.uint8)
        tracks = _joined([replace(tracks, states=states), *self._removed])
        self._new.clear()
        self._removed.clear()
        return replace(result, tracks=tracks)

    def add(self, objects: Sequence[Designated], frames: Sequence[Image]) -> None:
        """Follow objects from their masks on the first of the frames on; correct followed ones.

        frames: the image that the masks belong to, then later ones, ending with the newest; one
        frame when it is the newest itself.  A tracker with only these objects runs over them, and
        its masks on the newest frame are given to the real one, after the masks as designated
        were: the objects followed already see two frames more, whatever the number of frames.
        All or nothing: ValueError says what the tracker refused, and after a failure of the
        network the same objects are followed as before.
        """
        infos = [ObjectInfo(one.id, one.name) for one in objects]
        given = np.zeros(frames[0].shape[:2], np.uint16)
        for one in objects:
            given[one.mask] = one.id
        newest = None
        if len(frames) > 1:
            newest = self._brought_forward(given, infos, frames)
        new = {info.id for info in infos} - set(self.ids)
        self._unpublished(self.tracker.step(frames[0], given, infos, counted=False))
        if newest is not None:
            try:
                self._unpublished(self.tracker.step(frames[-1], newest, infos, counted=False))
            except Exception:
                self.tracker.remove(list(new), undo=True)
                self._forget()
                raise
        self._new |= new

    def remove(self, ids: Sequence[int]) -> None:
        """Stop following objects; all or nothing, KeyError names an id that is not followed."""
        self.tracker.remove(ids)
        self._forget()

    def reset(self) -> None:
        """Stop following everything; ids go on."""
        self.tracker.reset()
        self._forget()

    def load(self, path: str | Path) -> None:
        """Go on from a saved memory; raises what ``MemoryTracker.load`` raises."""
        self.tracker.load(path)
        self._removed = [_rows(gone, np.flatnonzero(~np.isin(gone.ids, self.ids)))
                         for gone in self._removed]
        self._seen.clear()
        self._forget()

    def _forget(self) -> None:
        followed = set(self.ids)
        self._new &= followed
        self._seen = {obj: seen for obj, seen in self._seen.items() if obj in followed}

    def _brought_forward(
            self, given: NDArray[np.uint16], infos: Sequence[ObjectInfo],
            frames: Sequence[Image]) -> NDArray[np.uint16]:
        # An object may be small on the way, and is new here though it may be followed already.
        params = self.tracker.params
        scout = MemoryTracker(self.tracker.network, replace(
            params, min_area=0.0, max_objects=max(params.max_objects, len(infos))))
        result = scout.step(frames[0], given, infos)
        for frame in frames[1:]:
            result = scout.step(frame)
        return result.label_map

    def _unpublished(self, result: StepResult) -> None:
        self._note(result)
        gone = result.tracks.states == TrackState.REMOVED
        if gone.any():
            self._removed.append(_rows(result.tracks, np.flatnonzero(gone)))

    def _note(self, result: StepResult) -> None:
        tracks = result.tracks
        self._seen = {
            obj: (TrackState(state), age) for obj, state, age in zip(
                tracks.ids.tolist(), tracks.states.tolist(), tracks.ages.tolist(), strict=True)
            if state != TrackState.REMOVED}


def spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` of the indices 0..count-1, evenly spread, first and last among them.

    A long gap is brought forward in larger steps, so that it takes a bounded time.
    """
    if count <= 1:
        return list(range(count))
    chosen = np.linspace(0, count - 1, min(count, max(2, most)))
    return np.unique(np.round(chosen).astype(int)).tolist()


def _rows(tracks: Tracks, rows: NDArray[np.integer]) -> Tracks:
    return Tracks(
        ids=tracks.ids[rows], class_ids=tracks.class_ids[rows],
        labels=tuple(tracks.labels[row] for row in rows), scores=tracks.scores[rows],
        states=tracks.states[rows], ages=tracks.ages[rows], boxes=tracks.boxes[rows],
        areas=tracks.areas[rows])


def _joined(parts: Sequence[Tracks]) -> Tracks:
    """Return all rows by ascending id."""
    everything = Tracks(
        ids=np.concatenate([part.ids for part in parts]),
        class_ids=np.concatenate([part.class_ids for part in parts]),
        labels=tuple(label for part in parts for label in part.labels),
        scores=np.concatenate([part.scores for part in parts]),
        states=np.concatenate([part.states for part in parts]),
        ages=np.concatenate([part.ages for part in parts]),
        boxes=np.concatenate([part.boxes for part in parts]),
        areas=np.concatenate([part.areas for part in parts]))
    return _rows(everything, np.argsort(everything.ids, kind='stable'))
