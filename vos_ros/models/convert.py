# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Convert published XMem weights (.pth) to a model package of ONNX graphs."""

import argparse
from pathlib import Path
import sys

from vos_ros.models.xmem.export import export_xmem
from vos_ros.models.xmem.weights import network_from
from vos_ros.models.xmem.weights import read_state_dict
from vos_ros.models.xmem.weights import WeightsError
from vos_ros.runtime.package import PackageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('weights', help='the published state_dict, for example XMem.pth')
    parser.add_argument('--out', required=True, help='folder of the model package to write')
    parser.add_argument('--name', default='', help='name of the package; the file name if empty')
    parser.add_argument('--size', default='480x864', metavar='HxW',
                        help='input size that the package is meant for, multiples of 16; its '
                        'graphs take any other too')
    parser.add_argument('--licence', default='MIT', help='licence of the weights')
    parser.add_argument('--training-data', default='as published with the weights: static image '
                        'segmentation sets, DAVIS 2017, YouTube-VOS 2019, in some BL30K',
                        help='what the weights were trained on')
    parser.add_argument('--no-weights', action='store_true',
                        help='leave model.safetensors out: half the size, but no torch runtime')


def run(args: argparse.Namespace) -> int:
    """Convert; 0 when the package is written, 1 with the reason on stderr when not."""
    try:
        height, width = (int(side) for side in args.size.lower().split('x'))
    except ValueError:
        print(f'--size is {args.size!r}, must be like 480x864', file=sys.stderr)
        return 2
    name = args.name or Path(args.weights).stem.lower()
    try:
        network = network_from(read_state_dict(args.weights), args.weights)
        folder = export_xmem(
            network, args.out, (height, width), name, args.licence, args.training_data,
            keep_weights=not args.no_weights)
    except (WeightsError, PackageError, OSError, ValueError) as error:
        print(f'vos-ros convert xmem: {error}', file=sys.stderr)
        return 1
    config = network.config
    print(f'{folder}: {name}, C_k {config.key_dim}, C_v {config.value_dim}, '
          f'C_h {config.hidden_dim}')
    return 0
