# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""An operating point: settings, what they cost, and what they give up."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any


@dataclass(frozen=True)
class OperatingPoint:
    """One way to run a tracker.

    name: as ~/latency shows it.  settings: what the tracker takes on, by parameter.
    light_ms, heavy_ms: reference cost of an ordinary frame and of a keyframe (or memory frame).
        Only ratios between points matter: what frames really cost is measured while running.
    cadence: every n-th frame is heavy.
    max_skip: frames in a row that may be left uncomputed because they would be published late.
    given_up: what it costs against the user's own settings, '' and so on; empty for those.
    light_kind: what ordinary frames run.  Only times of the same kind tell of each other; those
        of another kind are foretold from the heavy frames.
    late: whether what makes a frame heavy is computed after it was published, as an ordinary one.
    Raises ValueError for costs or a cadence that cannot be.
    """

    name: str
    light_ms: float
    heavy_ms: float
    cadence: int = 1
    max_skip: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    given_up: tuple[str, ...] = ()
    light_kind: str = ''
    late: bool = False

    def __post_init__(self) -> None:
        """Refuse what no computation can cost."""
        if not 0 < self.light_ms < float('inf') or not 0 < self.heavy_ms < float('inf'):
            raise ValueError(f'{self.name}: costs {self.light_ms}, {self.heavy_ms} ms must be '
                             'positive')
        if self.cadence < 1 or self.max_skip < 0:
            raise ValueError(f'{self.name}: cadence {self.cadence} must be at least 1, max_skip '
                             f'{self.max_skip} at least 0')

    def cost(self, heavy: bool) -> float:
        """Return the reference cost of a frame, ms."""
        return self.heavy_ms if heavy else self.light_ms


@dataclass(frozen=True)
class Measured:
    """A frame as it went: milliseconds.

    heavy: keyframe or memory frame.  scaled: the part of the step whose cost depends on the
    operating point; 0 where there was nothing to compute.  other: the rest of the step.  wait: in
    the slot.  outside: from the image's stamp until the node had it.  after: what the frame before
    kept the worker busy with once it was published, an overlay for example.  late: the same for
    what a late point computes then, which depends on the point.
    """

    heavy: bool
    scaled: float
    other: float
    wait: float
    outside: float
    after: float = 0.0
    late: float = 0.0

    @property
    def latency(self) -> float:
        """Return the pipeline latency: stamp to published."""
        return self.outside + self.wait + self.scaled + self.other
