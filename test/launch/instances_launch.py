# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Start instances.launch.py as `ros2 launch` would, and see masks for a camera's images.

A test of launch_testing: test_launch_files.py runs it with `launch_test` where that is installed.
"""

import atexit
import os
from pathlib import Path
import shutil
import sys
import tempfile
import time
import unittest

import launch
from launch.actions import IncludeLaunchDescription
from launch.actions import TimerAction
from launch_ros.substitutions import FindPackageShare
import launch_testing
import launch_testing.actions
import launch_testing.asserts
import numpy as np
from rcl_interfaces.srv import GetParameters
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tiny_model import export_tiny
from vos_ros.msg import TrackArray

from vos_ros.nodes.transport import profile_variable

CAMERA = '/camera/image_raw'
NODE = '/robot/instance_tracker'


def generate_test_description():
    """Launch the file as a user does: a camera topic, a namespace, a model, a board."""
    # A name that YAML would read as a number must arrive as a string.
    folder = Path(tempfile.mkdtemp()) / '12'
    atexit.register(shutil.rmtree, folder.parent, True)
    export_tiny(folder)
    os.environ['VOS_ROS_WEIGHTS'] = str(folder.parent)
    for name in ('FASTDDS_BUILTIN_TRANSPORTS', 'FASTDDS_DEFAULT_PROFILES_FILE',
                 'FASTRTPS_DEFAULT_PROFILES_FILE'):
        os.environ.pop(name, None)
    share = FindPackageShare('vos_ros').perform(launch.LaunchContext())
    return launch.LaunchDescription([
        IncludeLaunchDescription(
            os.path.join(share, 'launch', 'instances.launch.py'),
            launch_arguments={
                'image': CAMERA, 'namespace': 'robot', 'model_path': folder.name,
                'board': 'rk3588', 'log_level': 'info'}.items()),
        TimerAction(period=1.0, actions=[launch_testing.actions.ReadyToTest()]),
    ])


class TestInstancesLaunch(unittest.TestCase):
    """While the launch file's nodes run."""

    @classmethod
    def setUpClass(cls):
        cls.context = rclpy.Context()
        rclpy.init(context=cls.context)
        cls.node = rclpy.create_node('camera', context=cls.context)
        cls.executor = SingleThreadedExecutor(context=cls.context)
        cls.executor.add_node(cls.node)

    @classmethod
    def tearDownClass(cls):
        cls.node.destroy_node()
        rclpy.shutdown(context=cls.context)

    def spin_until(self, done, seconds, each=lambda: None):
        end = time.monotonic() + seconds
        while not done() and time.monotonic() < end:
            each()
            self.executor.spin_once(timeout_sec=0.1)
        return done()

    def test_masks_and_tracks_for_a_cameras_images(self):
        camera = self.node.create_publisher(Image, CAMERA, 1)
        tracks, labels = {}, {}
        self.node.create_subscription(
            TrackArray, f'{NODE}/tracks',
            lambda m: tracks.update({(m.header.stamp.sec, m.header.stamp.nanosec): m}), 10)
        self.node.create_subscription(
            Image, f'{NODE}/labels',
            lambda m: labels.update({(m.header.stamp.sec, m.header.stamp.nanosec): m}), 10)
        picture = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
        sent = set()

        def send():
            image = Image(height=120, width=160, encoding='rgb8', step=480)
            image.data.frombytes(picture.tobytes())
            image.header.frame_id = 'lens'
            image.header.stamp = self.node.get_clock().now().to_msg()
            sent.add((image.header.stamp.sec, image.header.stamp.nanosec))
            camera.publish(image)

        self.assertTrue(
            self.spin_until(lambda: len(set(tracks) & set(labels)) >= 3, 60.0, send),
            f'{len(sent)} images sent, {len(tracks)} TrackArray and {len(labels)} label maps came')
        for stamp in set(tracks) & set(labels):
            self.assertIn(stamp, sent)
            self.assertEqual(tracks[stamp].header.frame_id, 'lens')
            self.assertEqual((labels[stamp].height, labels[stamp].width), (120, 160))
            self.assertEqual(labels[stamp].encoding, 'mono16')

    def test_arguments_arrive_as_parameters(self):
        client = self.node.create_client(GetParameters, f'{NODE}/get_parameters')
        self.assertTrue(self.spin_until(client.service_is_ready, 30.0))
        future = client.call_async(
            GetParameters.Request(names=['model_path', 'threads', 'reuse_interval']))
        self.assertTrue(self.spin_until(future.done, 10.0))
        model, threads, interval = future.result().values
        self.assertEqual(model.string_value, '12')
        self.assertEqual(threads.integer_value, 4)  # config/boards/rk3588.yaml
        self.assertEqual(interval.integer_value, 5)

    def test_transport_is_for_large_images(self):
        # The launch file sets it in the environment that its nodes inherit, which is this one's.
        profile = Path(os.environ.get(profile_variable(), ''))
        self.assertEqual(profile.name, 'fastdds.xml')
        self.assertTrue(profile.is_file())


@launch_testing.post_shutdown_test()
class TestAfterShutdown(unittest.TestCase):
    """After Ctrl-C."""

    def test_nodes_end_cleanly(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
