#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the instance tracker's operating points cost in quality, on real video.

Each video is tracked at every point, every frame computed.  iou_<side>_T<n>_<way>: mask IoU (all
objects together) of its frames with the same frames of the best point: the model's own input size,
T = 3, `cached`; mean of the videos.  A way is cached or motion, with late keyframes: late.
shown: share of the best point's frames that show an object; where that is low, the rest means
little.
"""

import argparse
from dataclasses import replace
from itertools import islice
from itertools import product
from pathlib import Path
import sys

from common import finish
from common import machine
import numpy as np
from numpy.typing import NDArray

from vos_ros.budget.ladder import input_sizes
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.sizes import Sizes
from vos_ros.tracking.command import read_frames
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams

INTERVALS = (3, 6, 12)


def overlap(found: list[NDArray[np.bool_]], best: list[NDArray[np.bool_]]) -> float:
    """Return the mean IoU of masks; 1 where both are empty."""
    values = []
    for a, b in zip(found, best, strict=True):
        union = np.count_nonzero(a | b)
        values.append(np.count_nonzero(a & b) / union if union else 1.0)
    return float(np.mean(values))


def main() -> int:
    """Run the benchmark; return 0, or 1 when a video cannot be read."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument('--json', action='store_true',
                           help='print the figures as one JSON object, last line')
    arguments.add_argument('--quick', action='store_true', help='20 frames of each video')
    arguments.add_argument('--frames', type=int, default=80, help='at most so many of each video')
    arguments.add_argument('--videos', type=Path, nargs='+',
                           help='video files or folders of pictures (default: the sample video)')
    arguments.add_argument('--model', default='mobileinst-lite0', help='a mobileinst package')
    arguments.add_argument('--birth-score', type=float, default=InstanceTrackerParams.birth_score,
                           help='lower it where a video shows too little')
    args = arguments.parse_args()
    print(machine())
    if not args.videos:
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent / 'scripts'))
        from demo import sample_video
        args.videos = [sample_video()]
    most = 20 if args.quick else args.frames
    try:
        videos = [[frame for frame, _ in islice(read_frames(str(path)), most)]
                  for path in args.videos]
    except (OSError, ValueError) as error:
        print(f'points: {error}', file=sys.stderr)
        return 1
    package = load_package(args.model)
    network = MobileInst(package)
    sizes = Sizes.of(network, package, 1, ('cpu',))
    params = replace(InstanceTrackerParams(), birth_score=args.birth_score, keep_score=min(
        InstanceTrackerParams.keep_score, 0.6 * args.birth_score))

    def masks(video: list[NDArray[np.uint8]], size: tuple[int, int], interval: int, motion: bool,
              late: bool) -> list[NDArray[np.bool_]]:
        tracker = InstanceTracker(sizes.motion(size) if motion else sizes[size],
                                  replace(params, reuse_interval=interval))
        tracker.late_keyframes = late
        found = []
        for frame in video:
            found.append(tracker.step(frame).label_map != 0)
            tracker.finish()
        return found

    best = [masks(video, network.input_size, INTERVALS[0], False, False) for video in videos]
    figures = {'shown': float(np.mean([mask.any() for one in best for mask in one]))}
    print(f'shown on {figures["shown"]:.0%} of the frames')
    for size, interval in product(sizes.load(input_sizes(network.input_size, 128)), INTERVALS):
        line = f'{size[0]}x{size[1]}, T = {interval}:'
        for motion, late in product((False, True), repeat=2):
            way = ('motion' if motion else 'cached') + ('_late' if late else '')
            iou = float(np.mean([overlap(masks(video, size, interval, motion, late), one)
                                 for video, one in zip(videos, best, strict=True)]))
            figures[f'iou_{min(size)}_T{interval}_{way}'] = iou
            line += f'  {way} {iou:.3f}'
        print(line, flush=True)
    finish(figures, args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
