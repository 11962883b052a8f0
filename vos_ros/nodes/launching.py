# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the launch files share.  Every argument is declared, so `--show-args` lists it."""

from collections.abc import Mapping
from collections.abc import Sequence
import os

from launch import Action
from launch import Condition
from launch import LaunchContext
from launch import SomeSubstitutionsType
from launch import Substitution
from launch.actions import DeclareLaunchArgument
from launch.actions import SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

PACKAGE = 'vos_ros'

# Any of these says that the user has chosen a transport.
_TRANSPORT_CHOICES = (
    'FASTDDS_BUILTIN_TRANSPORTS', 'FASTDDS_DEFAULT_PROFILES_FILE',
    'FASTRTPS_DEFAULT_PROFILES_FILE')


def share(*parts: str) -> Substitution:
    """Return the path of a file that this package installs."""
    return PathJoinSubstitution([FindPackageShare(PACKAGE), *parts])


def text(name: str) -> ParameterValue:
    """Return an argument as a string parameter: launch would read `0` as a number."""
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def flag(name: str) -> ParameterValue:
    """Return an argument as a boolean parameter."""
    return ParameterValue(LaunchConfiguration(name), value_type=bool)


def integer(name: str) -> ParameterValue:
    """Return an argument as an integer parameter."""
    return ParameterValue(LaunchConfiguration(name), value_type=int)


def number(name: str) -> ParameterValue:
    """Return an argument as a floating point parameter."""
    return ParameterValue(LaunchConfiguration(name), value_type=float)


def given(name: str) -> Condition:
    """Return the condition that an argument is not empty."""
    return Condition(predicate=lambda context: bool(_value(context, name)))


def not_given(name: str) -> Condition:
    """Return the condition that an argument is empty."""
    return Condition(predicate=lambda context: not _value(context, name))


def large_images() -> list[Action]:
    """Return what makes Fast DDS carry whole images, unless the user has chosen a transport."""
    if any(name in os.environ for name in _TRANSPORT_CHOICES):
        return []
    return [SetEnvironmentVariable('FASTDDS_BUILTIN_TRANSPORTS', 'LARGE_DATA')]


def argument(
        name: str, default: SomeSubstitutionsType, description: str,
        choices: Sequence[str] | None = None) -> DeclareLaunchArgument:
    """Return the declaration of an argument."""
    return DeclareLaunchArgument(
        name, default_value=default, description=description,
        choices=list(choices) if choices else None)


def common_arguments() -> list[Action]:
    """Return the declarations of what every launch file takes."""
    return [
        argument('namespace', '', 'Namespace of the nodes.'),
        argument('use_sim_time', 'false', 'Take the time from /clock.', ('true', 'false')),
        argument('log_level', 'info', 'Least severity that is logged.',
                 ('debug', 'info', 'warn', 'error', 'fatal')),
    ]


def image_arguments() -> list[Action]:
    """Return the declarations of what says where images come from."""
    return [
        argument('image', 'image', 'Topic of the camera, without /compressed.'),
        argument('image_transport', 'raw',
                 'raw subscribes the topic, compressed subscribes <image>/compressed.',
                 ('raw', 'compressed')),
    ]


def tracker_arguments(node: str) -> list[Action]:
    """Return the declarations of what a tracker node takes besides."""
    return [
        argument('params_file', share('config', f'{node}.yaml'), 'Parameters of the tracker.'),
        argument('board', 'any', 'Machine to set the tracker for, after params_file.', boards()),
        argument('model_path', '', 'Model package: a folder, or the name of an installed one; '
                 'empty takes the one of params_file.'),
        argument('respawn', 'false', 'Start the tracker again when it dies.', ('true', 'false')),
    ]


def boards() -> list[str]:
    """Return the names of the files in config/boards."""
    from ament_index_python.packages import get_package_share_directory
    folder = os.path.join(get_package_share_directory(PACKAGE), 'config', 'boards')
    return sorted(name[:-5] for name in os.listdir(folder) if name.endswith('.yaml'))


def node(
        executable: str, parameters: Sequence[object],
        remappings: Sequence[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] = (),
        **kwargs: object) -> Node:
    """Return a node of this package with what common_arguments() declares."""
    return Node(
        package=PACKAGE, executable=executable, name=executable,
        namespace=LaunchConfiguration('namespace'), output='screen',
        parameters=[*parameters, {'use_sim_time': flag('use_sim_time')}],
        remappings=list(remappings),
        ros_arguments=['--log-level', LaunchConfiguration('log_level')], **kwargs)


def tracker(
        executable: str, parameters: Mapping[str, object] | None = None,
        remappings: Sequence[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] = (),
) -> list[Action]:
    """Return a tracker node with what tracker_arguments() declares.

    Two actions, of which one is started: an argument that was not given must not override the
    parameter file.
    """
    board = [share('config', 'boards'), '/', LaunchConfiguration('board'), '.yaml']
    settings = [ParameterFile(LaunchConfiguration('params_file')), ParameterFile(board),
                parameters or {}]
    respawn = {'respawn': LaunchConfiguration('respawn'), 'respawn_delay': 2.0}
    return [
        node(executable, settings, remappings, condition=not_given('model_path'), **respawn),
        node(executable, [*settings, {'model_path': text('model_path')}], remappings,
             condition=given('model_path'), **respawn),
    ]


def overlay(
        of: str, parameters: Mapping[str, object],
        remappings: Sequence[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] = (),
        **kwargs: object) -> Node:
    """Return the overlay node that records a tracker into the argument overlay_file."""
    return node(
        'overlay',
        [ParameterFile(share('config', 'overlay.yaml')), {'output': text('overlay_file')},
         parameters],
        [*((topic, f'{of}/{topic}') for topic in ('labels', 'tracks', 'latency')), *remappings],
        **kwargs)


def _value(context: LaunchContext, name: str) -> str:
    return context.perform_substitution(LaunchConfiguration(name))
