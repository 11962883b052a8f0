# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the launch files share.  Every argument is declared, so `--show-args` lists it."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import os

from launch import Action
from launch import Condition
from launch import LaunchContext
from launch import SomeSubstitutionsType
from launch import Substitution
from launch.actions import DeclareLaunchArgument
from launch.actions import OpaqueFunction
from launch.actions import SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare
from launch_ros.utilities import make_namespace_absolute
from launch_ros.utilities import prefix_namespace
from yaml import YAMLError

from vos_ros.nodes.parameter_files import parameters_of
from vos_ros.nodes.transport import profile_variable
from vos_ros.nodes.transport import PROFILE_VARIABLES

PACKAGE = 'vos_ros'

# Any of these says that the user has chosen a transport.
_TRANSPORT_CHOICES = ('FASTDDS_BUILTIN_TRANSPORTS', *PROFILE_VARIABLES)


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


def large_images() -> list[Action]:
    """Return what makes Fast DDS carry whole images, unless the user has chosen a transport.

    FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA would do too, but it loses the first images of every
    connection, and its TCP does not reach nodes of other machines that run with the defaults.
    """
    if any(os.environ.get(name) for name in _TRANSPORT_CHOICES):
        return []
    return [SetEnvironmentVariable(profile_variable(), share('config', 'fastdds.xml'))]


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
        argument('use_sim_time', '', 'Take the time from /clock; empty takes what params_file or '
                 'a launch file around this one says.', ('', 'true', 'false')),
        argument('log_level', 'info', 'Least severity that is logged.',
                 ('debug', 'info', 'warn', 'error', 'fatal')),
    ]


def image_arguments() -> list[Action]:
    """Return the declarations of what says where images come from."""
    return [
        argument('image', 'image', 'Topic of the camera, without /compressed.'),
        argument('image_transport', '',
                 'raw subscribes the topic, compressed subscribes <image>/compressed; empty takes '
                 'the one of params_file.', ('', 'raw', 'compressed')),
    ]


def tracker_arguments(node: str, prefix: str = '') -> list[Action]:
    """Return the declarations of what a tracker node takes besides.

    prefix: of the names of its own arguments, where another tracker has the plain ones and has
    declared those that both share.
    """
    own = [
        argument(f'{prefix}params_file', share('config', f'{node}.yaml'),
                 f'Parameters of {node}.'),
        _refuse_if(f'{prefix}params_file', lambda path: parameters_of(path, '/')),
        argument(f'{prefix}model_path', '', f'Model package of {node}: a folder, or the name of '
                 f'an installed one; empty takes the one of {prefix}params_file.'),
    ]
    if prefix:
        return own
    return [
        *own,
        argument('board', 'any', 'Machine to set the tracker for, after params_file; any leaves '
                 'all to that.', ('any', *boards())),
        argument('respawn', 'false', 'Start the tracker again when it dies.', ('true', 'false')),
    ]


def numbers(**kinds: type) -> list[Action]:
    """Return what ends the launch, naming the argument, where one of these is no such number."""
    return [_refuse_if(name, kind) for name, kind in kinds.items()]


def _refuse_if(name: str, read: Callable[[str], object]) -> Action:
    """Return what ends the launch before it has started a node, where an argument is not readable.

    Once nodes run, an error of launch would leave them behind.
    """
    def check(context: LaunchContext) -> list[Action]:
        value = context.perform_substitution(LaunchConfiguration(name))
        try:
            read(value)
        except (OSError, ValueError, YAMLError) as error:
            raise RuntimeError(f'{name}:={value}: {error}') from error
        return []

    return OpaqueFunction(function=check)


def boards() -> list[str]:
    """Return the names of the files in config/boards."""
    from ament_index_python.packages import get_package_share_directory
    folder = os.path.join(get_package_share_directory(PACKAGE), 'config', 'boards')
    return sorted(name[:-5] for name in os.listdir(folder) if name.endswith('.yaml'))


