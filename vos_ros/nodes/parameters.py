# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a parameter is, before it is declared to ROS: name, default, range, description."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import fields
from typing import Any

Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter of a node.

    low, high: range of a number, both included.  choices: the values a string may have.
    live: may change while the node runs; else only a launch file or YAML can set it (read_only).
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = True

    @property
    def constraints(self) -> str:
        """Return the bounds in words, '' when there are none."""
        if self.choices:
            return ', '.join(choice or "''" for choice in self.choices)
        if self.low is None:
            return ''
        return f'{self.low:g} to {self.high:g}'

    def refusal(self, value: Value) -> str | None:
        """Return why this value is not acceptable, None when it is."""
        if self.choices and value not in self.choices:
            return f'{self.name} is {value!r}, must be one of {self.constraints}'
        if self.low is not None and self.high is not None \
                and not self.low <= value <= self.high:  # type: ignore[operator]
            return f'{self.name} is {value}, must be within {self.constraints}'
        return None


Table = tuple[ParameterSpec, ...]


def from_dataclass(kind: type) -> Table:
    """Return a parameter for each field of a dataclass whose metadata names range and text."""
    return tuple(
        ParameterSpec(entry.name, _default(entry), entry.metadata['description'],
                      _bounds(entry)[0], _bounds(entry)[1], live=entry.metadata['live'])
        for entry in fields(kind))


def _bounds(entry: Any) -> tuple[float | None, float | None]:
    if isinstance(entry.default, bool):
        return None, None
    return entry.metadata['min'], entry.metadata['max']


def _default(entry: Any) -> Value:
    return entry.default


def refusal(table: Sequence[ParameterSpec], values: Mapping[str, Value]) -> str | None:
    """Return why some of these values are not acceptable, None when all are."""
    for spec in table:
        if spec.name in values:
            reason = spec.refusal(values[spec.name])
            if reason:
                return reason
    return None


def markdown(table: Sequence[ParameterSpec]) -> str:
    """Return a Markdown table of the parameters."""
    lines = ['| parameter | type | default | range | live | meaning |',
             '|---|---|---|---|---|---|']
    for spec in table:
        kind = {bool: 'bool', int: 'int', float: 'double', str: 'string',
                list: 'string list'}[type(spec.default)]
        default = repr(spec.default) if isinstance(spec.default, (str, list)) \
            else str(spec.default).lower() if isinstance(spec.default, bool) else spec.default
        lines.append(f'| `{spec.name}` | {kind} | {default} | {spec.constraints} | '
                     f'{"yes" if spec.live else "no"} | {spec.description} |')
    return '\n'.join(lines)
