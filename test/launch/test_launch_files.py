# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The launch files under the real launch, where a ROS 2 installation has it."""

from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.launch]
HERE = Path(__file__).resolve().parent
FILES = sorted((HERE.parents[1] / 'launch').glob('*.launch.py'))


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_every_argument_is_listed(path):
    if not shutil.which('ros2'):
        pytest.skip('needs the ros2 command, which comes with a ROS 2 installation')
    shown = subprocess.run(
        ['ros2', 'launch', 'vos_ros', path.name, '--show-args'],
        capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    listed = set(re.findall(r"^    '(\w+)':", shown.stdout, re.MULTILINE))
    assert {'namespace', 'use_sim_time', 'log_level', 'params_file', 'board', 'model_path',
            'respawn'} <= listed
    own = set(re.findall(r"launching\.argument\(\s*'(\w+)'", path.read_text()))
    assert own <= listed


@pytest.mark.parametrize('name', ['instances_launch.py', 'users_file_launch.py'])
def test_launched_nodes(name):
    done = subprocess.run(
        [sys.executable, '-m', 'launch_testing.launch_test', str(HERE / name)],
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
