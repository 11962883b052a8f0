# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Mask AP and AR of whole tracks, by the definition of YouTube-VIS.

Yang et al., "Video Instance Segmentation", ICCV 2019, section 4.2: as COCO's AP, with videos in
place of images, tracks in place of instances, and for the IoU of two tracks the pixels that they
share in all frames over those that either has.  The score of a track is the mean over the frames
in which it is shown, its class the one that it was most, by score.  What lies in void, where
objects may be that nobody labelled, is treated as COCO's crowds are, which with classes are of one
each.
"""

from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from dataclasses import field
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vos_ros.evaluate.track_metrics import shared_pixels
from vos_ros.tracking.tracks import Tracks

NAMES = ('VIS_AP', 'VIS_AP50', 'VIS_AP75', 'VIS_AR1', 'VIS_AR10')
# YouTube-VIS counts so many tracks a video at most.
_MOST = 100


@dataclass
class _Found:
    """A track: pixels in all frames, pixels in void, shown frames, and its score by class.

    void: by the class of the void; None is of all.
    """

    area: int = 0
    void: dict[int | None, int] = field(default_factory=dict)
    frames: int = 0
    scores: dict[int, float] = field(default_factory=dict)


class VideoTracks:
    """Gathers the frames of one video."""

    def __init__(self, classes: Mapping[int, int] | None = None) -> None:
        """Take the class of each true id, as an index; None where they are not known."""
        self.classes = classes
        self.areas: dict[int, int] = {}
        self.found: dict[int, _Found] = {}
        self.shared: dict[tuple[int, int], int] = {}
        self.sorted = False         # whether its void is told by class

    def add(self, truth: NDArray[np.uint16], labels: NDArray[np.uint16], tracks: Tracks,
            void: NDArray[np.bool_] | None = None,
            crowds: Mapping[int, NDArray[np.bool_]] | None = None) -> None:
        """Take a frame: true and found label map, both [H, W], and what the found ids are.

        void: bool [H, W]; None = nowhere.  crowds: what is void to a class, by that class, of a
        video that knows classes; None: all of void is, to each.  Raises ValueError when sizes
        differ.
        """
        if truth.shape != labels.shape or (void is not None and void.shape != labels.shape):
            raise ValueError(f'true label map is {truth.shape}, found one is {labels.shape}, '
                             f'void is {None if void is None else void.shape}')
        true_ids, found_ids, shared = shared_pixels(truth, labels)
        for row, column in np.argwhere(shared).tolist():
            true_id, found_id = int(true_ids[row]), int(found_ids[column])
            count = int(shared[row, column])
            if true_id:
                self.areas[true_id] = self.areas.get(true_id, 0) + count
            if found_id:
                self.found.setdefault(found_id, _Found()).area += count
            if true_id and found_id:
                key = true_id, found_id
                self.shared[key] = self.shared.get(key, 0) + count
        self.sorted = crowds is not None
        regions: list[tuple[int | None, NDArray[np.bool_]]] = [*(crowds or {}).items()]
        if void is not None:
            regions.append((None, void))
        for kind, region in regions:
            hidden = np.bincount(labels[region], minlength=1)
            for found_id in np.flatnonzero(hidden[1:]).tolist():
                counts = self.found[found_id + 1].void
                counts[kind] = counts.get(kind, 0) + int(hidden[found_id + 1])
        for found_id, class_id, score, area in zip(
                tracks.ids.tolist(), tracks.class_ids.tolist(), tracks.scores.tolist(),
                tracks.areas.tolist(), strict=True):
            if area:
                one = self.found.setdefault(found_id, _Found())
                one.frames += 1
                one.scores[class_id] = one.scores.get(class_id, 0.0) + score


def vis_ap(videos: list[VideoTracks], agnostic: bool = True) -> dict[str, float]:
    """Compute VIS_AP, VIS_AP50, VIS_AP75, VIS_AR1 and VIS_AR10 of videos, all 0..1.

    agnostic: a track counts whatever its class. Otherwise every video must know its classes, and
    figures are means over the classes that occur. NaN when no true track is in any video.
    Raises ValueError for a video that does not know its classes.
    """
    truth, found, ious = _records(videos, agnostic)
    if all(one['iscrowd'] for one in truth):
        return dict.fromkeys(NAMES, math.nan)
    if not found:
        return dict.fromkeys(NAMES, 0.0)
    with redirect_stdout(io.StringIO()):
        run = _Eval(_index(len(videos), truth), _index(len(videos), found), ious)
        run.params.maxDets = [1, 10, _MOST]
        run.evaluate()
        run.accumulate()
        run.summarize()
    stats = dict(zip(('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR1', 'AR10'), run.stats,
                     strict=False))
    return {name: float(stats[name.removeprefix('VIS_')]) for name in NAMES}


class _Eval(COCOeval):
    """COCO's evaluation with the IoU of tracks."""

    def __init__(self, truth: COCO, found: COCO, ious: Mapping[tuple[int, int], float]) -> None:
        super().__init__(truth, found, 'bbox')
        self._of_tracks = ious

    def computeIoU(self, imgId: int, catId: int) -> Any:
        true, found = self._gts[imgId, catId], self._dts[imgId, catId]
        if not true or not found:
            return []
        order = np.argsort([-one['score'] for one in found], kind='mergesort')
        return np.array([[self._of_tracks.get((found[row]['id'], one['id']), 0.0)
                          for one in true] for row in order[:self.params.maxDets[-1]]])


