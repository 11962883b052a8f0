# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The parameter files name parameters that exist, with values the nodes take."""

from pathlib import Path
import sys

import pytest
import yaml

from vos_ros.nodes.tables import TABLES

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'scripts'))

import write_config  # noqa: E402


def parameters(path):
    return yaml.safe_load(path.read_text())['/**']['ros__parameters']


@pytest.mark.parametrize('node', TABLES)
def test_node_file_is_the_table(node):
    path = ROOT / 'config' / f'{node}.yaml'
    assert path.read_text() == write_config.config_text(node), \
        'run scripts/ros-env python scripts/write_config.py'
    assert parameters(path) == {spec.name: spec.default for spec in TABLES[node]}


BOARDS = sorted((ROOT / 'config/boards').glob('*.yaml'))


@pytest.mark.parametrize('path', BOARDS, ids=lambda path: path.stem)
def test_board_file_sets_what_trackers_have(path):
    trackers = [table for node, table in TABLES.items() if node.endswith('_tracker')]
    for name, value in parameters(path).items():
        specs = [spec for table in trackers for spec in table if spec.name == name]
        assert specs, f'{path.name}: no tracker has a parameter {name}'
        for spec in specs:
            assert type(value) is type(spec.default), name
            assert spec.refusal(value) is None
