# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Turn a checkpoint of XMem training (its averaged weights) into a model package."""

import argparse
import json
from pathlib import Path
import sys
from typing import Any

from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.export import export_xmem
from vos_ros.models.xmem.network import XMem
from vos_ros.train.checkpoint import load_checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--checkpoint', type=Path, required=True,
                        help='checkpoint.pt of a run of vos-ros train xmem')
    parser.add_argument('--out', type=Path, required=True, help='folder of the package')
    parser.add_argument('--name', help="the package's name (default: the folder's)")
    parser.add_argument('--size', type=int, nargs=2, metavar=('HEIGHT', 'WIDTH'),
                        default=(480, 864), help='image size it is meant for, multiples of 16; '
                        'the graphs take any other too')
    parser.add_argument('--licence', default='Apache-2.0', help='of the weights')
    parser.add_argument('--training-data', required=True,
                        help='what the weights were trained on, in words')
    parser.add_argument('--figures', type=Path,
                        help='JSON object of measured figures to write into model.yaml')


def run(args: argparse.Namespace) -> int:
    """Export; return the exit status."""
    try:
        network, iterations = averaged_network(args.checkpoint)
        figures: dict[str, Any] = {}
        if args.figures is not None:
            figures = json.loads(args.figures.read_text(encoding='utf-8'))
        folder = export_xmem(
            network, args.out, args.size, name=args.name or args.out.resolve().name,
            licence=args.licence, training_data=args.training_data,
            figures={'iterations': iterations, **figures})
    except (ValueError, FileNotFoundError) as error:
        print(f'vos-ros export xmem: {error}', file=sys.stderr)
        return 1
    for path in sorted(folder.iterdir()):
        print(f'{path}  {path.stat().st_size / 1e6:.1f} MB')
    return 0


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
