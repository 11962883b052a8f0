# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Measure the instance tracker's identities: HOTA, IDF1, id switches, on video with known ids.

The video is synthetic (cut-outs of COCO-style images moving over held-out ones), or sequences
with label maps in the layout of DAVIS, real or from `vos-ros simulate`.  Classes do not count.
Where only some objects are labelled, as in DAVIS, precision and with it HOTA and IDF1 come out too
low: use such figures only beside each other.  Where the label maps mark void (255), as simulated
ones do, masks found there are neither right nor false, see `track_metrics`; `void_dropped` counts
them.
"""

import argparse
from collections.abc import Iterator
from dataclasses import fields
import json
from pathlib import Path
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vos_ros.evaluate.track_metrics import TrackScores
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.package import REUSE_FEATURES
from vos_ros.runtime.session import GraphError
from vos_ros.runtime.sizes import Sizes
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams

# uint8 [H, W, 3] with its true ids (None: not annotated) and its void (None: there is none).
Frame = tuple[NDArray[np.uint8], NDArray[np.uint16] | None, NDArray[np.bool_] | None]
Sequence = tuple[str, Iterator[Frame]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--data', type=Path, help='folder of COCO-style images, or, '
                        'without --annotations, a folder in the layout of DAVIS')
    parser.add_argument('--annotations', type=Path, help='their COCO instances JSON')
    parser.add_argument('--hold-out', type=int, default=5, metavar='N',
                        help='use only images whose crc32(id) %% N is 0; 1 uses all')
    parser.add_argument('--sequences', type=Path, help='the same: a folder in the layout of DAVIS')
    parser.add_argument('--only', action='append', help='only this sequence (repeatable)')
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
        network = MobileInst(load_package(args.model), args.threads,
                             reuse_features=args.reuse_features)
        folder = args.sequences or (args.data if args.annotations is None else None)
        sequences = _labelled(args, folder) if folder else _synthetic(args)
        figures = evaluate(network, params, sequences, args.threads)
    except (OSError, ValueError, PackageError, GraphError) as error:
        print(f'vos-ros evaluate tracks: {error}', file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({name: round(value, 5) for name, value in figures.items()}))
    return 0


def evaluate(
        network: MobileInst, params: InstanceTrackerParams, sequences: Iterator[Sequence],
        threads: int = 1) -> dict[str, float]:
    """Track each sequence from a fresh start, print a line for it, and return the means.

    id_switches and void_dropped are sums over all sequences; the other figures are means over
    sequences.
    """
    print(f'{"sequence":<20}{"HOTA":>8}{"DetA":>8}{"AssA":>8}{"IDF1":>8}{"recall":>8}{"switch":>8}'
          f'{"void":>8}')
    rows: list[dict[str, float]] = []
    sizes = Sizes.of(network, network.package, threads, ('cpu',))
    for name, frames in sequences:
        tracker, scores, count = InstanceTracker(network, params), TrackScores(), 0
        for frame, truth, void in frames:
            tracker.network = sizes.facing(network, frame.shape[:2])
            result = tracker.step(frame)
            count += 1
            if truth is not None:
                scores.add(truth, result.label_map, void)
        row = scores.compute()
        print(_line(name, row))
        rows.append({**row, 'frames': count})
    if not rows:
        raise ValueError('there is no sequence to evaluate')
    sums = ('id_switches', 'void_dropped', 'frames')
    figures = {name: float(np.sum(values) if name in sums else np.mean(values))
               for name in rows[0] for values in [[row[name] for row in rows]]}
    print(_line('all', figures))
    return {**figures, 'sequences': float(len(rows))}


def _line(name: str, row: dict[str, float]) -> str:
    return (f'{name:<20}{row["HOTA"]:>8.3f}{row["DetA"]:>8.3f}{row["AssA"]:>8.3f}'
            f'{row["IDF1"]:>8.3f}{row["recall"]:>8.3f}{row["id_switches"]:>8.0f}'
            f'{row["void_dropped"]:>8.0f}')


def _synthetic(args: argparse.Namespace) -> Iterator[Sequence]:
    # Imported here: label maps on disk need none of it.
    from vos_ros.data.coco import CocoImages
    from vos_ros.data.coco import held_out
    from vos_ros.data.coco import load_coco
    from vos_ros.data.cutouts import cut_instances
    from vos_ros.data.instances import SUPERCATEGORIES
    from vos_ros.data.synthetic_video import SyntheticVideo
    from vos_ros.data.synthetic_video import VideoConfig
    if args.data is None or args.annotations is None:
        raise ValueError('give --data, and --annotations when it is a folder of images')
    entries = load_coco(args.annotations).dataset['images']
    keep: set[int | str] = {e['id'] for e in entries if held_out(e['id'], args.hold_out)}
    images = list(CocoImages(args.data, args.annotations, SUPERCATEGORIES, keep))
    video = SyntheticVideo(images, cut_instances(images), VideoConfig(height=384, width=640))
    clips, length = (2, 12) if args.quick else (args.clips, args.frames)
    for seed in tqdm(range(clips), unit='clip', disable=None):
        scene = video.scene(seed)
        yield f'synthetic {seed}', ((*scene.frame(time), None) for time in range(length))


def _labelled(args: argparse.Namespace, folder: Path) -> Iterator[Sequence]:
    from vos_ros.evaluate.davis import find_sequences
    from vos_ros.evaluate.davis import VOID
    for sequence in find_sequences(folder, args.only):
        length = min(12, len(sequence.frames)) if args.quick else len(sequence.frames)

        def frames(sequence=sequence, length=length):
            for index in range(length):
                labels, image = sequence.labels(index, void=True), sequence.image(index)
                if labels is None:
                    yield image, None, None
                else:
                    void = labels == VOID
                    yield image, np.where(void, 0, labels).astype(np.uint16), void
        yield sequence.name, frames()


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
