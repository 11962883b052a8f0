# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Measure a MobileInst package on COCO-style images: mask AP and AR, by pycocotools."""

import argparse
from pathlib import Path
import sys
import time

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vos_ros.data.coco import CocoImages
from vos_ros.data.coco import DataError
from vos_ros.data.coco import held_out
from vos_ros.data.coco import load_coco
from vos_ros.data.coco import read_names
from vos_ros.evaluate.figures import percent
from vos_ros.evaluate.figures import to_json
from vos_ros.evaluate.masks import evaluate_masks
from vos_ros.evaluate.masks import Network
from vos_ros.evaluate.masks import Queries
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import ModelPackage
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.session import GraphError
from vos_ros.runtime.sizes import Sizes

DEFAULT_MODEL = 'mobileinst-lite0'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--data', type=Path, required=True, help='folder of the images')
    parser.add_argument('--annotations', type=Path, required=True, help='COCO instances JSON')
    parser.add_argument('--model', default=DEFAULT_MODEL, help='model package: folder or name')
    parser.add_argument('--class-agnostic', action='store_true',
                        help='AP and AR count a mask whatever its class; the file may have '
                        'classes that the network has not')
    parser.add_argument('--only', type=Path, help='text file of image file names to keep, '
                        'one a line')
    parser.add_argument('--hold-out', type=int, default=0, metavar='N',
                        help='only images whose crc32(id) %% N is 0')
    parser.add_argument('--threads', type=int, default=1, help='threads of the runtime')
    parser.add_argument('--quick', action='store_true', help='the first eight images only')
    parser.add_argument('--json', action='store_true', help='end with one JSON object on a line')


def asking(package: ModelPackage, threads: int = 1) -> tuple[Network, bool]:
    """Return what asks a package about a letterboxed picture, and whether it may be turned."""
    network = MobileInst(package, threads)
    sizes = Sizes.of(network, package, threads, ('cpu',))
    turns = bool(sizes.load([network.input_size[::-1]]))

    def ask(image: NDArray[np.uint8]) -> Queries:
        out = sizes[image.shape[0], image.shape[1]].key(image)
        return Queries(out.logits, out.objectness, out.masks, out.guide)

    return ask, turns


def _chosen(annotations: Path, only: Path | None, hold_out: int) -> set[str] | None:
    """Return the names of the images to keep, None for all; DataError for a name not there."""
    if only is None and hold_out < 1:
        return None
    ids: dict[str, int] = {
        e['file_name']: e['id'] for e in load_coco(annotations).dataset['images']}
    names = list(ids) if only is None else read_names(only, annotations, ids)
    return {name for name in names if hold_out < 1 or held_out(ids[name], hold_out)}


def run(args: argparse.Namespace) -> int:
    """Evaluate and print; return the exit status."""
    try:
        package = load_package(args.model)
        ask, turns = asking(package, args.threads)
        data = CocoImages(args.data, args.annotations,
                          None if args.class_agnostic else package.classes,
                          _chosen(args.annotations, args.only, args.hold_out))
    except (DataError, PackageError, GraphError) as error:
        print(f'vos-ros evaluate instances: {error}', file=sys.stderr)
        return 1
    if args.quick:
        data.images = data.images[:8]

    started = time.perf_counter()
    with tqdm(total=len(data), unit='image', disable=None) as bar:
        try:
            figures = evaluate_masks(ask, data, package.input_size, lambda _: bar.update(),
                                     turns, args.class_agnostic)
        except DataError as error:
            print(f'vos-ros evaluate instances: {error}', file=sys.stderr)
            return 1
    seconds = time.perf_counter() - started
    prefix = 'agnostic_' if args.class_agnostic else ''
    chosen = {key: figures[prefix + key] for key in (
        'AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR@1', 'AR@10', 'AR@100')}
    print(f'{args.annotations.name}: {int(figures["images"])} images, '
          f'{int(figures["instances"])} instances; model {package.name} ({package.digest[:12]})'
          f'{", class-agnostic" if args.class_agnostic else ""}')
    print('  '.join(f'{key} {percent(value)}' for key, value in chosen.items()))
    if args.json:
        print(to_json({
            **chosen, 'class_agnostic': args.class_agnostic, 'images': int(figures['images']),
            'instances': int(figures['instances']), 'detections': int(figures['detections']),
            'model': package.name, 'model_digest': package.digest[:12],
            'seconds': round(seconds, 2)}))
    return 0
