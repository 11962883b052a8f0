# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The launch files under the real launch, where a ROS 2 installation has it."""

from pathlib import Path
import re
import shutil
import subprocess
import sys

import pytest
from tiny_model import export_tiny
import yaml

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


@pytest.mark.skipif(not shutil.which('ros2'), reason='needs the ros2 command')
def test_the_demo_ends_when_its_tracker_cannot_start():
    done = subprocess.run(
        ['ros2', 'launch', 'vos_ros', 'demo.launch.py', 'model_path:=no-such-model'],
        capture_output=True, text=True, timeout=60)
    assert 'no-such-model' in done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which('ros2'), reason='needs the ros2 command')
def test_the_demo_plays_with_the_parameters_of_a_compressed_camera(tmp_path):
    export_tiny(tmp_path / 'tiny')
    (tmp_path / 'robot.yaml').write_text(yaml.safe_dump({'/**': {'ros__parameters': {
        'model_path': str(tmp_path / 'tiny'), 'image_transport': 'compressed'}}}))
    done = subprocess.run(
        ['ros2', 'launch', 'vos_ros', 'demo.launch.py', f'params_file:={tmp_path}/robot.yaml',
         'max_frames:=12', f'overlay_file:={tmp_path}/out.mp4'],
        capture_output=True, text=True, timeout=60)
    assert '"pictures": 12' in done.stdout, done.stdout + done.stderr
    assert (tmp_path / 'out.mp4').is_file()


@pytest.mark.skipif(not shutil.which('ros2'), reason='needs the ros2 command')
@pytest.mark.parametrize(('file', 'arguments', 'text'), [
    ('instances', ['overlay:=true', 'params_file:=none.yaml'], 'params_file:=none.yaml: '),
    ('memory', ['overlay:=true', 'params_file:=bad.yaml'], 'params_file:=bad.yaml: bad.yaml: '),
    ('vos', ['memory_params_file:=none.yaml'], 'memory_params_file:=none.yaml: '),
    ('demo', ['max_frames:=abc'], 'max_frames:=abc: ')])
def test_arguments_that_cannot_be_end_the_launch_before_it_starts_a_node(
        tmp_path, file, arguments, text):
    (tmp_path / 'bad.yaml').write_text('reuse_interval: 2')
    done = subprocess.run(['ros2', 'launch', 'vos_ros', f'{file}.launch.py', *arguments],
                          capture_output=True, text=True, timeout=60, cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and text in said and 'process started' not in said


@pytest.mark.skipif(not shutil.which('ros2'), reason='needs the ros2 command')
def test_a_parameter_of_the_wrong_type_is_refused_under_all_nodes_too(tmp_path):
    (tmp_path / 'mine.yaml').write_text(yaml.safe_dump(
        {'/**': {'ros__parameters': {'threads': 'two'}}}))
    done = subprocess.run(
        ['ros2', 'launch', 'vos_ros', 'instances.launch.py', f'params_file:={tmp_path}/mine.yaml'],
        capture_output=True, text=True, timeout=60)
    assert "Trying to set parameter 'threads' to 'two'" in done.stdout + done.stderr


@pytest.mark.parametrize('name', ['instances_launch.py', 'users_file_launch.py'])
def test_launched_nodes(name):
    pytest.importorskip('torch', reason='their package is exported by torch')
    done = subprocess.run(
        [sys.executable, '-m', 'launch_testing.launch_test', str(HERE / name)],
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
