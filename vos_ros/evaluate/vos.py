# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Measure video object segmentation: J, F and J&F by the DAVIS definitions.

Semi-supervised protocol: the true mask of each object is given on the frame where it first
appears. That frame and the last one of a sequence do not count; means are over objects.
"""

import argparse
from contextlib import nullcontext
import csv
from dataclasses import fields
from dataclasses import replace
from pathlib import Path
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vos_ros.evaluate.davis import find_sequences
from vos_ros.evaluate.davis import VideoSequence
from vos_ros.evaluate.figures import percent
from vos_ros.evaluate.figures import ratio
from vos_ros.evaluate.figures import to_json
from vos_ros.evaluate.vos_scores import Labels
from vos_ros.evaluate.vos_scores import score_sequence
from vos_ros.evaluate.vos_scores import SequenceScore
from vos_ros.evaluate.vos_scores import summary
from vos_ros.tracking.drawing import png_palette
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.video_file import VideoFile

DEFAULT_MODEL = 'xmem-lite'
_QUICK_SEQUENCES, _QUICK_FRAMES = 2, 12


class MemoryTrackerAdapter:
    """A MemoryTracker under the evaluation's protocol: label maps in, label maps out."""

    def __init__(self, tracker: Any, grow: bool = False) -> None:
        """Take a tracker without objects; grow: raise max_objects when there are more to come."""
        self.tracker = tracker
        self.grow = grow

    def step(self, image: NDArray[np.uint8], labels: Labels | None) -> Labels:
        """Track one frame; see `VosTracker`."""
        if labels is None:
            return self.tracker.step(image).label_map
        count = len(self.tracker.objects) + len(np.unique(labels[labels > 0]))
        if self.grow and count > self.tracker.params.max_objects:
            self.tracker.params = replace(self.tracker.params, max_objects=count)
        return self.tracker.step(image, mask=labels.astype(np.uint16)).label_map


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vos-ros evaluate vos`."""
    parser.add_argument('--data', required=True, metavar='DIR', help='folder in the layout of '
                        'DAVIS, YouTube-VOS or PUMaVOS')
    parser.add_argument('--model', default=DEFAULT_MODEL,
                        help='a model package: its folder, or its name')
    parser.add_argument('--sequences', nargs='*', help='only these sequences')
    parser.add_argument('--image-set', help='only those in ImageSets/<this>.txt, e.g. 2017/val')
    parser.add_argument('--frames', type=int, default=0, help='at most so many frames; 0: all')
    parser.add_argument('--threads', type=int, default=2, help='threads of the network')
    parser.add_argument('--csv', type=Path, help='write the table to this file, each sequence as '
                        'soon as it is done')
    parser.add_argument('--overlay', metavar='DIR', help='write SEQ.mp4 with the masks drawn in')
    parser.add_argument('--masks', metavar='DIR', help='write the masks as DIR/SEQ/FRAME.png')
    parser.add_argument('--json', action='store_true', help='print the summary as JSON, last line')
    parser.add_argument('--quick', action='store_true', help=f'only {_QUICK_FRAMES} frames of '
                        f'{_QUICK_SEQUENCES} sequences: shows that it runs, no figure to quote')
    group = parser.add_argument_group('tracker')
    for entry in fields(MemoryTrackerParams):
        kind = _truth if isinstance(entry.default, bool) else type(entry.default)
        default, note = entry.default, entry.metadata['description']
        if entry.name == 'short_side':
            default, note = None, note + ' Default: the height the package is made for.'
        elif entry.name == 'max_objects':
            default, note = None, note + ' Default: as many as a sequence has.'
        group.add_argument('--' + entry.name.replace('_', '-'), dest=entry.name, type=kind,
                           default=default, help=note)


def run(args: argparse.Namespace) -> int:
    """Evaluate; return 0, or 1 with a message on stderr."""
    from vos_ros.runtime.package import load_package
    from vos_ros.runtime.package import PackageError
    from vos_ros.runtime.session import GraphError
    from vos_ros.runtime.xmem import OnnxXMem
    from vos_ros.tracking.engine import MemoryTracker

    try:
        package = load_package(args.model)
        values = {entry.name: getattr(args, entry.name) for entry in fields(MemoryTrackerParams)}
        if values['short_side'] is None:
            values['short_side'] = package.input_size[0]
        grow = values['max_objects'] is None
        if grow:
            del values['max_objects']
        params = MemoryTrackerParams(**values)
        sequences = find_sequences(args.data, args.sequences, args.image_set)
        network = OnnxXMem(package, args.threads)
        frames = args.frames or None
        if args.quick:
            sequences, frames = sequences[:_QUICK_SEQUENCES], _QUICK_FRAMES
        scores = []
        with Table(args.csv) if args.csv else nullcontext() as table:
            print(f'{"sequence":<24}{"object":>7}{"frames":>8}{"J":>8}{"F":>8}{"J&F":>8}'
                  f'{"J seen":>8}{"1st 10th":>10}{"last 10th":>10}{"fps":>8}')
            for sequence in sequences:
                tracker = MemoryTrackerAdapter(MemoryTracker(network, params), grow)
                with Recorder(sequence, args.overlay, args.masks) as recorder:
                    score = score_sequence(sequence, tracker, frames, recorder.frame)
                scores.append(score)
                print_rows(score)
                if table is not None:
                    table.add(score)
        figures = summary(scores)
    except (OSError, ValueError, PackageError, GraphError) as error:
        print(f'vos-ros evaluate vos: {error}', file=sys.stderr)
        return 1
    name = Path(args.data).resolve().name + (' (quick)' if args.quick else '')
    print(f'J of the first tenth {percent(figures["J_first_tenth"])}, of the last '
          f'{percent(figures["J_last_tenth"])}, ratio {ratio(figures["J_tenths_ratio"])}; where '
          f'in view {percent(figures["J_seen_first_tenth"])}, '
          f'{percent(figures["J_seen_last_tenth"])}, {ratio(figures["J_seen_tenths_ratio"])}')
    print(f'J {percent(figures["J"])}  F {percent(figures["F"])}  '
          f'J&F {percent(figures["J&F"])}  {figures["fps"]:.2f} fps: {name}, '
          f'{figures["sequences"]} sequences, {figures["objects"]} objects, '
          f'{figures["frames"]} frames; {package}')
    if args.json:
        print(to_json({
            **figures, 'data': name, 'package': package.name, 'digest': package.digest[:12],
            'short_side': params.short_side, 'threads': args.threads, 'quick': args.quick}))
    return 0


def print_rows(score: SequenceScore) -> None:
    """Print one line an object; figures in per cent."""
    for row in score.objects:
        print(f'{row.sequence:<24}{row.object:>7}{row.frames:>8}{percent(row.J):>8}'
              f'{percent(row.F):>8}{percent((row.J + row.F) / 2):>8}{percent(row.seen):>8}'
              f'{percent(row.tenths[0]):>10}{percent(row.tenths[1]):>10}'
              f'{score.frames / max(score.seconds, 1e-9):>8.2f}', flush=True)


class Table:
    """A CSV file of one line an object: sequence, object, frames, J, F, J&F (0..1), fps, ...

    What is added is on disk at once: a sequence that fails costs none of those before it.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, in a folder that is made if need be."""
        path = path.expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(path, 'w', newline='', encoding='utf-8')
        self._writer = csv.writer(self._stream)
        self._writer.writerow(['sequence', 'object', 'frames', 'J', 'F', 'J&F', 'fps',
                               'J_first_tenth', 'J_last_tenth', 'J_seen'])

    def __enter__(self) -> 'Table':
        """Return the table."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._stream.close()

    def add(self, score: SequenceScore) -> None:
        """Write the objects of one sequence."""
        fps = score.frames / max(score.seconds, 1e-9)
        for row in score.objects:
            self._writer.writerow([
                row.sequence, row.object, row.frames, f'{row.J:.5f}', f'{row.F:.5f}',
                f'{(row.J + row.F) / 2:.5f}', f'{fps:.3f}',
                *(f'{value:.5f}' for value in (*row.tenths, row.seen))])
        self._stream.flush()


class Recorder:
    """Writes what a tracker predicts for one sequence, as a video and as mask files, if asked."""

    def __init__(self, sequence: VideoSequence, overlay: str | None, masks: str | None) -> None:
        """Choose where to write; None writes nothing."""
        self.sequence = sequence
        self.overlay = Path(overlay) if overlay else None
        self.masks = Path(masks) / sequence.name if masks else None
        self._video: VideoFile | None = None

    def __enter__(self) -> 'Recorder':
        """Make the masks' folder."""
        if self.masks is not None:
            self.masks.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Close the video."""
        if self._video is not None:
            self._video.close()

    def frame(self, index: int, image: NDArray[np.uint8], labels: Labels) -> None:
        """Write one frame."""
        if self.masks is not None:
            picture = Image.fromarray(labels.astype(np.uint8))
            picture.putpalette(png_palette())
            picture.save(self.masks / (self.sequence.frames[index].stem + '.png'))
        if self.overlay is None:
            return
        if self._video is None:
            self._video = VideoFile(
                self.overlay / f'{self.sequence.name}.mp4', image.shape[:2], 24.0)
        self._video.write(draw_labels(image, labels))


def draw_labels(image: NDArray[np.uint8], labels: Labels) -> NDArray[np.uint8]:
    """Return a copy of an RGB image with objects tinted, and their contours drawn."""
    colours = np.array(png_palette(), np.uint8).reshape(256, 3)[labels.astype(np.uint8)]
    picture = image.copy()
    inside = labels > 0
    picture[inside] = (0.55 * image[inside] + 0.45 * colours[inside]).astype(np.uint8)
    kind = labels.astype(np.uint8)
    rim = inside & (cv2.erode(kind, np.ones((3, 3), np.uint8)) != kind)
    picture[rim] = colours[rim]
    return picture


def _truth(text: str) -> bool:
    if text.lower() in ('1', 'true', 'yes', 'on'):
        return True
    if text.lower() in ('0', 'false', 'no', 'off'):
        return False
    raise argparse.ArgumentTypeError(f'{text!r} is neither true nor false')
