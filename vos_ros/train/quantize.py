# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Turn a model package into one with int8 or float16 graphs."""

import argparse
from collections.abc import Mapping
from pathlib import Path
import shutil
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from vos_ros.data.coco import images_named
from vos_ros.data.coco import read_names
from vos_ros.data.coco import read_rgb
from vos_ros.models.quantize import Inputs
from vos_ros.models.quantize import prepare
from vos_ros.models.quantize import quantise
from vos_ros.runtime.letterbox import Letterbox
from vos_ros.runtime.mobileinst import free_sides
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import ModelPackage
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.package import write_package
from vos_ros.runtime.session import GraphError
from vos_ros.train.quantize_report import compare
from vos_ros.train.quantize_report import write_card

_PICTURES = ('.jpg', '.jpeg', '.png')
_FOLLOWED = 10          # kernels a calibration sample of a reuse graph follows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--model', required=True, help='a mobileinst package: folder or name')
    parser.add_argument('--out', type=Path, required=True, help='folder of the new package')
    parser.add_argument('--name', help="the package's name (default: the folder's)")
    parser.add_argument('--precision', choices=('int8', 'float16'), default='int8',
                        help='int8 for CPUs, float16 for GPUs (default: %(default)s)')
    parser.add_argument('--images', type=Path, action='append', default=[],
                        help='folder of real pictures to calibrate int8 with (repeatable); better '
                        'none that will be evaluated on')
    parser.add_argument('--count', type=int, default=32, help='pictures taken, evenly spread')
    parser.add_argument('--only', type=Path, help='text file of picture file names to keep')
    parser.add_argument('--except', type=Path, dest='without',
                        help='text file of picture file names to leave out')
    parser.add_argument('--noise', type=float, default=0.3,
                        help='leave groups of layers in float until the outputs differ by no more '
                        'than this share of their own deviation (default: %(default)s)')
    parser.add_argument('--groups', type=int, default=12, help='groups of layers that are tried')
    parser.add_argument('--speed', type=float, default=1.05, help='leave a graph as it is that '
                        'does not become so many times as fast, on one thread; 0 puts nothing '
                        'back into float for speed')
    parser.add_argument('--data', type=Path, help='folder of images to measure AP on, before and '
                        'after')
    parser.add_argument('--annotations', type=Path, help='their COCO instances JSON')
    parser.add_argument('--held-out', type=Path, help='text file of the image file names in it '
                        'that the network was not trained on')


def run(args: argparse.Namespace) -> int:
    """Quantise; return the exit status."""
    try:
        package = load_package(args.model)
        if package.kind != 'mobileinst':
            raise PackageError(f'{package.path}: is of kind {package.kind}; only mobileinst '
                               'packages can be quantised')
        if args.out.resolve() == package.path.resolve():
            raise ValueError(f'--out {args.out}: is the folder of the model itself, whose graphs '
                             'would be overwritten; give another one')
        held_out = None
        if args.annotations is not None and args.held_out is not None:
            held_out = images_named(args.held_out, args.annotations)
        graphs, figures = (float16 if args.precision == 'float16' else int8)(package, args)
        name = args.name or args.out.resolve().name

        def write(noted: Mapping[str, Any]) -> ModelPackage:
            return write_package(
                args.out, kind=package.kind, name=name, licence=package.licence,
                input_size=package.input_size, classes=package.classes, graphs=graphs,
                network=package.network, training_data=package.training_data,
                figures={'quantised': {'from': package.digest[:12], **noted}})

        made = write(figures)
        # The figures are of the graphs as they will be loaded, so they come after them.
        measured = compare(package, made, args.data, args.annotations, held_out)
        folder = write({**figures, 'measured': measured}).path
        write_card(folder / 'MODEL_CARD.md', package, name, figures, measured)
    except (ValueError, OSError, PackageError, GraphError) as error:
        print(f'vos-ros quantize: {error}', file=sys.stderr)
        return 1
    for path in sorted(folder.iterdir()):
        print(f'{path}  {path.stat().st_size / 1e6:.1f} MB')
    return 0