def _records(videos: list[VideoTracks], agnostic: bool) -> tuple[
        list[dict[str, Any]], list[dict[str, Any]], dict[tuple[int, int], float]]:
    """Return true tracks and found ones as COCO's annotations, and IoUs by (found, true)."""
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    ious: dict[tuple[int, int], float] = {}
    for number, video in enumerate(videos, 1):
        if video.classes is None and not agnostic:
            raise ValueError('classes are asked for, but the video does not tell them')
        numbers: dict[int, int] = {}
        for true_id in video.areas:
            kind = 1 if agnostic or video.classes is None else video.classes[true_id] + 1
            truth.append(_record(len(truth) + 1, number, kind))
            numbers[true_id] = len(truth)
        crowds: dict[int, int] = {}
        for found_id, one in video.found.items():
            if not one.frames or not one.area:
                continue
            best = max(one.scores, key=lambda name: one.scores[name])
            kind = 1 if agnostic else best + 1
            found.append(_record(len(found) + 1, number, kind)
                         | {'score': sum(one.scores.values()) / one.frames})
            hidden = one.void.get(best if video.sorted and not agnostic else None, 0)
            if hidden and kind not in crowds:
                truth.append(_record(len(truth) + 1, number, kind, crowd=True))
                crowds[kind] = len(truth)
            if hidden:
                ious[len(found), crowds[kind]] = hidden / one.area
            for true_id, row in numbers.items():
                shared = video.shared.get((true_id, found_id), 0)
                if shared:
                    ious[len(found), row] = shared / (
                        video.areas[true_id] + one.area - shared)
    return truth, found, ious


def _record(number: int, video: int, kind: int, crowd: bool = False) -> dict[str, Any]:
    # Figures by size are not asked for.
    return {'id': number, 'image_id': video, 'category_id': kind, 'area': 1,
            'bbox': [0, 0, 1, 1], 'iscrowd': int(crowd)}


def _index(videos: int, annotations: list[dict[str, Any]]) -> COCO:
    index = COCO()
    kinds = sorted({a['category_id'] for a in annotations}) or [1]
    index.dataset = {'info': {}, 'images': [{'id': n + 1} for n in range(videos)],
                     'categories': [{'id': kind, 'name': str(kind)} for kind in kinds],
                     'annotations': annotations}
    index.createIndex()
    return index
