# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Track instances in a video file or a folder of images, without ROS; draw and count them."""

import argparse
from collections.abc import Iterator
from dataclasses import fields
import json
from pathlib import Path
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.package import REUSE_FEATURES
from vos_ros.runtime.reading import read_picture
from vos_ros.runtime.reading import warn_if_cut_off
from vos_ros.runtime.session import GraphError
from vos_ros.runtime.sizes import Sizes
from vos_ros.tracking.drawing import contact_sheet
from vos_ros.tracking.drawing import draw_tracks
from vos_ros.tracking.folder import pictures_in
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.video_file import VideoFile

_QUICK_FRAMES = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments, one for each parameter of the tracker among them."""
    parser.add_argument('video', help='a video file, or a folder of images in the order of '
                        'their names, 9.png before 10.png')
    parser.add_argument('--out', help='write the overlay to this .mp4; pictures of '
                        'another size than the first are scaled to it')
    parser.add_argument('--sheet', help='write a contact sheet of the overlay to this .png')
    parser.add_argument('--model', default='mobileinst-lite0',
                        help='a model package: its folder, or its name')
    parser.add_argument('--threads', type=int, default=2, help='threads of the network')
    parser.add_argument('--provider', action='append', default=None,
                        help='what should compute, best first (repeatable); the CPU if not given')
    parser.add_argument('--reuse-features', choices=REUSE_FEATURES, default='cached',
                        help='what runs on the frames between keyframes (default: %(default)s)')
    parser.add_argument('--frames', type=int, default=0, help='stop after so many frames; 0: all')
    parser.add_argument('--json', action='store_true', help='print the summary as JSON, last line')
    parser.add_argument('--quick', action='store_true', help=f'only {_QUICK_FRAMES} frames')
    group = parser.add_argument_group('tracker')
    for entry in fields(InstanceTrackerParams):
        group.add_argument(
            '--' + entry.name.replace('_', '-'), dest=entry.name, default=entry.default,
            type=type(entry.default), help=entry.metadata['description'])


def run(args: argparse.Namespace) -> int:
    """Track the video; return 0, or 1 with a message on stderr."""
    try:
        if args.frames < 0:
            raise ValueError(f'--frames {args.frames}: at least 0')
        params = InstanceTrackerParams(
            **{entry.name: getattr(args, entry.name) for entry in fields(InstanceTrackerParams)})
        network = MobileInst(load_package(args.model), args.threads, args.provider or ('cpu',),
                             reuse_features=args.reuse_features)
        return _track(args, network, InstanceTracker(network, params))
    except (OSError, ValueError, PackageError, GraphError) as error:
        print(f'vos-ros track: {error}', file=sys.stderr)
        return 1


def read_frames(source: str) -> Iterator[tuple[NDArray[np.uint8], float | None]]:
    """Yield (uint8 [H, W, 3] RGB, seconds or None) of a video file or a folder of images.

    Raises FileNotFoundError, or ValueError for what OpenCV cannot read.  Logs a warning at the
    end of a video that is shorter than it says.
    """
    path = Path(source)
    if path.is_dir():
        for file in pictures_in(path):
            yield cv2.cvtColor(  # type: ignore[misc]  # uint8 in and out
                read_picture(file), cv2.COLOR_BGR2RGB), None
        return
    if not path.is_file():
        raise FileNotFoundError(f'{source}: no such file or folder')
    capture = cv2.VideoCapture(str(path))
    try:
        count = 0
        rate = capture.get(cv2.CAP_PROP_FPS) or 30.0
        while True:
            ok, image = capture.read()
            if not ok:
                break
            yield cv2.cvtColor(image, cv2.COLOR_BGR2RGB), count / rate  # type: ignore[misc]
            count += 1
        if not count:
            raise ValueError(f'{source}: is not a video that OpenCV can read')
        warn_if_cut_off(capture, source, count)
    finally:
        capture.release()


def _track(args: argparse.Namespace, network: MobileInst, tracker: InstanceTracker) -> int:
    print(f'{network.package}, {args.threads} threads, {", ".join(network.providers)}')
    limit = _QUICK_FRAMES if args.quick else args.frames
    video: VideoFile | None = None
    pictures: list[NDArray[np.uint8]] = []
    seen: dict[int, int] = {}
    count, keep_every = 0, 1
    out = Path(args.out).expanduser() if args.out else None
    if out and out.exists() and out.samefile(args.video):
        raise ValueError(f'--out {args.out} is the video itself')
    sheet = Path(args.sheet).expanduser() if args.sheet else None
    if sheet:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.haveImageWriter(str(sheet)):
            raise ValueError(f'{sheet}: OpenCV cannot write a picture of that suffix')
    network.warm()
    sizes = Sizes.of(network, network.package, args.threads, args.provider or ('cpu',))
    for frame, stamp in read_frames(args.video):
        if limit and count >= limit:
            break
        tracker.network = sizes.facing(network, frame.shape[:2])
        result = tracker.step(frame, stamp)
        for track_id in result.tracks.ids[result.tracks.areas > 0]:
            seen[int(track_id)] = seen.get(int(track_id), 0) + 1
        if out or sheet:
            picture = draw_tracks(frame, result.label_map, result.tracks)
            if out:
                video = video or VideoFile(out, picture.shape[:2], _rate(args.video))
                video.write(picture)
            if sheet and count % keep_every == 0:
                pictures.append(picture)
                # Bounded however long the video is: half of what is kept goes when it is full.
                if len(pictures) == 48:
                    pictures, keep_every = pictures[::2], keep_every * 2
        count += 1
        if count % 25 == 0:
            print(f'\r{count} frames, {len(seen)} tracks', end='', file=sys.stderr, flush=True)
    print(f'\r{count} frames, {len(seen)} tracks', file=sys.stderr)
    if video is not None:
        video.close()
    if sheet:
        chosen = pictures[::max(1, len(pictures) // 24)]
        if not cv2.imwrite(str(sheet), cv2.cvtColor(contact_sheet(chosen), cv2.COLOR_RGB2BGR)):
            raise ValueError(f'{sheet}: OpenCV cannot write a picture there')
    _report(args, tracker, count, seen)
    return 0


def _rate(source: str) -> float:
    """Return the pictures a second of a video, 30 where it does not say or is a folder."""
    return (0.0 if Path(source).is_dir() else cv2.VideoCapture(source).get(cv2.CAP_PROP_FPS)) \
        or 30.0


def _report(
        args: argparse.Namespace, tracker: InstanceTracker, count: int, seen: dict[int, int],
        ) -> None:
    figures: dict[str, float] = {'frames': count, 'tracks': len(seen)}
    print(f'{"stage":<12}{"median ms":>10}{"p95 ms":>10}')
    for name, stage in tracker.clock.summary().items():
        print(f'{name:<12}{stage.median:>10.2f}{stage.p95:>10.2f}')
        figures[f'{name}_ms'] = round(stage.median, 3)
        figures[f'{name}_p95_ms'] = round(stage.p95, 3)
    longest = sorted(seen.items(), key=lambda item: -item[1])[:10]
    print('longest tracks: ' + ', '.join(
        f'id {track_id}: {100 * frames / count:.0f} %' for track_id, frames in longest))
    if args.json:
        print(json.dumps(figures))
