# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Follow objects that a user designates on a camera: image:=/camera/image_raw."""

from launch import LaunchDescription
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration

from vos_ros.nodes import launching


def generate_launch_description():
    """Return the memory tracker and, on request, the recorder of its overlay."""
    return LaunchDescription([
        *launching.large_images(),
        *launching.common_arguments(),
        *launching.image_arguments(),
        *launching.tracker_arguments('memory_tracker'),
        launching.argument('memory_path', '', 'File (.safetensors) to save the memories to and '
                           'to go on from after a restart; empty takes the one of params_file.'),
        launching.argument('instance_labels', 'instances/labels',
                           'Topic of an instance tracker with labels, for prompts by track id.'),
        launching.argument('instance_tracks', 'instances/tracks', 'Its topic with tracks.'),
        launching.argument('overlay', 'false', 'Record the objects drawn on the images.',
                           ('true', 'false')),
        launching.argument('overlay_file', 'memory.mp4', 'Video file that overlay:=true writes.'),
        *launching.tracker(
            'memory_tracker',
            [('image', LaunchConfiguration('image')),
             ('instances/labels', LaunchConfiguration('instance_labels')),
             ('instances/tracks', LaunchConfiguration('instance_tracks'))],
            optional=['image_transport', 'memory_path']),
        launching.overlay(
            'memory_tracker', remappings=[('image', LaunchConfiguration('image'))],
            optional=['image_transport'],
            condition=IfCondition(LaunchConfiguration('overlay'))),
    ])
