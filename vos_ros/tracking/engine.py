# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Follows what a user designates, through occlusion and for as long as the camera runs (XMem)."""

from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import fields
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vos_ros.budget.clock import StageClock
from vos_ros.tracking.designation import designate
from vos_ros.tracking.designation import Designation
from vos_ros.tracking.designation import to_size
from vos_ros.tracking.memory_network import MemoryNetwork
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.memory_usage import memory_ceiling_bytes
from vos_ros.tracking.memory_usage import MemoryUsage
from vos_ros.tracking.objects import ObjectInfo
from vos_ros.tracking.objects import ObjectTable
from vos_ros.tracking.persistence import load_state
from vos_ros.tracking.persistence import MemoryFileError
from vos_ros.tracking.persistence import save_state
from vos_ros.tracking.picture import ObjectMap
from vos_ros.tracking.picture import paint
from vos_ros.tracking.picture import to_working_size
from vos_ros.tracking.picture import working_size
from vos_ros.tracking.tracks import StepResult
from vos_ros.tracking.tracks import Tracks
from vos_ros.tracking.tracks import TrackState
from vos_ros.tracking.xmem_step import XMemCore

FloatArray = NDArray[np.float32]


class MemoryTracker:
    """Follows objects given by masks, with XMem's sensory, working and long-term memory.

    Objects may be added, corrected and removed at any frame.  Frames may change their size at any
    time: working and long-term memory have no size and stay, the sensory memory is resampled to
    the new grid (`size_changes` counts).  One thread uses a tracker.
    """

    def __init__(self, network: MemoryNetwork, params: MemoryTrackerParams | None = None) -> None:
        """Start without objects."""
        self._params = params or MemoryTrackerParams()
        self.network = network
        self.clock = StageClock()
        self._core = XMemCore(network, self._params, self.clock)
        self._table = ObjectTable()
        self._frame = -1
        self._removed: list[ObjectInfo] = []
        self._probabilities: FloatArray | None = None
        self._largest = (0, 0)

    @property
    def params(self) -> MemoryTrackerParams:
        """Return the parameters in use."""
        return self._params

    @params.setter
    def params(self, params: MemoryTrackerParams) -> None:
        """Go on with other parameters; ValueError names a field that may not change while objects
        are followed.
        """
        if len(self._table):
            for entry in fields(params):
                if not entry.metadata['live'] \
                        and getattr(params, entry.name) != getattr(self._params, entry.name):
                    raise ValueError(f'{entry.name} cannot change while objects are followed: '
                                     'reset first')
        # The network may fail in this: nothing has changed then.
        self._core.finish()
        self._params = params
        self._core.configure(params)

    @property
    def late(self) -> bool:
        """Return whether frames go into the memory in `finish`, not in the step."""
        return self._core.late

    @late.setter
    def late(self, late: bool) -> None:
        self._core.late = late

    @property
    def objects(self) -> list[ObjectInfo]:
        """Return the objects followed, in the order of `probabilities`."""
        return self._table.infos

    @property
    def probabilities(self) -> FloatArray | None:
        """Return the last step's probabilities, float32 [objects + 1, h, w] at the working size.

        Background first; they sum to 1.  None before the first step with objects.
        """
        return self._probabilities

    @property
    def size_changes(self) -> int:
        """Return how often the sensory memory was resampled to another grid."""
        return self._core.regridded

    @property
    def ids_exhausted(self) -> bool:
        """Return whether `new_ids` has none left: see `reset`."""
        return self._table.exhausted

    def age(self, info: ObjectInfo) -> int:
        """Return for how many frames an object has been followed, 0 on its first."""
        return max(0, self._frame - info.born)

    def new_ids(self, count: int = 1) -> list[int]:
        """Give ids that nobody has had in this run; ValueError when too few are left."""
        return self._table.new_ids(count)

    def check_new(self, obj: int) -> None:
        """Refuse an id that cannot become an object; ValueError gives the reason."""
        self._table.check_new(obj)

    def step(self, image: NDArray[np.uint8], mask: NDArray | None = None,
             objects: Sequence[int | ObjectInfo] | None = None, end: bool = False,
             counted: bool = True) -> StepResult:
        """Process the next frame.

        image: uint8 [H, W, 3] RGB, rows may be strided, any size.
        mask: adds and corrects objects on this frame: [H, W] of integers, pixel = object id, 0 =
            nothing said; or [n, H, W], one plane (bool, or probability) for each of `objects`; or
            bool [H, W] for a single one.  A followed id is corrected, another one is added.  An
            empty plane for a followed object says that it is not in view.
        objects: ids or ObjectInfo of the objects in the mask; needed for planes.
        end: True on a last frame: no memory is updated, unless it brings new objects.
        counted: whether ages count this frame; an object that is new on one
            that they do not is 0 old on the next one that they do.

        All or nothing: raises ValueError that names what is wrong with the image or the mask (its
        shape, an unknown or used id, an empty mask of a new object, too many objects), and the
        tracker is as before.  A failure of the network adds no object either.
        Timings: resize, key, read, decode, value, memory, labels.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(f'image is {image.dtype}{image.shape}, must be uint8 (H, W, 3)')
        height, width = image.shape[:2]
        given = None if mask is None else self._check(designate(mask, objects, (height, width)))
        self.clock.start()
        # The number of the frame, or of the next that is counted.
        number = self._frame + 1
        if counted:
            self._frame = number
        if given is None and not len(self._table):
            self._probabilities = None
            return self._result(None, np.zeros((height, width), np.uint16), False)
        size = working_size((height, width), self._params.short_side)
        with self.clock.stage('resize'):
            normalised = to_working_size(image, size)
            planes = None if given is None else self._planes(given, size)
        if given is None or planes is None:
            result = self._core.step(normalised, end=end)
        else:
            new = [info for info in given.objects if info.id not in self._table]
            result = self._core.step(
                normalised, planes, self._table.ids + [info.id for info in new],
                [info.id for info in given.objects], end)
            # Only now: the network may have failed.
            for info in new:
                self._table.add(replace(info, born=number))
        grid = self._core.grid or (0, 0)
        self._largest = max(self._largest, grid, key=lambda g: g[0] * g[1])
        self._probabilities = result.probabilities
        with self.clock.stage('labels'):
            shown = paint(result.probabilities, self._table.ids, (height, width),
                          self._params.min_area)
        return self._result(shown, shown.label_map, result.remembered)

    def finish(self) -> dict[str, float]:
        """Put the last frame into the memory, where `late` left that for now.

        A step does it first if it was not done.  Returns milliseconds by stage, value and memory.
        """
        if not self._core.unfinished:
            return {}
        self.clock.start()
        self._core.finish()
        return self.clock.finish()

    def _check(self, given: Designation) -> Designation:
        new = [info for info in given.objects if info.id not in self._table]
        if not given.objects:
            raise ValueError('mask names no object')
        if new and len(self._table) + len(new) > self._params.max_objects:
            raise ValueError(f'{len(new)} objects more would be too many: max_objects is '
                             f'{self._params.max_objects}, {len(self._table)} are followed')
        for info, mask in zip(given.objects, given.masks, strict=True):
            if info.id not in self._table:
                self._table.check_new(info.id)
                if not mask.any():
                    raise ValueError(f'mask of the new object {info.id} is empty')
        return given

    def _planes(self, given: Designation, size: tuple[int, int]) -> FloatArray:
        """Return a channel for each object, followed ones first in tensor order, then new ones."""
        masks = {info.id: mask for info, mask in zip(given.objects, given.masks, strict=True)}
        order = self._table.ids + [obj for obj in masks if obj not in self._table]
        planes = np.zeros((len(order), *size), np.float32)
        for plane, obj in zip(planes, order, strict=True):
            if obj in masks:
                plane[:] = to_size(masks[obj], size)
        return planes

    def _result(self, shown: ObjectMap | None, label_map: NDArray[np.uint16],
                remembered: bool) -> StepResult:
        removed, self._removed = self._removed, []
        infos = self._table.infos
        count, gone = len(infos), len(removed)
        areas = np.zeros(count + gone, np.uint32)
        boxes = np.zeros((count + gone, 4), np.float32)
        scores = np.zeros(count + gone, np.float32)
        if shown is not None:
            areas[:count], boxes[:count], scores[:count] = shown.areas, shown.boxes, shown.scores
        states = [self._state(info, int(area)) for info, area in zip(infos, areas, strict=False)]
        rows = infos + removed
        order = np.argsort([info.id for info in rows], kind='stable').astype(np.intp)
        tracks = Tracks(
            ids=np.array([info.id for info in rows], np.uint32)[order],
            class_ids=np.array([info.class_id for info in rows], np.int32)[order],
            labels=tuple(rows[i].label for i in order), scores=scores[order],
            states=np.array(states + [TrackState.REMOVED] * gone, np.uint8)[order],
            ages=np.array([self.age(info) for info in rows], np.uint32)[order],
            boxes=boxes[order], areas=areas[order])
        return StepResult(tracks, label_map, remembered, self.clock.finish())

    def _state(self, info: ObjectInfo, area: int) -> TrackState:
        if not area:
            return TrackState.LOST
        return TrackState.NEW if info.born >= self._frame else TrackState.TRACKED

    def remove(self, objects: Sequence[int], undo: bool = False) -> None:
        """Stop following objects; the next step reports them REMOVED, once.

        undo: they were added in vain and nobody knows of them: they are not reported, and their
            ids may be given again.

        All or nothing: KeyError names an id that is not followed.
        """
        unique = list(dict.fromkeys(int(obj) for obj in objects))
        self._core.remove(unique)
        gone = [self._table.remove(obj, undo) for obj in unique]
        if not undo:
            self._removed += gone
        self._probabilities = None
        if not len(self._table):
            self._core.reset()

    def reset(self, restart_ids: bool = False) -> None:
        """Stop following all objects and forget everything.

        Ids go on, so that none is used twice in a run, unless `restart_ids` is given.
        """
        self._removed += self._table.infos
        self._table.clear(restart_ids)
        self._core.reset()
        self._probabilities = None

    def usage(self) -> MemoryUsage:
        """Return what each store holds, with its ceiling for the present objects."""
        return MemoryUsage.of(self._core, self._largest)

    def ceiling_bytes(self, frame_size: tuple[int, int], objects: int | None = None,
                      params: MemoryTrackerParams | None = None) -> int:
        """Return the most bytes that the memories reserve for frames (height, width).

        objects: how many; `max_objects` if not given.  params: other ones than those in use.
        0 means that there is no ceiling.
        """
        params = params or self._params
        height, width = working_size(frame_size, params.short_side)
        network = self.network
        return memory_ceiling_bytes(params, (-(-height // 16), -(-width // 16)),
                                    network.key_dim, network.value_dim, network.hidden_dim,
                                    objects)

    def save(self, path: str | Path) -> None:
        """Write all that is needed to go on after a restart: objects, ids and memories.

        The file is complete or not there (or the one from before).  OSError when it cannot be
        written.
        """
        save_state(path, *self._state_now())

    def snapshot(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        """Return what `save` writes, as copies: `save_state` may write them on another thread."""
        arrays, meta = self._state_now()
        return {name: np.array(values) for name, values in arrays.items()}, meta

    def _state_now(self) -> tuple[dict[str, NDArray], dict[str, Any]]:
        arrays, core = self._core.export()
        return arrays, {
            'network': self.network.weights_digest, 'frame': self._frame, 'core': core,
            'table': self._table.to_dict(), 'params': asdict(self._params),
            'largest': list(self._largest)}

    def load(self, path: str | Path) -> list[ObjectInfo]:
        """Go on from a saved memory under the same ids; returns the objects followed.

        Objects followed until now are dropped.  Raises MemoryFileError (a file that is damaged,
        of another version, or of another network), FileNotFoundError, OSError for one that may
        not be read, and ValueError for a sound file with more than `max_objects`; the tracker is
        then as before.
        """
        arrays, meta = load_state(path)
        # Files used to name the whole package.
        if meta.get('network') not in (self.network.weights_digest, self.network.digest):
            raise MemoryFileError(f'{path}: was saved with another network')
        fresh = XMemCore(self.network, self._params, self.clock)
        fresh.late = self.late
        try:
            fresh.restore(arrays, meta['core'])
            table = ObjectTable.from_dict(meta['table'])
            frame, largest = int(meta['frame']), tuple(int(v) for v in meta['largest'])
        except (KeyError, TypeError, ValueError) as error:
            raise MemoryFileError(f'{path}: does not fit together: {error}') from error
        if table.ids != fresh.objects:
            raise MemoryFileError(f'{path}: does not fit together: objects {table.ids} and '
                                  f'memories of {fresh.objects}')
        if len(table) > self._params.max_objects:
            raise ValueError(f'{path}: holds {len(table)} objects, max_objects is '
                             f'{self._params.max_objects}')
        table.bar_ids_of(self._table)
        # Their ages go on, though the frames now count on from the file's.  Whatever was removed
        # since the last frame may be in the file, and is then here as if it had never gone.
        self._removed = [replace(info, born=info.born - self._frame + frame)
                         for info in self._removed + self._table.infos if info.id not in table]
        self._core, self._table = fresh, table
        self._frame, self._largest = frame, (largest[0], largest[1])
        self._probabilities = None
        return table.infos


def parameter_table() -> list[dict[str, Any]]:
    """Return name, default, range and description of every parameter, for help and launch."""
    return [{'name': entry.name, 'default': entry.default, **entry.metadata}
            for entry in fields(MemoryTrackerParams)]
