# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How a node's process runs."""

from pathlib import Path
import subprocess
import sys

import pytest


def test_what_a_node_keeps_is_not_looked_through_for_garbage():
    program = """
import gc
from rclpy.node import Node
from vos_ros.nodes.run import NodeDone, run


class Short(Node):
    def __init__(self):
        super().__init__('short')
        self.create_timer(0.01, self.end)

    def end(self):
        print('kept', gc.get_freeze_count(), 'others', len(gc.get_objects()))
        raise NodeDone

    def stop(self):
        pass


raise SystemExit(run(Short))
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert int(words[1]) > 10 * int(words[3])


def test_sigterm_while_a_callback_publishes_is_no_failure():
    program = """
import os, signal, time
import rclpy
from rclpy.node import Node
from std_msgs.msg import Empty
from vos_ros.nodes.run import run


class Busy(Node):
    def __init__(self):
        super().__init__('busy')
        self.out = self.create_publisher(Empty, 'out', 1)
        self.create_timer(0.01, self.work)

    def work(self):
        os.kill(os.getpid(), signal.SIGTERM)
        while rclpy.ok():
            time.sleep(0.01)
        self.out.publish(Empty())
        print('published')

    def stop(self):
        print('stopped')


raise SystemExit(run(Busy))
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                          timeout=60)
    assert done.stdout.split() == ['stopped'], 'the publisher had a context still'
    assert done.returncode == 0 and 'Traceback' not in done.stderr, done.stderr


def test_sigterm_after_ctrl_c_lets_what_is_being_saved_be_saved():
    program = """
import os, signal, time
from rclpy.node import Node
from vos_ros.nodes.run import run


class Saving(Node):
    def __init__(self):
        super().__init__('saving')
        self.create_timer(0.01, lambda: os.kill(os.getpid(), signal.SIGINT))

    def stop(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        print('saved')


raise SystemExit(run(Saving))
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                          timeout=60)
    assert done.stdout.split() == ['saved'] and done.returncode == 0, done.stderr


def test_a_thread_that_stays_in_foreign_code_aborts_nothing_and_saves_are_waited_for():
    program = """
from concurrent.futures import ThreadPoolExecutor
import threading, time
import cv2
import numpy as np
from rclpy.node import Node
from vos_ros.nodes.run import NodeFailure, run


def compute():
    picture = np.zeros((500, 500), np.uint8)
    while True:
        cv2.blur(picture, (9, 9))


def save():
    time.sleep(1.0)
    print('saved')


class Hung(Node):
    def __init__(self):
        super().__init__('hung')
        threading.Thread(target=compute, daemon=True).start()
        self.create_timer(0.01, self.fail)

    def fail(self):
        raise NodeFailure('failed')

    def stop(self):
        ThreadPoolExecutor(1).submit(save)
        print('stopped')


raise SystemExit(run(Hung))
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                          timeout=60)
    assert done.stdout.split() == ['stopped', 'saved'] and done.returncode == 1, done.stderr


def test_ctrl_c_before_the_node_is_made_ends_with_status_0():
    program = """
import os, signal, time
from rclpy.node import Node
from vos_ros.nodes.counters import FrameCounters
from vos_ros.nodes.image_input import ImageInput
from vos_ros.nodes.run import run


class Half(Node):
    def __init__(self):
        super().__init__('half')
        self.input = ImageInput(self, 'raw', FrameCounters(), print, print)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)      # on a busy machine the interrupt comes a little later


raise SystemExit(run(Half))
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.ros
@pytest.mark.parametrize(('content', 'text'), [
    ('reuse_interval: 2', 'Cannot have a value before ros__parameters'),
    (None, 'Error opening YAML file')])
def test_a_file_that_is_no_parameter_file_is_told_without_a_traceback(tmp_path, content, text):
    path = tmp_path / 'mine.yaml'
    if content:
        path.write_text(content)
    done = subprocess.run(
        [sys.executable, '-m', 'vos_ros.nodes.instance_tracker', '--ros-args', '--params-file',
         str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert str(path) in line and text in line


@pytest.mark.ros
def test_executables_are_installed_and_the_command_line_is_one():
    from ament_index_python.packages import get_package_prefix
    installed = Path(get_package_prefix('vos_ros')) / 'lib' / 'vos_ros'
    scripts = Path(__file__).parents[2] / 'scripts' / 'nodes'
    assert {p.name for p in installed.iterdir()} == {p.name for p in scripts.iterdir()}
    done = subprocess.run([str(installed / 'vos-ros'), 'calibrate', '--help'],
                          capture_output=True, text=True, timeout=60)
    assert '--threads' in done.stdout, done.stderr
