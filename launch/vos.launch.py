# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Instances and memory together on a camera: image:=/camera/image_raw.

An instance is handed to the memory tracker by its ~/add_objects with the track_id.
"""

from launch import LaunchDescription
from launch.substitutions import LaunchConfiguration

from vos_ros.nodes import launching


def generate_launch_description():
    """Return both trackers on one image, the memory tracker hearing the instance tracker."""
    image = [('image', LaunchConfiguration('image'))]
    return LaunchDescription([
        *launching.large_images(),
        *launching.common_arguments(),
        *launching.image_arguments(),
        *launching.tracker_arguments('instance_tracker'),
        *launching.tracker_arguments('memory_tracker', 'memory_'),
        launching.argument('memory_path', '', 'File (.safetensors) to save the memories to and '
                           'to go on from after a restart; empty takes the one of '
                           'memory_params_file.'),
        *launching.tracker('instance_tracker', image, optional=['image_transport']),
        *launching.tracker(
            'memory_tracker',
            [*image, ('instances/labels', 'instance_tracker/labels'),
             ('instances/tracks', 'instance_tracker/tracks')],
            prefix='memory_', optional=['image_transport', 'memory_path']),
    ])
