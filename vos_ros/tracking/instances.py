# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Instance tracks from a stream of frames: kernel reuse and kernel association (section 3.4)."""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
from numpy.typing import NDArray

from vos_ros.budget.clock import StageClock
from vos_ros.runtime.guide import enlarge
from vos_ros.runtime.guide import shrink
from vos_ros.runtime.letterbox import Letterbox
from vos_ros.runtime.mobileinst import Context
from vos_ros.runtime.mobileinst import KeyOutput
from vos_ros.runtime.motion import KeyframeView
from vos_ros.tracking.association import cosine_similarity
from vos_ros.tracking.association import iou
from vos_ros.tracking.association import match
from vos_ros.tracking.association import NO_PAIR
from vos_ros.tracking.association import overlap
from vos_ros.tracking.association import propagate
from vos_ros.tracking.association import slides
from vos_ros.tracking.births import fresh
from vos_ros.tracking.births import original
from vos_ros.tracking.candidates import BoolArray
from vos_ros.tracking.candidates import Candidates
from vos_ros.tracking.candidates import find_candidates
from vos_ros.tracking.candidates import FloatArray
from vos_ros.tracking.candidates import intersections
from vos_ros.tracking.candidates import mask_logit
from vos_ros.tracking.gallery import likeness
from vos_ros.tracking.gallery import recall
from vos_ros.tracking.instance_network import InstanceNetwork
from vos_ros.tracking.labels import Canvas
from vos_ros.tracking.labels import covered
from vos_ros.tracking.labels import Labelling
from vos_ros.tracking.labels import LabelPainter
from vos_ros.tracking.life import stack
from vos_ros.tracking.life import Track
from vos_ros.tracking.life import TrackTable
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.scene import Continuity
from vos_ros.tracking.tracks import StepResult
from vos_ros.tracking.tracks import Tracks
from vos_ros.tracking.tracks import TrackState
from vos_ros.tracking.windows import moved

# A track that coasts must lie about where it lay in the frame before.
_COAST_OVERLAP = 0.3


