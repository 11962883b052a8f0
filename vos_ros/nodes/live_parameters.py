# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Parameters from a table, declared to ROS, validated before they are set, applied after."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from rcl_interfaces.msg import FloatingPointRange
from rcl_interfaces.msg import IntegerRange
from rcl_interfaces.msg import ParameterDescriptor
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from vos_ros.nodes.parameters import ParameterSpec
from vos_ros.nodes.parameters import refusal
from vos_ros.nodes.parameters import Table
from vos_ros.nodes.parameters import Value

Values = Mapping[str, Any]


class LiveParameters:
    """The parameters of a node as one mapping that is exchanged, never changed, on an update.

    check: is given the complete new values and raises ValueError, with the reason, when they do
        not go together; nothing is set then.
    changed: is called after values were set, with the complete new ones, also when they are the
        same as before: what failed with them may be tried again.

    Raises rclpy's parameter exceptions, or ValueError from check, when a start value is refused.
    """

    def __init__(
            self, node: Node, table: Table, check: Callable[[Values], None],
            changed: Callable[[Values], None]) -> None:
        """Declare every parameter and check the start values together."""
        self._table = table
        self._check = check
        self._changed = changed
        self._names = {spec.name for spec in table}
        for spec in table:
            node.declare_parameter(spec.name, spec.default, _descriptor(spec))
        self.values: Values = {name: _plain(node.get_parameter(name)) for name in self._names}
        self._validate(self.values)
        node.add_on_set_parameters_callback(self._on_set)
        # Humble has no post-set callback; there the values are taken on once they are accepted.
        self._has_post_set = hasattr(node, 'add_post_set_parameters_callback')
        if self._has_post_set:
            node.add_post_set_parameters_callback(self._on_post_set)

    def __getitem__(self, name: str) -> Any:
        """Return the value of a parameter."""
        return self.values[name]

    def _validate(self, values: Values) -> None:
        reason = refusal(self._table, values)
        if reason:
            raise ValueError(reason)
        self._check(values)

    def _merged(self, parameters: list[Parameter]) -> Values:
        return {**self.values, **{entry.name: _plain(entry) for entry in parameters
                                  if entry.name in self._names}}

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        values = self._merged(parameters)
        try:
            self._validate(values)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if not self._has_post_set:
            self._take(parameters)
        return SetParametersResult(successful=True)

    def _on_post_set(self, parameters: list[Parameter]) -> None:
        self._take(parameters)

    def _take(self, parameters: list[Parameter]) -> None:
        if any(entry.name in self._names for entry in parameters):
            self.values = self._merged(parameters)
            self._changed(self.values)


def _descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        name=spec.name, description=spec.description, read_only=not spec.live)
    if spec.choices:
        descriptor.additional_constraints = f'one of: {spec.constraints}'
    if spec.low is not None and spec.high is not None:
        if isinstance(spec.default, int):
            descriptor.integer_range = [
                IntegerRange(from_value=int(spec.low), to_value=int(spec.high), step=1)]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(spec.low), to_value=float(spec.high))]
    return descriptor


def _plain(parameter: Parameter) -> Value:
    value = parameter.value
    return list(value) if parameter.type_ is Parameter.Type.STRING_ARRAY else value
