# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The ``vos-ros`` command: one line a subcommand, each imported only when it is called."""

import argparse
from collections.abc import Sequence
from importlib import import_module
import sys

from vos_ros.budget.threads import one_blas_thread

# name of one or two words → (module with add_arguments(parser) and run(args), what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    'track': ('vos_ros.tracking.command', 'masks and track ids on a video, without ROS'),
    'calibrate': ('vos_ros.tracking.calibrate', 'time a model here, for a latency budget'),
    'train mobileinst': ('vos_ros.train.mobileinst', 'train a MobileInst'),
    'export mobileinst': ('vos_ros.train.export_mobileinst', 'checkpoint to model package'),
    'train xmem': ('vos_ros.train.xmem', 'train an XMem'),
    'convert xmem': ('vos_ros.models.convert', 'published XMem weights to a model package'),
    'export xmem': ('vos_ros.train.export_xmem', 'checkpoint to model package'),
    'simulate': ('vos_ros.data.simulate', 'render video with exact ids, for training and tests'),
    'quantize': ('vos_ros.train.quantize', 'a package to int8 or float16'),
    'evaluate vos': ('vos_ros.evaluate.vos', 'J and F of video objects (DAVIS)'),
    'evaluate instances': ('vos_ros.evaluate.instances', 'mask AP on COCO-style images'),
    'evaluate tracks': ('vos_ros.evaluate.tracks', 'HOTA, IDF1, id switches, VIS AP on video'),
}

_SUMMARY = 'Video object segmentation for ROS 2: what needs no running ROS.'


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; return its exit status, 2 for a wrong command line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    width = max(len(name) for name in COMMANDS)
    listing = '\n'.join(f'  {name:<{width}}  {about}' for name, (_, about) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog='vos-ros', description=_SUMMARY, epilog=f'commands:\n{listing}\n\n'
        'vos-ros COMMAND --help says more.', usage='vos-ros COMMAND ...',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    if not arguments or arguments[0] in ('-h', '--help'):
        parser.print_help()
        return 0 if arguments else 2
    words = 2 if ' '.join(arguments[:2]) in COMMANDS else 1
    name = ' '.join(arguments[:words])
    if name not in COMMANDS:
        family = [known for known in COMMANDS if known.startswith(name + ' ')]
        parser.error(f'there is no command {" ".join(arguments[:2])!r}; '
                     f'commands: {", ".join(family or COMMANDS)}')
    one_blas_thread()
    module_name = COMMANDS[name][0]
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if (error.name or '').startswith('vos_ros'):
            raise
        print(f'vos-ros {name}: needs the Python package {error.name!r}, which is not installed',
              file=sys.stderr)
        return 1
    command = argparse.ArgumentParser(prog=f'vos-ros {name}', description=module.__doc__,
                                      formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    module.add_arguments(command)
    try:
        return module.run(command.parse_args(arguments[words:]))
    except KeyboardInterrupt:
        print(f'vos-ros {name}: interrupted', file=sys.stderr)
        return 130


if __name__ == '__main__':
    sys.exit(main())
