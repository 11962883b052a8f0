# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parameter files are read as rcl reads them; the expected values are what rclpy's nodes get."""

import pytest
import yaml

from vos_ros.nodes.parameter_files import parameters_of


def entry(value):
    return {'ros__parameters': {'p': value}}


@pytest.mark.parametrize(('tree', 'plain', 'robot', 'deep'), [
    ({'instance_tracker': entry(1)}, 1, None, None),
    ({'/robot/instance_tracker': entry(1)}, None, 1, None),
    ({'robot': {'instance_tracker': entry(1)}}, None, 1, None),
    ({'/**': entry(1)}, 1, 1, 1),
    ({'/**/instance_tracker': entry(1)}, 1, 1, 1),
    ({'/*/instance_tracker': entry(1)}, None, 1, None),
    ({'/*': entry(1)}, 1, None, None),
    ({'/robot/**': entry(1)}, None, 1, None),
    ({'overlay': entry(1)}, None, None, None),
    ({'/**': entry(2), 'instance_tracker': entry(1)}, 1, 2, 2),
    ({'instance_tracker': entry(1), '/**': entry(2)}, 2, 2, 2),
    (None, None, None, None),
])
def test_a_node_gets_what_rcl_gives_it(tmp_path, tree, plain, robot, deep):
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    assert [parameters_of(str(path), f'{namespace}/instance_tracker').get('p')
            for namespace in ('', '/robot', '/a/robot')] == [plain, robot, deep]


@pytest.mark.parametrize(('tree', 'expected'), [
    ({'/**': entry(2), 'robot': {'overlay': entry(1)}}, 1),
    ({'/**': entry(2), '/robot/*': entry(1)}, None), ({'overlay': entry(1)}, None),
    ({'/**/overlay': entry(1), '/**': entry(2)}, 1), ({'/*/overlay': entry(1)}, 1),
    ({'/**/over*': entry(1)}, None), ({'/arm/overlay': entry(1)}, None)])
def test_what_is_said_by_name_alone(tmp_path, tree, expected):
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    assert parameters_of(str(path), '/robot/overlay', wild=False).get('p') == expected


@pytest.mark.parametrize('text', [
    'image_transport: raw', '/**:\n  ros__parameters:', '- 1', 'a: [', '/**:'])
def test_what_is_no_parameter_file_is_named(tmp_path, text):
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    with pytest.raises((ValueError, yaml.YAMLError), match=str(path)):
        parameters_of(str(path), '/instance_tracker')
