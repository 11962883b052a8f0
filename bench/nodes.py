# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of whole nodes share: nodes as processes, and a transport for them."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import signal
import subprocess
import sys
from typing import Any

# Benchmarks run from a bare checkout as well as beside an installed package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vos_ros.nodes.transport import profile_variable

ROOT = Path(__file__).resolve().parent.parent
PROFILE = str(ROOT / 'config' / 'fastdds.xml')
PROFILE_SETTINGS = {profile_variable(): PROFILE}


@contextmanager
def node(name: str, parameters: dict[str, Any], domain: int,
         remaps: dict[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """Run a node as a process; interrupt it at the end when it still runs.

    name: one of vos_ros.nodes, or a file of this folder.
    """
    module = [str(ROOT / 'bench' / name)] if name.endswith('.py') \
        else ['-m', f'vos_ros.nodes.{name}']
    arguments = [part for key, value in parameters.items() for part in ('-p', f'{key}:={value}')]
    arguments += [part for old, new in (remaps or {}).items() for part in ('-r', f'{old}:={new}')]
    process = subprocess.Popen(
        [sys.executable, *module, '--ros-args', '--log-level', 'warn', *arguments],
        env={**os.environ, 'ROS_DOMAIN_ID': str(domain)})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            print(f'{name} did not end by itself', file=sys.stderr)
