#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Write config/<node>.yaml, every parameter with its default, from the tables of the nodes."""

from pathlib import Path
import sys
import textwrap

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from vos_ros.nodes.tables import TABLES  # noqa: E402

HEADER = """# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
# Parameters of {node}, all at their defaults.  Written by scripts/write_config.py from
# vos_ros/nodes/tables.py: copy this file and change the copy.

/**:
  ros__parameters:
"""


def config_text(node: str) -> str:
    """Return the parameter file of a node."""
    lines = [HEADER.format(node=node)]
    for spec in TABLES[node]:
        notes = [spec.description.replace('`', '')]
        if spec.constraints:
            notes.append(f'[{spec.constraints}]')
        notes.append('' if spec.live else '(read-only)')
        for line in textwrap.wrap(' '.join(n for n in notes if n), 91):
            lines.append(f'    # {line}\n')
        value = yaml.safe_dump(spec.default, default_flow_style=True, width=1000)
        lines.append(f'    {spec.name}: {value.splitlines()[0]}\n')
    return ''.join(lines)


def main() -> None:
    """Write the files."""
    for node in TABLES:
        path = ROOT / 'config' / f'{node}.yaml'
        path.write_text(config_text(node))
        print(path.relative_to(ROOT))


if __name__ == '__main__':
    main()
