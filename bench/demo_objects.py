#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""In what share of its frames each main object of a real video is masked under one id.

Of the demo's video, which `make demo` fetched: an id covers an object in a frame where the box of
its mask and the object's, drawn by eye (demo_objects.yaml), have an IoU of at least half; frames
in which somebody hides more than half of the object do not count.  With
--davis DIR also of the sequences in a folder in the layout of DAVIS, where masks are compared.
Each object's figure is that of the one id that covers it in the most frames; objects_80 and
objects_90 are the numbers of objects with at least 0.8 and 0.9.  Every frame goes through the
instance tracker at its default settings.

With --follow through the memory tracker instead, as its node is set by default: each object is
pointed at once, by its box in the first frame in which it counts, as a user draws it, and its
figure is that of the id that it was given.  That frame itself does not count.

--sheet writes what the demo's video looks like with its masks, for the eye to judge.
"""

import argparse
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from itertools import islice
from pathlib import Path
import sys

from common import finish
from common import machine
import cv2
import numpy as np
from numpy.typing import NDArray
import yaml

from vos_ros.evaluate.track_metrics import mask_ious
from vos_ros.evaluate.track_videos import labelled
from vos_ros.evaluate.track_videos import Video
from vos_ros.nodes.tables import MEMORY_TRACKER
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.xmem import OnnxXMem
from vos_ros.tracking.command import read_frames
from vos_ros.tracking.drawing import contact_sheet
from vos_ros.tracking.drawing import draw_tracks
from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.following import Following
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.prompt import Prompt
from vos_ros.tracking.prompt import Scene
from vos_ros.tracking.prompts import resolve
from vos_ros.tracking.tracks import StepResult

Image = NDArray[np.uint8]
Box = NDArray[np.float64]

# Frames from one picture of a sheet to the next.
SHEET_EVERY = 7

HERE = Path(__file__).resolve().parent


@dataclass
class Coverage:
    """In how many frames an object is there, and in how many of them each id covers it."""

    frames: int = 0
    ids: dict[int, int] = field(default_factory=dict)

    def add(self, tracks: list[int]) -> None:
        """Take a frame in which these tracks cover it."""
        self.frames += 1
        for track in tracks:
            self.ids[track] = self.ids.get(track, 0) + 1


class Finder:
    """The instance tracker: finds objects by itself."""

    def __init__(self, network: MobileInst) -> None:
        """Start without tracks."""
        self.tracker = InstanceTracker(network)

    def step(self, image: Image, boxes: dict[str, Box]) -> StepResult:
        """Track a frame; boxes: where objects are in it, which it does not look at."""
        return self.tracker.step(image)

    def ids_of(self, name: str, covering: list[int]) -> list[int] | None:
        """Return the tracks that count as an object's."""
        return covering


class Follower(Finder):
    """The memory tracker: follows what is pointed at, each object once, by its box."""

    def __init__(self, network: MobileInst, memory: OnnxXMem) -> None:
        """Start without objects."""
        super().__init__(network)
        defaults = {spec.name: spec.default for spec in MEMORY_TRACKER}
        # As many objects as an annotated video may have.
        defaults.update(short_side=memory.package.input_size[0], max_objects=1000)
        self.following = Following(MemoryTracker(memory, MemoryTrackerParams(
            **{entry.name: defaults[entry.name] for entry in fields(MemoryTrackerParams)})))
        self.ids: dict[str, int] = {}
        self._new: set[str] = set()

    def step(self, image: Image, boxes: dict[str, Box]) -> StepResult:
        """Follow what was pointed at, then point at what is new."""
        instances = super().step(image, boxes).label_map
        result = self.following.step(image)
        self._new = boxes.keys() - self.ids.keys()
        if self._new:
            names, size = sorted(self._new), image.shape[1::-1]
            prompts = [Prompt(name, box=np.clip(boxes[name], 0, [*size, *size]).tolist())
                       for name in names]
            designated = resolve(
                prompts, Scene(image, instances), self.following.identities())
            self.following.add(designated, [image])
            for name, one in zip(names, designated, strict=True):
                self.ids[name] = one.id
                print(f'{name:>16}: pointed at, mask by {one.method}')
        return result

    def ids_of(self, name: str, covering: list[int]) -> list[int] | None:
        """Return the id that an object was given, if it covers it; None on its first frame."""
        if name in self._new:
            return None
        return [track for track in covering if track == self.ids[name]]


def score_video(video: Video, finder: Finder, objects: dict[str, Coverage]) -> int:
    """Add the objects of an annotated video; return its number of frames."""
    frames = 0
    for image, truth, *_ in video.frames:
        frames += 1
        if truth is None:
            finder.step(image, {})
            continue
        names = {number: video.name + (f' {number}' if number > 1 else '')
                 for number in np.unique(truth).tolist() if number}
        found = finder.step(image, {
            name: box_of(truth == number) for number, name in names.items()}).label_map
        ids, tracks, iou = mask_ious(truth, found)
        for row, number in enumerate(ids.tolist()):
            own = finder.ids_of(names[number], tracks[iou[row] >= 0.5].tolist())
            if own is not None:
                objects.setdefault(names[number], Coverage()).add(own)
    return frames


