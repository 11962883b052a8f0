# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Turn a checkpoint of XMem training (its averaged weights) into a model package.

Or the weights of a package: that gives it the graphs of a newer version of this code.
"""

import argparse
import json
from pathlib import Path
import sys
from typing import Any

from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.export import export_xmem
from vos_ros.models.xmem.network import XMem
from vos_ros.models.xmem.runtime import load_torch
from vos_ros.models.xmem.weights import WeightsError
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import PackageError
from vos_ros.train.checkpoint import load_checkpoint
from vos_ros.train.mixing import add_mix
from vos_ros.train.mixing import mixed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--checkpoint', type=Path,
                        help='checkpoint.pt of a run of vos-ros train xmem')
    source.add_argument('--package', type=Path, help='a package with model.safetensors, to export '
                        'anew; what else is not given stays as it is there')
    add_mix(parser)
    parser.add_argument('--out', type=Path,
                        help='folder of the package (default: the one of --package)')
    parser.add_argument('--name', help="the package's name (default: the folder's)")
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'),
                        help='image size it is meant for, multiples of 16 (default: 480 864); '
                        'the graphs take any other too')
    parser.add_argument('--licence', help='of the weights (default: Apache-2.0)')
    parser.add_argument('--training-data', help='what the weights were trained on, in words; '
                        'needed with --checkpoint')
    parser.add_argument('--figures', type=Path,
                        help='JSON object of measured figures to write into model.yaml')


def run(args: argparse.Namespace) -> int:
    """Export; return the exit status."""
    try:
        known = _described(args)
        if args.mix is not None:
            mix(known['network'], Path(args.mix[0]), args.mix[1])
        figures = dict(known.pop('figures'))
        if args.figures is not None:
            figures.update(json.loads(args.figures.read_text(encoding='utf-8')))
        folder = export_xmem(known.pop('network'), known.pop('out'), figures=figures, **known)
    except (ValueError, OSError, PackageError, WeightsError) as error:
        print(f'vos-ros export xmem: {error}', file=sys.stderr)
        return 1
    for path in sorted(folder.iterdir()):
        print(f'{path}  {path.stat().st_size / 1e6:.1f} MB')
    return 0


def _described(args: argparse.Namespace) -> dict[str, Any]:
    """Return what `export_xmem` takes: from the command line, then from the source.

    Raises ValueError, FileNotFoundError or PackageError.
    """
    given = {'name': args.name, 'input_size': args.size, 'licence': args.licence,
             'training_data': args.training_data, 'out': args.out}
    if args.package is not None:
        package = load_package(args.package)
        base: dict[str, Any] = {
            'name': package.name, 'input_size': package.input_size, 'licence': package.licence,
            'training_data': package.training_data, 'figures': package.figures,
            'out': package.path, 'network': load_torch(package).network}
    else:
        if args.out is None or not args.training_data:
            raise ValueError('--checkpoint needs --out and --training-data')
        network, iterations = averaged_network(args.checkpoint)
        base = {'name': args.out.resolve().name, 'input_size': (480, 864),
                'licence': 'Apache-2.0', 'figures': {'iterations': iterations},
                'network': network}
    return {**base, **{key: value for key, value in given.items() if value is not None}}


def mix(network: XMem, other: Path, share: str) -> None:
    """Average a network's weights, in place, with those of a package, which get ``share``.

    Raises ValueError or PackageError that names what does not fit.
    """
    twin = load_torch(load_package(other)).network
    if twin.config != network.config:
        raise ValueError(f'--mix: {other} is another network: {twin.config}')
    network.load_state_dict(mixed(network.state_dict(), twin.state_dict(), share))


def averaged_network(checkpoint: Path) -> tuple[XMem, int]:
    """Return the network with a checkpoint's averaged weights, and the iterations it has had.

    Raises FileNotFoundError, or ValueError naming a file that is no checkpoint of XMem training.
    """
    saved = load_checkpoint(checkpoint)
    try:
        network = XMem(XMemConfig.from_dict(saved['network']))
        network.load_state_dict(saved['ema']['state'])
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f'{checkpoint}: is no checkpoint of XMem training: {error}') from error
    return network.eval(), int(saved['iteration'])
