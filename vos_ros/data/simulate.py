# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Render simulated video with exact ids into a folder in the layout of DAVIS.

Clips that are there already are not made again, so a run can be stopped and taken up. Clip i
depends on the seed and i alone (and on the photographs and meshes), not on the number of clips.
Pixels of objects in the photographs on ground, wall and backdrop are void, 255 as in DAVIS.
"""

import argparse
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict
import functools
import json
from multiprocessing import get_context
import os
from pathlib import Path
import shutil
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from vos_ros.data.coco import CocoImages
from vos_ros.data.coco import DataError
from vos_ros.data.coco import held_out
from vos_ros.data.coco import images_named
from vos_ros.data.instances import SUPERCATEGORIES
from vos_ros.data.simulated_casting import list_meshes
from vos_ros.data.simulated_scene import pybullet
from vos_ros.data.simulated_video import SimulatedVideo
from vos_ros.data.simulated_video import SimulationConfig
from vos_ros.evaluate.davis import VOID
from vos_ros.tracking.drawing import png_palette

# Readers go by the pictures: those come last.
_KINDS = ('Annotations', 'JPEGImages')
PARTS = ('train', 'validation', 'all')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--out', type=Path, required=True, help='folder to fill')
    parser.add_argument('--data', type=Path, required=True, help='folder of COCO-style images')
    parser.add_argument('--annotations', type=Path, required=True,
                        help='their COCO instances JSON')
    parser.add_argument('--part', choices=PARTS, default='train',
                        help='which photographs (crc32(id) %% 5 = 0 is validation) and meshes')
    parser.add_argument('--keep', type=Path, help='text file of image file names to use only')
    parser.add_argument('--clips', type=int, default=10, help='number of clips')
    parser.add_argument('--first', type=int, default=0, help='number of the first clip')
    parser.add_argument('--frames', type=int, default=24, help='frames a clip')
    parser.add_argument('--long', action='store_true',
                        help='objects that leave always come back: for clips of any length')
    parser.add_argument('--size', default='288x384', help='height x width of the frames')
    parser.add_argument('--objects', default='2-8', help='fewest and most objects')
    parser.add_argument('--close', type=float, default=0.0,
                        help='share of the scenes with large things close to the camera, 0..1')
    parser.add_argument('--built', type=float, default=0.0,
                        help='share of the objects that are posts, vehicles, furniture, frames, '
                        '0..1')
    parser.add_argument('--living', type=float, default=0.0,
                        help='share of the objects that are people and animals, whose limbs move, '
                        '0..1')
    parser.add_argument('--seed', type=int, default=0, help='which clips')
    parser.add_argument('--no-void', dest='void', action='store_false',
                        help='label objects of photographs on ground, wall and backdrop as '
                        'background, not as void; goes on with sets that were made so')
    parser.add_argument('--workers', type=int, default=1, help='processes')


def run(args: argparse.Namespace) -> int:
    """Make what is missing; return the exit status."""
    try:
        pybullet()
        height, width = _pair(args.size, 'x', '--size')
        config = SimulationConfig(height, width, _pair(args.objects, '-', '--objects'),
                                  recurrent=args.long, void=VOID if args.void else None,
                                  close=args.close, built=args.built, living=args.living)
        if args.frames < 1 or args.clips < 1 or args.workers < 1 or args.first < 0:
            raise ValueError('--frames, --clips and --workers: at least 1; --first: at least 0')
        settings = {'seed': args.seed, 'frames': args.frames, 'part': args.part,
                    **asdict(config)}
        # What is wrong with the material is told before the folder is taken.
        images = _photographs(args.data, args.annotations, args.part, args.keep)
        if not len(images):
            raise DataError(f'{args.annotations}: no image for --part {args.part}')
        images[0]
        claim(args.out, settings)
        make = functools.partial(_make, args, config)
        numbers = [n for n in range(args.first, args.first + args.clips)
                   if not (args.out / 'JPEGImages' / clip_name(n)).is_dir()]
        with nullcontext() if args.workers == 1 else \
                get_context('spawn').Pool(args.workers) as pool:
            done: Iterable[int] = map(make, numbers) if pool is None \
                else pool.imap_unordered(make, numbers)
            for _ in tqdm(done, total=len(numbers), unit='clip', disable=None):
                pass
    except (OSError, ValueError, ModuleNotFoundError) as error:
        print(f'vos-ros simulate: {error}', file=sys.stderr)
        return 1
    print(f'{args.out}: {len(numbers)} clips made, {args.clips - len(numbers)} were there')
    return 0


def claim(out: Path, settings: dict[str, Any]) -> None:
    """Write meta.json, or check that the one that is there says the same.

    Raises DataError naming the first setting that differs, or a folder of something else.
    """
    file = out / 'meta.json'
    settings = json.loads(json.dumps({'generator': 'vos-ros simulate', **settings}))
    if file.is_file():
        try:
            there = json.loads(file.read_text(encoding='utf-8'))
        except json.JSONDecodeError as error:
            raise DataError(f'{file}: is not JSON ({error})') from error
        # What older sets do not name was then as it is by default.
        there = {**json.loads(json.dumps(asdict(SimulationConfig()))), **there}
        for name in settings:
            if there.get(name) != settings[name]:
                raise DataError(f'{out}: holds clips of {name} {there.get(name)!r}, asked for '
                                f'{settings[name]!r}; give another folder')
        return
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f'{out}: is not empty and has no meta.json; give another folder')
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(settings, indent=1) + '\n', encoding='utf-8')


def clip_name(number: int) -> str:
    """Return the folder name of a clip."""
    return f'sim{number:05d}'


def write_clip(out: Path, name: str, frames: Iterable[tuple[NDArray[np.uint8],
                                                            NDArray[np.uint8]]],
               quality: int) -> None:
    """Write JPEGImages/NAME and Annotations/NAME, which appear when all of them is there.

    frames: (rgb uint8 [H, W, 3], labels uint8 [H, W]). quality: of the JPEGs, 1..100.
    """
    for left in out.glob(f'.{name}.*'):
        shutil.rmtree(left)
    part = out / f'.{name}.{os.getpid()}'
    for kind in _KINDS:
        (part / kind).mkdir(parents=True)
        (out / kind).mkdir(exist_ok=True)
    for number, (rgb, labels) in enumerate(frames):
        file = part / 'JPEGImages' / f'{number:05d}.jpg'
        if not cv2.imwrite(str(file), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR),
                           [cv2.IMWRITE_JPEG_QUALITY, quality]):
            raise OSError(f'{file}: cannot be written')
        mask = Image.fromarray(labels, mode='P')
        mask.putpalette(png_palette())
        mask.save(part / 'Annotations' / f'{number:05d}.png')
    for kind in _KINDS:
        shutil.rmtree(out / kind / name, ignore_errors=True)
        (part / kind).rename(out / kind / name)
    part.rmdir()


def _photographs(data: Path, annotations: Path, part: str, keep: Path | None) -> CocoImages:
    names = None if keep is None else images_named(keep, annotations)
    images = CocoImages(data, annotations, SUPERCATEGORIES, names)
    if part != 'all':
        images.images = [i for i in images.images if held_out(i['id']) == (part != 'train')]
    return images


@functools.lru_cache(maxsize=1)
def _video(data: Path, annotations: Path, part: str, keep: Path | None,
           config: SimulationConfig) -> SimulatedVideo:
    """Read the material once a process."""
    return SimulatedVideo(list(_photographs(data, annotations, part, keep)), list_meshes(part),
                          config)


def _make(args: argparse.Namespace, config: SimulationConfig, number: int) -> int:
    cv2.setNumThreads(1)
    video = _video(args.data, args.annotations, args.part, args.keep, config)
    seed = (PARTS.index(args.part), args.seed, number)
    quality = int(np.random.default_rng(seed).integers(60, 96))
    write_clip(args.out, clip_name(number), video.clip(seed, args.frames), quality)
    return number


def _pair(text: str, separator: str, option: str) -> tuple[int, int]:
    parts = text.lower().split(separator)
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise ValueError(f'{option} {text}: two numbers with {separator!r} between')
    return int(parts[0]), int(parts[1])
