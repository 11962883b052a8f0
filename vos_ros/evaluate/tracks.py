# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Measure the instance tracker on video with known ids: HOTA, IDF1, id switches, VIS AP.

The video is synthetic (cut-outs of COCO-style images moving over held-out ones), sequences with
label maps in the layout of DAVIS, real or from `vos-ros simulate`, or a YouTube-VIS set. Classes
count in the VIS AP of a YouTube-VIS set alone, whose categories the network must all have.
Where only some objects are labelled, as in DAVIS, precision and with it HOTA and IDF1 come out too
low: use such figures only beside each other.  Where the label maps mark void (255), as simulated
ones do, masks found there are neither right nor false, see `track_metrics`; `void_dropped` counts
them.
"""

import argparse
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
import sys
from typing import Any

import numpy as np

from vos_ros.evaluate.figures import percent
from vos_ros.evaluate.figures import to_json
from vos_ros.evaluate.track_metrics import TrackScores
from vos_ros.evaluate.track_videos import is_youtube_vis
from vos_ros.evaluate.track_videos import labelled
from vos_ros.evaluate.track_videos import synthetic
from vos_ros.evaluate.track_videos import Video
from vos_ros.evaluate.track_videos import youtube_vis
from vos_ros.evaluate.vis_ap import NAMES
from vos_ros.evaluate.vis_ap import VideoTracks
from vos_ros.evaluate.vis_ap import vis_ap
from vos_ros.evaluate.vos_scores import naming
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.package import REUSE_FEATURES
from vos_ros.runtime.session import GraphError
from vos_ros.runtime.sizes import Sizes
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--data', type=Path, help='folder of COCO-style images or of '
                        'YouTube-VIS frames, or, without --annotations, in the layout of DAVIS')
    parser.add_argument('--annotations', type=Path,
                        help='their COCO instances or YouTube-VIS JSON')
    parser.add_argument('--class-agnostic', action='store_true',
                        help='VIS AP counts a track whatever its class')
    parser.add_argument('--hold-out', type=int, default=5, metavar='N',
                        help='use only images whose crc32(id) %% N is 0; 0 uses all')
    parser.add_argument('--sequences', type=Path, help='the same: a folder in the layout of DAVIS')
    parser.add_argument('--only', action='append', help='only this sequence or '
                        'YouTube-VIS video (repeatable)')
    parser.add_argument('--clips', type=int, default=8, help='synthetic clips')
    parser.add_argument('--frames', type=int, default=60, help='frames a synthetic clip')
    parser.add_argument('--model', default='mobileinst-lite0', help='a package: folder or name')
    parser.add_argument('--threads', type=int, default=1, help='threads of the network')
    parser.add_argument('--reuse-features', choices=REUSE_FEATURES, default='cached',
                        help='what runs on the frames between keyframes (default: %(default)s)')
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        help='a parameter of the tracker (repeatable)')
    parser.add_argument('--json', action='store_true', help='end with one JSON object on a line')
    parser.add_argument('--quick', action='store_true', help='two clips of twelve frames')


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; return the exit status."""
    try:
        params = InstanceTrackerParams(**dict(map(_setting, args.set)))
        package = load_package(args.model)
        network = MobileInst(package, args.threads, reuse_features=args.reuse_features)
        name, videos = _videos(args, package.classes)
        figures = evaluate(network, params, videos, args.threads, args.class_agnostic)
    except (OSError, ValueError, PackageError, GraphError) as error:
        print(f'vos-ros evaluate tracks: {error}', file=sys.stderr)
        return 1
    agnostic = bool(figures.pop('class_agnostic'))
    print('  '.join(f'{key.replace("_", " ")} {percent(figures[key])}' for key in NAMES)
          + (' (class-agnostic)' if agnostic else ''))
    print(f'{name}: {int(figures["sequences"])} sequences, {int(figures["frames"])} frames; '
          f'model {package.name} ({package.digest[:12]})')
    if args.json:
        print(to_json({
            **figures, 'class_agnostic': agnostic, 'data': name, 'model': package.name,
            'model_digest': package.digest[:12]}))
    return 0


