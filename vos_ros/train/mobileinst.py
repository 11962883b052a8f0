# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Train MobileInst from a configuration file; goes on where an earlier run stopped."""

import argparse
from pathlib import Path
import sys

import yaml

from vos_ros.data.coco import DataError
from vos_ros.train.distributed import join
from vos_ros.train.distributed import leave
from vos_ros.train.mobileinst_config import ConfigError
from vos_ros.train.mobileinst_config import read_config
from vos_ros.train.mobileinst_trainer import LAST
from vos_ros.train.mobileinst_trainer import Trainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('--config', type=Path, required=True, help='YAML file')
    parser.add_argument('--out', type=Path, help='folder of the run (default runs/<name>)')
    parser.add_argument('--fresh', action='store_true',
                        help='begin anew even if the folder has a checkpoint')
    parser.add_argument('--minutes', type=float, default=0.0,
                        help='stop after so long, with a checkpoint to go on from; 0: no limit')
    parser.add_argument('--stop-at', type=int, default=0, metavar='ITERATION',
                        help='stop there, likewise; 0: no limit')
    parser.add_argument('--device', default='auto', choices=('auto', 'cpu', 'cuda'))


def run(args: argparse.Namespace) -> int:
    """Train; return the exit status."""
    try:
        config = read_config(args.config)
        processes = join(args.device)
        folder = args.out or Path('runs') / config.name
        trainer = Trainer(config, folder, processes)
        if not args.fresh and (folder / LAST).is_file():
            trainer.resume(folder / LAST)
            print(f'{folder / LAST}: going on at iteration {trainer.iteration}', flush=True)
    except (ConfigError, DataError, ValueError, OSError, ModuleNotFoundError) as error:
        print(f'vos-ros train mobileinst: {error}', file=sys.stderr)
        return 1
    if processes.first:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'config.yaml').write_text(yaml.safe_dump(config.to_mapping(), sort_keys=False))
        held = len(trainer.validation) if trainer.validation is not None else 0
        print(f'{len(trainer.material.images)} images, {len(trainer.material.cutouts)} cut-outs, '
              f'{held} held-out images; {config.iterations} iterations on {processes.world} '
              f'{processes.device.type} process(es)', flush=True)
    try:
        trainer.run(args.minutes, args.stop_at)
    except KeyboardInterrupt:
        trainer.save()
        print(f'interrupted; the same command goes on at iteration {trainer.iteration}')
        return 130
    finally:
        leave(processes)
    return 0
