# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a parameter file says to a node, for launch files; imports no ROS."""

from collections.abc import Iterator
import re

import yaml


def parameters_of(path: str, node: str, wild: bool = True) -> dict[str, object]:
    """Return the parameters that a YAML file gives the node of a fully qualified name.

    As rcl reads it: keys are names, also of namespaces with nodes in them; * is one word of a
    name and ** any number; of entries that fit, the later one wins.  Without ``wild`` only those
    count that write the node's own name out, which may be of any namespace (/**/overlay).

    Raises OSError for a file that cannot be read, yaml.YAMLError or ValueError for one that is no
    parameter file; all name it.
    """
    with open(path, encoding='utf-8') as file:
        tree = yaml.safe_load(file) or {}  # rcl takes an empty file too
    found: dict[str, object] = {}
    for name, entries in _nodes(path, '', tree):
        # A ** takes the slash before it along: /** is every node, /robot/**/camera any depth.
        words = re.escape(name).replace(r'/\*\*', r'(/\w+)*').replace(r'\*', r'\w+')
        if re.fullmatch(words, node) and (wild or _word(name) == _word(node)):
            found.update(entries)
    return found


def _word(name: str) -> str:
    return name.rsplit('/', 1)[-1]


def _nodes(path: str, name: str, tree: object) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the names of nodes, as written but absolute, with their parameters, in order."""
    if not isinstance(tree, dict):
        raise ValueError(f'{path}: no ros__parameters under {name or "any name"}')
    for key, value in tree.items():
        if key != 'ros__parameters':
            yield from _nodes(path, f'{name}/{str(key).strip("/")}', value)
        elif isinstance(value, dict):
            yield name, value
        else:
            raise ValueError(f'{path}: ros__parameters of {name or "any name"} is no mapping')
