# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How a node's process runs."""

import subprocess
import sys


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
