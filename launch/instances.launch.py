# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Instance masks with lasting ids for a camera: image:=/camera/image_raw."""

from launch import LaunchDescription
from launch.actions import Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration

from vos_ros.nodes import launching


def generate_launch_description():
    """Return the instance tracker and, on request, the recorder of its overlay."""
    return LaunchDescription([
        *launching.large_images(),
        *launching.common_arguments(),
        *launching.image_arguments(),
        *launching.tracker_arguments('instance_tracker'),
        launching.argument('overlay', 'false', 'Record the tracks drawn on the images.',
                           ('true', 'false')),
        launching.argument('overlay_file', 'overlay.mp4', 'Video file that overlay:=true writes.'),
        *launching.tracker('instance_tracker'),
        launching.node(
            'overlay',
            [launching.share('config', 'overlay.yaml'),
             {'output': launching.text('overlay_file'),
              'image_transport': launching.text('image_transport')}],
            [('image', LaunchConfiguration('image')),
             ('labels', 'instance_tracker/labels'),
             ('tracks', 'instance_tracker/tracks'),
             ('latency', 'instance_tracker/latency')],
            condition=IfCondition(LaunchConfiguration('overlay')),
            on_exit=Shutdown()),
    ])
