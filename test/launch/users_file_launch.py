# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Start instances.launch.py with a parameter file of the user's: nothing overrides what it says.

A test of launch_testing: test_launch_files.py runs it with `launch_test` where that is installed.
"""

import atexit
import os
from pathlib import Path
import shutil
import sys
import tempfile
import unittest

import launch
from launch.actions import IncludeLaunchDescription
from launch.actions import TimerAction
from launch_ros.substitutions import FindPackageShare
import launch_testing
import launch_testing.actions
from rcl_interfaces.srv import GetParameters
import rclpy
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tiny_model import export_tiny


def generate_test_description():
    """Launch with a file alone, and with the recorder, which hears images as the tracker does."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, True)
    export_tiny(folder / 'tiny')
    # Keyed by the tracker's name, as many write it: the recorder must hear of it all the same.
    (folder / 'mine.yaml').write_text(yaml.safe_dump({'instance_tracker': {'ros__parameters': {
        'model_path': str(folder / 'tiny'), 'threads': 3, 'image_transport': 'compressed',
        'use_sim_time': True}}, 'overlay': {'ros__parameters': {'use_sim_time': False}}}))
    share = FindPackageShare('vos_ros').perform(launch.LaunchContext())
    return launch.LaunchDescription([
        IncludeLaunchDescription(
            os.path.join(share, 'launch', 'instances.launch.py'),
            launch_arguments={
                'params_file': str(folder / 'mine.yaml'), 'overlay': 'true',
                'overlay_file': str(folder / 'overlay.mp4')}.items()),
        TimerAction(period=1.0, actions=[launch_testing.actions.ReadyToTest()]),
    ])


class TestUsersFile(unittest.TestCase):
    """While the launch file's nodes run."""

    def test_parameters_are_those_of_the_file(self):
        rclpy.init()
        node = rclpy.create_node('asks')
        try:
            for name, expected in (
                    ('instance_tracker', {'threads': 3, 'image_transport': 'compressed',
                                          'use_sim_time': True}),
                    # What it is told by its own name counts more.
                    ('overlay', {'image_transport': 'compressed', 'use_sim_time': False})):
                client = node.create_client(GetParameters, f'/{name}/get_parameters')
                self.assertTrue(client.wait_for_service(60.0), name)
                future = client.call_async(GetParameters.Request(names=list(expected)))
                rclpy.spin_until_future_complete(node, future, timeout_sec=20.0)
                values = [value.integer_value or value.string_value or value.bool_value
                          for value in future.result().values]
                self.assertEqual(dict(zip(expected, values, strict=True)), expected, name)
        finally:
            node.destroy_node()
            rclpy.shutdown()