def _videos(args: argparse.Namespace, classes: Sequence[str]) -> tuple[str, Iterator[Video]]:
    """Return what to call the data, and the videos."""
    folder = args.sequences or (args.data if args.annotations is None else None)
    if folder is not None:
        return folder.name, labelled(folder, args.only, args.quick)
    if args.data is None or args.annotations is None:
        raise ValueError('give --data, and --annotations when it is a folder of images')
    if is_youtube_vis(args.annotations):
        return args.annotations.name, youtube_vis(
            args.data, args.annotations, classes, args.only, args.quick)
    if args.only:
        raise ValueError(f'--only {args.only[0]}: there are no names among synthetic clips')
    return f'synthetic, of {args.annotations.name}', synthetic(
        args.data, args.annotations, args.hold_out, args.clips, args.frames, args.quick)


def evaluate(
        network: MobileInst, params: InstanceTrackerParams, videos: Iterator[Video],
        threads: int = 1, agnostic: bool = False) -> dict[str, float]:
    """Track each video from a fresh start, print a line for it, and return the means.

    Figures of the videos are put `together`, the VIS figures are those of all videos as one set
    (see `vis_ap`). class_agnostic: whether classes do
    not count in the VIS figures, because agnostic says so or a video does not know them.
    Raises ValueError where there is no video.
    """
    print(f'{"sequence":<20}{"HOTA":>8}{"DetA":>8}{"AssA":>8}{"IDF1":>8}{"recall":>8}{"switch":>8}'
          f'{"void":>8}')
    rows: list[dict[str, float]] = []
    gathered: list[VideoTracks] = []
    sizes = Sizes.of(network, network.package, threads, ('cpu',))
    for video in videos:
        tracker, scores, count = InstanceTracker(network, params), TrackScores(), 0
        gathered.append(VideoTracks(video.classes))
        with naming(video.name):
            for image, truth, void, crowds in video.frames:
                tracker.network = sizes.facing(network, image.shape[:2])
                result = tracker.step(image)
                count += 1
                if truth is not None:
                    scores.add(truth, result.label_map, void)
                    gathered[-1].add(truth, result.label_map, result.tracks, void, crowds)
        row = scores.compute()
        print(_line(video.name, row))
        rows.append({**row, 'frames': count})
    if not rows:
        raise ValueError('there is no sequence to evaluate')
    figures = together(rows)
    print(_line('all', figures))
    agnostic = agnostic or any(video.classes is None for video in gathered)
    return {**figures, 'sequences': float(len(rows)), **vis_ap(gathered, agnostic),
            'class_agnostic': float(agnostic)}


def together(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Put the figures of videos together, see `TrackScores.compute`.

    id_switches, frames, objects, found and void_dropped are summed, the others are means over the
    videos; one that shows no object and in which none was found has nothing to say in them.
    """
    sums = ('id_switches', 'void_dropped', 'frames', 'objects', 'found')
    telling = [row for row in rows if row['objects'] or row['found']] or rows
    return {name: float(np.sum([row[name] for row in rows]) if name in sums
                        else np.mean([row[name] for row in telling])) for name in rows[0]}


def _line(name: str, row: dict[str, float]) -> str:
    return (f'{name:<20}{row["HOTA"]:>8.3f}{row["DetA"]:>8.3f}{row["AssA"]:>8.3f}'
            f'{row["IDF1"]:>8.3f}{row["recall"]:>8.3f}{row["id_switches"]:>8.0f}'
            f'{row["void_dropped"]:>8.0f}')


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition('=')
    kinds: dict[str, type] = {
        entry.name: type(entry.default) for entry in fields(InstanceTrackerParams)}
    if name not in kinds:
        raise ValueError(f'--set {text}: the tracker has no parameter {name!r}; '
                         f'it has {", ".join(kinds)}')
    try:
        return name, kinds[name](value)
    except ValueError:
        raise ValueError(f'--set {text}: {value!r} is no {kinds[name].__name__}') from None