def node(
        executable: str, parameters: Sequence[object],
        remappings: Sequence[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] = (),
        **kwargs: object) -> Action:
    """Return a node of this package with what common_arguments() declares."""
    def start(context: LaunchContext) -> list[Action]:
        time = given(context, {'use_sim_time': 'use_sim_time'}, flag)
        return [Node(
            package=PACKAGE, executable=executable, name=executable,
            namespace=LaunchConfiguration('namespace'), output='screen',
            parameters=[*parameters, *([time] if time else [])], remappings=list(remappings),
            ros_arguments=['--log-level', LaunchConfiguration('log_level')], **kwargs)]

    return OpaqueFunction(function=start)


def given(context: LaunchContext, arguments: Mapping[str, str],
          kind: Callable[[str], ParameterValue] = text) -> dict[str, ParameterValue]:
    """Return parameters of a kind, each of the argument it is mapped to, if that is not empty.

    One that was not given must not override a parameter file.
    """
    return {name: kind(entry) for name, entry in arguments.items()
            if context.perform_substitution(LaunchConfiguration(entry))}


def tracker(
        executable: str,
        remappings: Sequence[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] = (),
        prefix: str = '', optional: Sequence[str] = (),
        parameters: Mapping[str, object] | None = None, at_end: object = None) -> list[Action]:
    """Return a tracker node with what tracker_arguments() declares.

    optional: more arguments that are string parameters.  parameters: some that no file may change.
    at_end: an on_exit of launch for a tracker that does not start again.
    """
    board = [share('config', 'boards'), '/', LaunchConfiguration('board'), '.yaml']
    arguments = {'model_path': f'{prefix}model_path', **{name: name for name in optional}}

    def start(context: LaunchContext) -> list[Action]:
        files = [ParameterFile(LaunchConfiguration(f'{prefix}params_file'))]
        # Of two files that set a parameter for /**, rcl takes the one with the right type, without
        # a word on the other: no file of defaults is laid under the user's.
        if context.perform_substitution(LaunchConfiguration('board')) != 'any':
            files.append(ParameterFile(board))
        settings = [*files, given(context, arguments), dict(parameters or {})]
        # Here and now: when the node ends, the scope that has the argument may be left.
        again = context.perform_substitution(LaunchConfiguration('respawn')) == 'true'
        return [node(executable, settings, remappings, respawn=again, respawn_delay=2.0,
                     on_exit=None if again else at_end)]

    return [OpaqueFunction(function=start)]


def overlay(
        of: str, parameters: Mapping[str, object] | None = None,
        remappings: Sequence[tuple[SomeSubstitutionsType, SomeSubstitutionsType]] = (),
        optional: Sequence[str] = (), condition: Condition | None = None,
        **kwargs: object) -> Action:
    """Return the overlay node that records a tracker into the argument overlay_file.

    It takes images, and the time, as params_file says to the tracker, which may be by its name,
    unless the file says something else to the overlay by its own.
    optional: as for `tracker`.
    """
    def start(context: LaunchContext) -> list[Action]:
        path, namespace = (context.perform_substitution(LaunchConfiguration(name))
                           for name in ('params_file', 'namespace'))
        outer = context.launch_configurations.get('ros_namespace')
        whole = prefix_namespace(outer, namespace)
        says, own = (parameters_of(path, make_namespace_absolute(prefix_namespace(whole, name)),
                                   wild) for name, wild in ((of, True), ('overlay', False)))
        alike = {name: says[name] for name in ('image_transport', 'use_sim_time')
                 if name in says and name not in own}
        settings = [ParameterFile(LaunchConfiguration('params_file')), alike,
                    {'output': text('overlay_file')}, parameters or {},
                    given(context, {name: name for name in optional})]
        topics = [(topic, f'{of}/{topic}') for topic in ('labels', 'tracks', 'latency')]
        return [node('overlay', settings, [*topics, *remappings], **kwargs)]

    return OpaqueFunction(function=start, condition=condition)