def box_of(mask: NDArray[np.bool_]) -> Box:
    """Return the box x1 y1 x2 y2 of a mask."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return np.array([x, y, x + width, y + height], float)


def box_at(drawn: dict[int, list[float]], frame: int) -> Box | None:
    """Return an object's box x1 y1 x2 y2 in a frame; None before its first and after its last."""
    times = sorted(drawn)
    if not times[0] <= frame <= times[-1]:
        return None
    sides = np.array([drawn[time] for time in times], float)
    return np.array([np.interp(frame, times, side) for side in sides.T])


def shared(box: Box, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the area that a box has in common with each of boxes [n, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common: NDArray[np.float64] = (high - low).clip(0).prod(1)
    return common


def hidden(box: Box, before: Box | None) -> bool:
    """Say whether what passes before an object covers more than half of its box."""
    return before is not None and bool(
        shared(box, before[None])[0] > (box[2:] - box[:2]).prod() / 2)


def ious(box: Box, boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the IoU of a box with each of boxes [n, 4]."""
    common = shared(box, boxes)
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1)
    return common / ((box[2:] - box[:2]).prod() + areas - common)


def main() -> int:
    """Run; return 0, or 1 when there is no video."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true',
                        help='print the figures as one JSON object, last line')
    parser.add_argument('--quick', action='store_true', help='a part of each video only')
    parser.add_argument('--model', default='mobileinst-lite0', help='a model package')
    parser.add_argument('--sheet', type=Path, metavar='PNG',
                        help='write a contact sheet of the video with its masks')
    parser.add_argument('--follow', nargs='?', const='xmem-lite', metavar='PACKAGE',
                        help='point at the objects; the memory tracker follows them')
    parser.add_argument('--video', type=Path, default=HERE.parent / '.cache/demo/bikes.mp4')
    parser.add_argument('--davis', type=Path, metavar='DIR',
                        help='annotated sequences in the layout of DAVIS')
    args = parser.parse_args()
    if args.sheet and not (args.sheet.parent.is_dir() and cv2.haveImageWriter(str(args.sheet))):
        parser.error(f'--sheet {args.sheet}: no such folder, or no picture OpenCV can write')
    drawn = yaml.safe_load((HERE / 'demo_objects.yaml').read_text())
    behind = drawn.pop('behind')
    if not args.video.is_file():
        print(f'demo_objects: {args.video} is not there; `make demo` fetches it',
              file=sys.stderr)
        return 1
    package = load_package(args.model)
    print(f'{package}\n{machine()}')
    network, memory = MobileInst(package, 1), None
    if args.follow:
        memory = OnnxXMem(load_package(args.follow), 2)
        print(memory.package)

    def finder() -> Finder:
        return Finder(network) if memory is None else Follower(network, memory)
    objects: dict[str, Coverage] = {name: Coverage() for name in drawn}
    pictures: list[Image] = []
    tracker, number = finder(), 0
    for frame, _ in islice(read_frames(str(args.video)), 125 if args.quick else None):
        boxes = {name: box for name in drawn
                 if (box := box_at(drawn[name], number)) is not None
                 and not hidden(box, box_at(drawn[behind[name]], number)
                                if name in behind else None)}
        result = tracker.step(frame, boxes)
        tracks = result.tracks
        if args.sheet and number % SHEET_EVERY == 0:
            pictures.append(draw_tracks(frame, result.label_map, tracks))
        for name, box in boxes.items():
            own = tracker.ids_of(name, tracks.ids[ious(box, tracks.boxes) >= 0.5].tolist())
            if own is not None:
                objects[name].add(own)
        number += 1
    if args.sheet and not cv2.imwrite(
            str(args.sheet), cv2.cvtColor(contact_sheet(pictures), cv2.COLOR_RGB2BGR)):
        print(f'demo_objects: {args.sheet} could not be written', file=sys.stderr)
    if args.davis:
        for video in labelled(args.davis, None, args.quick):
            number += score_video(video, finder(), objects)
    figures: dict[str, float] = {'frames': number}
    for name, seen in objects.items():
        if seen.frames:
            best = max(seen.ids.values(), default=0)
            figures[f'share_{name.replace(" ", "_")}'] = round(best / seen.frames, 3)
            print(f'{name:>16}: one id in {best:3d} of {seen.frames:3d} frames, '
                  f'{len(seen.ids)} ids in all')
    shares = [value for key, value in figures.items() if key.startswith('share_')]
    figures.update(objects=len(shares), objects_80=sum(share >= 0.8 for share in shares),
                   objects_90=sum(share >= 0.9 for share in shares))
    print(f'of {len(shares)} objects {figures["objects_80"]} in at least 80 % of their frames, '
          f'{figures["objects_90"]} in 90 %')
    finish(figures, args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
