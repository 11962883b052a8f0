# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Instance masks with lasting ids for a camera: image:=/camera/image_raw."""

from launch import LaunchDescription
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
        *launching.tracker(
            'instance_tracker', [('image', LaunchConfiguration('image'))],
            optional=['image_transport']),
        launching.overlay(
            'instance_tracker', remappings=[('image', LaunchConfiguration('image'))],
            optional=['image_transport'],
            condition=IfCondition(LaunchConfiguration('overlay'))),
    ])
