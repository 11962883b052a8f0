# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A tracker node whose requests take long."""

import subprocess
import sys

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

PROGRAM = """
import threading
from diagnostic_msgs.msg import DiagnosticArray
from vos_ros.nodes.base import TrackerNode
from vos_ros.nodes.run import NodeDone, run
from vos_ros.nodes.tables import MEMORY_TRACKER


class Slow(TrackerNode):
    def __init__(self):
        super().__init__('slow', MEMORY_TRACKER)
        self.start()
        self.create_subscription(DiagnosticArray, '/diagnostics', self.hear, 10)
        self.go = threading.Event()
        self.submit(lambda: self.go.wait(30.0))
        for _ in range(3):
            self.submit(lambda: print('waiting', flush=True))

    def hear(self, message):
        for status in message.status:
            if 'has been computing' in status.message:
                print(status.level, status.message.split(' for ')[0], flush=True)
                threading.Timer(2.0, self.go.set).start()
                raise NodeDone

    def before_stop(self):
        print('saved', flush=True)


raise SystemExit(run(Slow))
"""


@pytest.mark.ros
def test_a_long_request_is_called_one_and_the_last_save_is_next_after_it():
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, '--ros-args', '-p', 'watchdog_timeout:=0.5'],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["b'\\x01' a request has been computing", 'saved']
    assert '[WARN]' in done.stderr and 'a request has been computing for' in done.stderr
    assert 'ERROR' not in done.stderr and 'never retrieved' not in done.stderr
