#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""In what share of its frames each main object of a real video is masked under one id.

Of the demo's video, which `make demo` fetched: an id covers an object in a frame where the box of
its mask and the object's, drawn by eye (demo_objects.yaml), have an IoU of at least half; frames
in which somebody hides more than half of the object do not count.  With
--davis DIR also of the sequences in a folder in the layout of DAVIS, where masks are compared.
Each object's figure is that of the one id that covers it in the most frames; objects_80 is the
number of objects with at least 0.8.  Every frame goes through the tracker at its default settings.
"""

import argparse
from dataclasses import dataclass
from dataclasses import field
from itertools import islice
from pathlib import Path
import sys

from common import finish
from common import machine
import numpy as np
from numpy.typing import NDArray
import yaml

from vos_ros.evaluate.track_metrics import mask_ious
from vos_ros.evaluate.track_videos import labelled
from vos_ros.evaluate.track_videos import Video
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.tracking.command import read_frames
from vos_ros.tracking.instances import InstanceTracker

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


def follow(video: Video, network: MobileInst, objects: dict[str, Coverage]) -> int:
    """Add the objects of an annotated video; return its number of frames."""
    tracker, frames = InstanceTracker(network), 0
    for image, truth, *_ in video.frames:
        found = tracker.step(image).label_map
        frames += 1
        if truth is None:
            continue
        ids, tracks, iou = mask_ious(truth, found)
        for row, number in enumerate(ids.tolist()):
            name = video.name + (f' {number}' if number > 1 else '')
            objects.setdefault(name, Coverage()).add(tracks[iou[row] >= 0.5].tolist())
    return frames


def box_at(drawn: dict[int, list[float]], frame: int) -> NDArray[np.float64] | None:
    """Return an object's box x1 y1 x2 y2 in a frame; None before its first and after its last."""
    times = sorted(drawn)
    if not times[0] <= frame <= times[-1]:
        return None
    sides = np.array([drawn[time] for time in times], float)
    return np.array([np.interp(frame, times, side) for side in sides.T])


def shared(box: NDArray[np.float64], boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the area that a box has in common with each of boxes [n, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common: NDArray[np.float64] = (high - low).clip(0).prod(1)
    return common


def hidden(box: NDArray[np.float64], before: NDArray[np.float64] | None) -> bool:
    """Say whether what passes before an object covers more than half of its box."""
    return before is not None and bool(
        shared(box, before[None])[0] > (box[2:] - box[:2]).prod() / 2)


def ious(box: NDArray[np.float64], boxes: NDArray[np.float32]) -> NDArray[np.float64]:
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
    parser.add_argument('--video', type=Path, default=HERE.parent / '.cache/demo/bikes.mp4')
    parser.add_argument('--davis', type=Path, metavar='DIR',
                        help='annotated sequences in the layout of DAVIS')
    args = parser.parse_args()
    drawn = yaml.safe_load((HERE / 'demo_objects.yaml').read_text())
    behind = drawn.pop('behind')
    if not args.video.is_file():
        print(f'demo_objects: {args.video} is not there; `make demo` fetches it',
              file=sys.stderr)
        return 1
    package = load_package(args.model)
    print(f'{package}\n{machine()}')
    network = MobileInst(package, 1)
    objects: dict[str, Coverage] = {name: Coverage() for name in drawn}
    tracker, number = InstanceTracker(network), 0
    for frame, _ in islice(read_frames(str(args.video)), 125 if args.quick else None):
        tracks = tracker.step(frame).tracks
        for name, boxes in drawn.items():
            box = box_at(boxes, number)
            before = box_at(drawn[behind[name]], number) if name in behind else None
            if box is not None and not hidden(box, before):
                objects[name].add(tracks.ids[ious(box, tracks.boxes) >= 0.5].tolist())
        number += 1
    if args.davis:
        for video in labelled(args.davis, None, args.quick):
            number += follow(video, network, objects)
    figures: dict[str, float] = {'frames': number}
    for name, seen in objects.items():
        if seen.frames:
            best = max(seen.ids.values(), default=0)
            figures[f'share_{name.replace(" ", "_")}'] = round(best / seen.frames, 3)
            print(f'{name:>16}: one id in {best:3d} of {seen.frames:3d} frames, '
                  f'{len(seen.ids)} ids in all')
    shares = [value for key, value in figures.items() if key.startswith('share_')]
    figures.update(objects=len(shares), objects_80=sum(share >= 0.8 for share in shares))
    print(f'{figures["objects_80"]} of {len(shares)} objects in at least 80 % of their frames')
    finish(figures, args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
