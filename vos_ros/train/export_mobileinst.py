# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Turn a MobileInst checkpoint (its averaged weights) into a model package."""

import argparse
from collections.abc import Sequence
import json
from pathlib import Path
import sys
from typing import Any

import torch

from vos_ros.data.coco import DataError
from vos_ros.models.export import export_mobileinst
from vos_ros.models.export import STORAGES
from vos_ros.models.mobileinst import build
from vos_ros.models.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import PackageError
from vos_ros.train.calibrate import calibrate
from vos_ros.train.checkpoint import load_checkpoint
from vos_ros.train.checkpoint import load_tensors
from vos_ros.train.mixing import add_mix
from vos_ros.train.mixing import mixed
from vos_ros.train.mobileinst_config import TrainConfig
from vos_ros.train.mobileinst_data import collate_images
from vos_ros.train.mobileinst_data import ImageSamples
from vos_ros.train.mobileinst_data import load_material
from vos_ros.train.precision import working_precision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--checkpoint', type=Path, required=True,
                        help='last.pt of a run of vos-ros train mobileinst')
    add_mix(parser)
    parser.add_argument('--out', type=Path, required=True, help='folder of the package')
    parser.add_argument('--name', help="the package's name (default: the folder's)")
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'),
                        help='input size, multiples of 64 (default: that of the training)')
    parser.add_argument('--licence', default='Apache-2.0', help='of the weights')
    parser.add_argument('--storage', choices=STORAGES, default='float16',
                        help='of the weights in the files; float16 halves them, computation is '
                        'in float32 either way (default: %(default)s)')
    parser.add_argument('--training-data', help='what they were trained on, in words '
                        '(default: what the configuration says)')
    parser.add_argument('--calibrate', type=int, default=0, metavar='IMAGES',
                        help='fit the scores on so many training samples first (needs the data)')
    parser.add_argument('--figures', type=Path,
                        help='JSON object of measured figures to write into model.yaml')


def run(args: argparse.Namespace) -> int:
    """Export; return the exit status."""
    try:
        saved = load_checkpoint(args.checkpoint)
        if saved.get('kind') != 'mobileinst':
            raise ValueError(f'{args.checkpoint}: is no checkpoint of a MobileInst run')
        figures: dict[str, Any] = {}
        if args.figures is not None:
            figures = json.loads(args.figures.read_text())
        model = build(dict(saved['network']))
        model.load_state_dict(saved['ema']['state'])
        if args.mix is not None:
            mix(model, saved['classes'], *args.mix)
        if args.calibrate:
            figures |= fit_scores(model, saved['config'], args.calibrate)
        folder = export_mobileinst(
            model.eval(), args.out, args.size or saved['config']['size'], saved['classes'],
            name=args.name or args.out.resolve().name, licence=args.licence,
            training_data=args.training_data or describe_data(saved['config']),
            figures={'iterations': saved['iteration'], **figures}, storage=args.storage)
    except (ValueError, OSError, DataError, PackageError) as error:
        print(f'vos-ros export mobileinst: {error}', file=sys.stderr)
        return 1
    for path in sorted(folder.iterdir()):
        print(f'{path}  {path.stat().st_size / 1e6:.1f} MB')
    return 0


def mix(model: MobileInst, classes: Sequence[str], other: str, share: str) -> None:
    """Average a network's weights, in place, with those of a package, which get ``share``.

    Raises ValueError or PackageError that names what does not fit.
    """
    package = load_package(other)
    if package.weights is None:
        raise ValueError(f'--mix: {package.path} has no weights to mix, only graphs')
    if package.kind != 'mobileinst' or list(package.classes) != list(classes):
        raise ValueError(f'--mix: {package.path} is of kind {package.kind} with other classes')
    weights, own = load_tensors(package.weights, True), model.state_dict()
    if {name: value.shape for name, value in weights.items()} \
            != {name: value.shape for name, value in own.items()}:
        raise ValueError(f'--mix: {package.path} is another network: {package.network}')
    model.load_state_dict(mixed(own, weights, share))


def fit_scores(model: MobileInst, mapping: dict[str, Any], count: int) -> dict[str, Any]:
    """Calibrate the scores on training samples that the run has not seen."""
    config = TrainConfig.from_mapping(mapping)
    material = load_material(config)
    if not len(material.images):
        raise ValueError('--calibrate needs images (train.annotations): this run had none')
    data = ImageSamples(material, config)
    # Far past every index that training can have reached.
    rows = range(1 << 40, (1 << 40) + count)
    batches = (collate_images([data[i] for i in rows[k:k + 4]]) for k in range(0, count, 4))
    device = torch.device('cpu')
    fitted = calibrate(model, batches, device, working_precision(device))
    return {'calibration': {key: round(value, 4) for key, value in fitted.items()}}


def describe_data(config: dict[str, Any]) -> str:
    """Say what a run's configuration trained on."""
    train = config['train']
    parts = []
    if train['annotations']:
        parts = [Path(train['annotations']).name + f' of {Path(train["images"]).parent.name}']
        if train['hold_out']:
            parts[0] += f' without the images whose crc32(id) % {train["hold_out"]} is 0'
        if train['only']:
            parts[0] += f', of {Path(train["only"]).name} alone'
    if config['cutouts'] and train['annotations']:
        parts.append('cut-outs of the same images')
    if config['stamps']:
        parts.append('photographic stamps of Debian tuxpaint-stamps-default')
    if config['video']['annotations']:
        parts.append(Path(config['video']['annotations']).name)
    if config['video'].get('folders'):
        parts.append('video from folders (see the model card)')
    return '; '.join(parts)