class InstanceTracker:
    """Finds instances on keyframes and follows them, by their kernels, on the frames between.

    Frames may change their size at any time: kernels have no size, so every track lives on, and
    only the small buffers are made anew.  One thread uses a tracker; ``params``, ``network`` and
    ``late_keyframes`` may be exchanged between two steps.

    late_keyframes: a frame that is to be a keyframe is first a reuse frame; ``finish``, called
        when its result is published, makes up for it.  So no result waits for the whole network;
        what is new is shown one frame later.
    """

    def __init__(
            self, network: InstanceNetwork, params: InstanceTrackerParams | None = None) -> None:
        """Start without tracks; the first frame is a keyframe."""
        self.params = params or InstanceTrackerParams()
        self.clock = StageClock()
        self.late_keyframes = False
        self._owed: NDArray[np.uint8] | None = None     # the picture of a keyframe to make up for
        self._followable = False        # whether a keyframe of this network has left its context
        self._network = network
        self._table = TrackTable()
        self._painter: LabelPainter | None = None
        self._letterbox: Letterbox | None = None
        self._frame = -1
        self._kernel_dim = self._bands = 0
        self._since_keyframe = 0
        self._continuity = Continuity()
        self._context: Context = None

    @property
    def network(self) -> InstanceNetwork:
        """Return the network in use."""
        return self._network

    @network.setter
    def network(self, network: InstanceNetwork) -> None:
        """Go on with another network of the same weights, for example at another input size.

        The next frame is a keyframe: a context of another size would not fit.
        """
        if network is self._network:
            return
        self._network = network
        self._letterbox = None
        self._since_keyframe = 0
        self._owed, self._followable = None, False

    @property
    def ids_exhausted(self) -> bool:
        """Return whether the last id was given: see ``reset``."""
        return self._table.exhausted

    def reset(self, restart_ids: bool = False) -> None:
        """End all tracks; the next step reports them REMOVED and is a keyframe.

        Ids go on, so that none is used twice in a run, unless ``restart_ids`` is given.
        """
        self._table.clear(restart_ids)
        self._since_keyframe = 0
        self._owed = None
        self._continuity.forget()

    def step(self, frame: NDArray[np.uint8], stamp: float | None = None,
             canvas: Canvas | None = None) -> StepResult:
        """Track one frame.

        frame: uint8 [H, W, 3] RGB, rows may be strided, any size.
        stamp: seconds; see ``max_gap``.
        canvas: makes the array that becomes the result's label map.
        Timings: resize, network, associate, labels.  Raises ValueError for an array that is no
        such frame; the tracks stay as they were.
        """
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise ValueError(f'frame is {frame.dtype}{frame.shape}, must be uint8 (H, W, 3)')
        params, clock = self.params, self.clock
        clock.start()
        painter, letterbox, cells = self._fit(frame.shape[:2])
        threshold = mask_logit(params.mask_threshold)
        with clock.stage('resize'):
            image = letterbox.apply(frame)
            height, width = letterbox.content_size
            if self._continuity.breaks(image[:height, :width], stamp, params.max_gap,
                                       params.cut_correlation):
                self._since_keyframe = 0
                for track in self._table.tracks:
                    track.hide()
        due = not 0 < self._since_keyframe < params.reuse_interval
        shown = self._shown()
        keyframe = due and not (self.late_keyframes and (self._followable or not shown))
        self._owed = image if due and not keyframe else None
        if keyframe:
            with clock.stage('network'):
                output = self._network.key(image)
            self._frame += 1
            with clock.stage('associate'):
                self._find(output, cells)
            with clock.stage('labels'):
                masks = self._enlarged(output, cells)
        else:
            # Optical flow moves the masks itself.
            by_flow = isinstance(self._context, KeyframeView)
            kernels = self._kernels(shown, None if by_flow else self._frame + 1)
            # With nothing to follow nothing is computed, and no time is told of it.
            with clock.stage('network') if shown else nullcontext():
                masks = self._network.reuse(image, kernels, self._context)
            self._frame += 1
            masks = masks[:, :painter.cells[0], :painter.cells[1]]
            for track, mask in zip(shown, masks, strict=True):
                # What it covers is asked for on keyframes only.
                track.logits, track.footprint = mask, None
            if not due:
                self._since_keyframe += 1
        with clock.stage('labels'):
            shown = self._shown()
            labelling = painter.paint(
                [track.id for track in shown], masks[:, :painter.cells[0], :painter.cells[1]],
                threshold, params.min_part, canvas)
            tracks = self._published(shown, labelling)
        return StepResult(tracks, labelling.label_map, keyframe, clock.finish())

    def finish(self) -> dict[str, float]:
        """Make up for the keyframe that the last step left out; what it finds is shown next.

        Returns milliseconds by stage, network and associate; none where nothing was left out.
        """
        if self._owed is None or self._letterbox is None:
            return {}
        image, self._owed = self._owed, None
        cells = covered(self._letterbox, self._network.mask_size)[1]
        self.clock.start()
        with self.clock.stage('network'):
            output = self._network.key(image)
        with self.clock.stage('associate'):
            self._find(output, cells)
        return self.clock.finish()

    def _find(self, output: KeyOutput, cells: tuple[int, int]) -> None:
        """Take in what the network finds in the newest frame."""
        self._context, self._followable = output.context, True
        self._since_keyframe = 1
        self._associate(output, cells, self._frame)

    def _enlarged(self, output: KeyOutput, cells: tuple[int, int]) -> FloatArray:
        """Return the masks of the tracks shown after a keyframe, as fine as they are painted."""
        own = [track.logits for track in self._shown() if track.logits is not None]
        masks = np.stack(own) if own else np.zeros((0, *cells), np.float32)
        if output.guide is None:
            return masks
        return enlarge(masks, output.guide[:, :cells[0], :cells[1]])

    def _fit(self, frame_size: tuple[int, int],
             ) -> tuple[LabelPainter, Letterbox, tuple[int, int]]:
        if self._letterbox is None or self._painter is None \
                or self._letterbox.frame_size != frame_size:
            before, self._letterbox = self._letterbox, Letterbox(
                frame_size, self._network.input_size)
            if before is not None and before.content_size != self._letterbox.content_size:
                # What the last keyframe left lies elsewhere in the input.
                self._since_keyframe, self._followable = 0, False
            height, width = self._network.mask_size
            fine = (height * self._network.enlargement, width * self._network.enlargement)
            self._painter = LabelPainter(self._letterbox, fine)
            for track in self._table.tracks:
                track.rest()
        cells = covered(self._letterbox, self._network.mask_size)[1]
        return self._painter, self._letterbox, cells

    def _shown(self) -> list[Track]:
        return [track for track in self._table.tracks if track.confirmed and track.visible]

    def _kernels(self, tracks: list[Track], frame: int | None = None) -> FloatArray:
        """Return the kernels of tracks [n, D], with their windows where they are by a frame."""
        kernels = stack([track.kernel for track in tracks], self._kernel_dim)
        if frame is None or not tracks:
            return kernels
        return moved(kernels, self._bands,
                     np.array([track.way(frame) for track in tracks], np.float32))

    def _associate(self, output: KeyOutput, cells: tuple[int, int], frame: int) -> None:
        params = self.params
        found = find_candidates(output, cells, params)
        self._kernel_dim, self._bands = output.kernels.shape[1], output.bands
        visible = [track for track in self._table.tracks if track.visible]
        lost = [track for track in self._table.tracks if not track.visible]
        taken = self._carry_on(visible, found, output, cells, frame)
        # What is left and new to the picture is a lost track come back, or else a birth.
        new = fresh(found, taken, self._table.tracks, params)
        # It may come back anywhere, so where it was says nothing.
        pairs = dict(match(
            likeness(lost, self._kernels(lost), found.kernels[new], output.look_dim),
            min_cosine=params.lost_min_cosine))
        for row, track in enumerate(lost):
            if row in pairs:
                self._table.see(track, found, new[pairs[row]], frame, params)
            else:
                self._table.miss(track, None, None, params)
        for column in sorted(set(range(len(new))) - set(pairs.values())):
            self._table.bear(found, new[column], frame, params)
        self._table.bound(params.max_tracks)

    def _carry_on(
            self, tracks: list[Track], found: Candidates, output: KeyOutput,
            cells: tuple[int, int], frame: int) -> set[int]:
        """Carry visible tracks on; return the rows of the candidates that they took."""
        params = self.params
        kernels = self._kernels(tracks, frame)
        propagated = propagate(kernels, output.mask_features)[:, :cells[0], :cells[1]]
        footprints = propagated.reshape(len(tracks), cells[0] * cells[1]) \
            > mask_logit(params.mask_threshold)
        cosines = cosine_similarity(kernels, found.kernels)
        counts = intersections(footprints, found.footprints)
        overlaps = iou(*counts)
        known = np.array([track.confirmed for track in tracks], bool)
        sliding = slides(*counts, known, params.duplicate_cover)
        recalled = recall(tracks, found, output, cells, cosines, overlaps, params)
        cosines[sliding] = NO_PAIR
        taken = dict(match(
            cosines, overlaps, min_cosine=params.min_cosine,
            min_overlap=params.min_overlap, overlap_weight=params.overlap_weight))
        claimed = found.footprints[sorted(taken.values())]
        # Surer tracks first: of two that would coast on the same place one is lost.
        for row in sorted(range(len(tracks)), key=lambda row: -tracks[row].score):
            track = tracks[row]
            if row in taken:
                if (row, taken[row]) in recalled:
                    # It was not there that it went.
                    track.rest()
                self._table.see(track, found, taken[row], frame, params)
            elif self._can_coast(track, footprints[row], claimed, cells):
                self._table.miss(track, propagated[row], footprints[row], params)
                # One that ended or was hidden all the same is not in another's way.
                if track.confirmed and track.visible:
                    claimed = np.concatenate([claimed, footprints[row:row + 1]])
            else:
                self._table.miss(track, None, None, params)
        return set(taken.values())

    def _can_coast(
            self, track: Track, footprint: BoolArray, claimed: BoolArray,
            cells: tuple[int, int]) -> bool:
        """Say whether a track's own kernel still gives a mask worth showing without an instance.

        It must be large enough, lie where the track was, and not on what another track now holds.
        """
        params, before = self.params, track.footprint
        if before is None and track.logits is not None:
            # Of a frame between keyframes, whose masks are enlarged.
            factor, logits = self._network.enlargement, track.logits
            if tuple(-(-side // factor) for side in logits.shape) == cells:
                logits = shrink(logits[None], cells, factor)
            before = (logits > mask_logit(params.mask_threshold)).ravel()
        if before is None \
                or np.count_nonzero(footprint) < max(1.0, params.min_area * footprint.size):
            return False
        if before.size == footprint.size \
                and overlap(footprint[None], before[None])[0, 0] < _COAST_OVERLAP:
            return False
        return bool(original(footprint[None], claimed, params)[0])

    def _published(self, shown: Sequence[Track], labelling: Labelling) -> Tracks:
        rows = {track.id: row for row, track in enumerate(shown)}
        removed = self._table.take_removed()
        gone = {track.id for track in removed}
        tracks = sorted([track for track in self._table.tracks if track.confirmed] + removed,
                        key=lambda track: track.id)
        # The last of each for those that are not shown.
        all_areas, all_boxes = [*labelling.areas.tolist(), 0], [*labelling.boxes.tolist(), [0] * 4]
        for track in tracks:
            if track.born is None:
                track.born = self._frame
        areas = [all_areas[rows.get(track.id, -1)] for track in tracks]
        boxes = [all_boxes[rows.get(track.id, -1)] for track in tracks]
        classes = [int(track.class_probs.argmax()) for track in tracks]
        return Tracks(
            ids=np.array([track.id for track in tracks], np.uint32),
            class_ids=np.array(classes, np.int32),
            labels=tuple(self._network.classes[index] for index in classes),
            scores=np.array([track.score for track in tracks], np.float32),
            states=np.array([TrackState.REMOVED if t.id in gone else t.state(self._frame, area)
                             for t, area in zip(tracks, areas, strict=True)], np.uint8),
            ages=np.array([track.age(self._frame) for track in tracks], np.uint32),
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            areas=np.array(areas, np.uint32))
