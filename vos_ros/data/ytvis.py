# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Videos and tracks from a YouTube-VIS JSON file (2019, 2021 and OVIS have the same layout)."""

from collections.abc import Sequence
import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from vos_ros.data.coco import DataError
from vos_ros.data.coco import read_rgb
from vos_ros.data.instances import Clip


class YoutubeVis:
    """The videos of a YouTube-VIS file; frames are decoded when a clip is asked for.

    folder: the JPEGImages folder that the file names in the JSON are relative to.
    classes: class names in the file's category order.

    Raises DataError naming the file at fault, also one without annotations, as the official files
    for validation and test are.
    """

    def __init__(self, folder: str | os.PathLike[str],
                 annotations: str | os.PathLike[str]) -> None:
        """Read the JSON file."""
        path = Path(annotations)
        if not path.is_file():
            raise DataError(f'{path}: no such annotation file')
        try:
            data = json.loads(path.read_text())
            categories = sorted(data['categories'], key=lambda c: c['id'])
            self.videos: list[dict] = sorted(data['videos'], key=lambda v: v['id'])
            tracks = data['annotations'] or []
            for video in self.videos:       # what is used of them later
                _ = video['file_names'], video['height'], video['width']
            lengths = {video['id']: len(video['file_names']) for video in self.videos}
            self._class_of = {category['id']: i for i, category in enumerate(categories)}
            for track in tracks:
                self._check(path, track, lengths)
        except DataError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f'{path}: is not a YouTube-VIS file ({error!r})') from error
        if not tracks:
            raise DataError(f'{path}: has no annotations')
        self.folder = Path(folder)
        self.classes = tuple(c['name'] for c in categories)
        self._tracks: dict[int, list[dict]] = {}
        self._crowds: dict[int, list[dict]] = {}
        for track in tracks:
            kind = self._crowds if track.get('iscrowd') else self._tracks
            kind.setdefault(track['video_id'], []).append(track)

    def _check(self, path: Path, track: dict, lengths: dict[int, int]) -> None:
        name = f'{path}: annotation {track.get("id", "without id")}'
        if track['category_id'] not in self._class_of:
            raise DataError(f'{name}: category {track["category_id"]} is not among the categories')
        if track['video_id'] not in lengths:
            raise DataError(f'{name}: video {track["video_id"]} is not among the videos')
        frames = lengths[track['video_id']]
        if len(track['segmentations']) != frames:
            raise DataError(f'{name}: has {len(track["segmentations"])} segmentations, video '
                            f'{track["video_id"]} {frames} frames')

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.videos)

    def length(self, index: int) -> int:
        """Return the number of frames of a video."""
        return len(self.videos[index]['file_names'])

    def track_classes(self, index: int) -> list[int]:
        """Return the classes of a video's tracks, whose ids in clips are 1, 2, ..."""
        return [self._class_of[track['category_id']]
                for track in self._tracks.get(self.videos[index]['id'], [])]

    def clip(self, index: int, frames: Sequence[int]) -> Clip:
        """Decode the given frames of a video, with all of the video's tracks.

        Where tracks overlap, the smaller one is on top. Raises DataError naming the file when a
        frame cannot be read or has another size than the JSON says, IndexError for a frame
        number outside the video.
        """
        video = self.videos[index]
        height, width = video['height'], video['width']
        tracks = self._tracks.get(video['id'], [])
        images, labels = [], []
        for number in frames:
            path = self.folder / video['file_names'][number]
            rgb = read_rgb(path)
            if rgb.shape[:2] != (height, width):
                raise DataError(f'{path}: is {rgb.shape[1]} x {rgb.shape[0]}, the annotations '
                                f'say {width} x {height}')
            masks = [(int(m.sum()), i + 1, m) for i, m in (
                (i, _mask(track['segmentations'][number], height, width))
                for i, track in enumerate(tracks)) if m is not None]
            label = np.zeros((height, width), np.uint16)
            for _, i, mask in sorted(masks, key=lambda entry: (-entry[0], entry[1])):
                label[mask != 0] = i
            images.append(rgb)
            labels.append(label)
        return Clip(np.stack(images), np.stack(labels),
                    np.array(self.track_classes(index), np.int64))

    def crowds(self, index: int, number: int) -> dict[int, NDArray[np.bool_]]:
        """Return where a frame shows objects that nobody told apart (iscrowd).

        Of each class of which there are such: bool [H, W].
        """
        video = self.videos[index]
        size = video['height'], video['width']
        out: dict[int, NDArray[np.bool_]] = {}
        for track in self._crowds.get(video['id'], []):
            mask = _mask(track['segmentations'][number], *size)
            if mask is not None:
                of_class = out.setdefault(self._class_of[track['category_id']],
                                          np.zeros(size, np.bool_))
                of_class |= mask != 0
        return out

    def crowd(self, index: int, number: int) -> NDArray[np.bool_]:
        """Return where a frame shows such objects of any class: bool [H, W]."""
        video = self.videos[index]
        return np.any([np.zeros((video['height'], video['width']), np.bool_),
                       *self.crowds(index, number).values()], axis=0)


def _mask(segmentation: dict | list | None, height: int, width: int) -> NDArray[np.uint8] | None:
    """Decode polygons, or run lengths (plain or compressed); None where nothing is visible."""
    if not segmentation:
        return None
    if isinstance(segmentation, list) or isinstance(segmentation.get('counts'), list):
        segmentation = coco_mask.frPyObjects(segmentation, height, width)
    if isinstance(segmentation, list):
        segmentation = coco_mask.merge(segmentation)
    return coco_mask.decode(segmentation)