def int8(package: ModelPackage, args: argparse.Namespace) -> tuple[dict[str, Path],
                                                                   dict[str, Any]]:
    """Write int8 graphs; return them and what to note of them."""
    files = pictures(args)
    samples = record(package, files)
    args.out.mkdir(parents=True, exist_ok=True)
    graphs: dict[str, Path] = {}
    noted: dict[str, dict[str, Any]] = {}
    for name, path in package.graphs.items():
        print(f'{name}: {len(samples[name])} samples')
        done = quantise(path, samples[name], args.noise, args.groups,
                        free_sides(package.input_size), args.speed > 0)
        graphs[name] = args.out / f'{name}.onnx'
        if done.speed < args.speed:
            print(f'{name}: left as it is, {args.speed:g} times as fast was asked for')
            shutil.copyfile(path, graphs[name])
            noted[name] = {'precision': 'float32'}
            continue
        onnx.save(done.model, str(graphs[name]))
        noted[name] = {'noise': round(done.noise, 4), 'speed': round(done.speed, 2),
                       'float': [f'{done.groups[i][0]}..{done.groups[i][-1]}' for i in done.kept]}
    return graphs, {'precision': 'int8', 'pictures': len(files), 'graphs': noted}


def float16(package: ModelPackage, args: argparse.Namespace) -> tuple[dict[str, Path],
                                                                      dict[str, Any]]:
    """Write graphs that compute in float16 and take and give what the float32 ones do."""
    args.out.mkdir(parents=True, exist_ok=True)
    graphs = {}
    for name, path in package.graphs.items():
        graphs[name] = args.out / f'{name}.onnx'
        model = onnx.load(str(prepare(path, graphs[name])))
        # What normalises the picture, up to the first convolution, stays in float32: differences
        # of bytes and means are what half precision is worst at.
        kinds = [node.op_type for node in model.graph.node]
        first = [node.name for node in model.graph.node][:kinds.index('Conv')]
        model = convert_float_to_float16(model, keep_io_types=True, node_block_list=first)
        onnx.save(model, str(graphs[name]))
    return graphs, {'precision': 'float16'}


def pictures(args: argparse.Namespace) -> list[Path]:
    """Return the pictures to calibrate with.

    ValueError when there are none, DataError for a list that names others.
    """
    files = sorted(file for folder in args.images for file in folder.rglob('*')
                   if file.suffix.lower() in _PICTURES)
    there = {file.name for file in files}
    if args.only is not None:
        keep = read_names(args.only, '--images', there)
        files = [file for file in files if file.name in keep]
    if args.without is not None:
        drop = read_names(args.without, '--images', there)
        files = [file for file in files if file.name not in drop]
    if not files or args.count < 1:
        raise ValueError('no pictures to calibrate with: give --images with some, --count above 0')
    rows = np.linspace(0, len(files) - 1, min(args.count, len(files))).round().astype(int)
    return [files[row] for row in rows]


def record(package: ModelPackage, files: list[Path]) -> dict[str, list[Inputs]]:
    """Return the inputs of every graph on these pictures.

    A reuse graph gets the kernels of the strongest queries, and the context of the same scene
    shifted a little, as it would be a frame or two earlier.
    """
    cached = 'reuse_cached' in package.graphs
    network = MobileInst(package, reuse_features='cached' if cached else 'full')
    samples: dict[str, list[Inputs]] = {name: [] for name in package.graphs}
    for file in files:
        rgb = read_rgb(file)
        letterbox = Letterbox((rgb.shape[0], rgb.shape[1]), package.input_size)
        image = letterbox.apply(rgb).copy()
        output = network.key(np.roll(image, 4, axis=1))
        best = np.argsort(-output.objectness)[:_FOLLOWED]
        inputs: dict[str, NDArray] = {'image': image[None]}
        samples['key'].append(dict(inputs))
        inputs['kernels'] = output.kernels[best]
        samples['reuse'].append(dict(inputs))
        if isinstance(output.context, np.ndarray):
            samples['reuse_cached'].append({**inputs, 'context': output.context})
    return samples


