# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How a person designates an object, and the image that is meant."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

import numpy as np
from numpy.typing import NDArray


class PromptError(ValueError):
    """A prompt cannot be taken; the text names the object and says why."""


def called(index: int, name: str) -> str:
    """Return how a refusal names an object of a request."""
    return f'object {index} ({name!r})' if name else f'object {index}'


@dataclass(frozen=True)
class Prompt:
    """One object to follow, designated by a mask, a box, points, a polygon or a track id.

    Exactly one of them, but for points, which may refine a box.

    name: free text.  id: 1..65534, or 0 for the next free one.
    mask: [H, W], bool or an integer type, non-zero = object.  box: x1 y1 x2 y2, x2 and y2
    exclusive.  points: x0 y0 x1 y1 ...  point_labels: 1 on the object, 0 off it, one for each
    point; none means all on.  polygon: x0 y0 x1 y1 ..., at least three corners.
    track_id: a track of the instance tracker, 0 for none.
    Coordinates are pixels; (0, 0) is the centre of the top left pixel.
    """

    name: str = ''
    id: int = 0
    mask: NDArray[np.generic] | None = None
    box: Sequence[float] = ()
    points: Sequence[float] = ()
    point_labels: Sequence[int] = ()
    polygon: Sequence[float] = ()
    track_id: int = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the names of the fields that designate the object."""
        return tuple(name for name in ('mask', 'box', 'points', 'polygon', 'track_id')
                     if (self.mask is not None if name == 'mask'
                         else self.track_id != 0 if name == 'track_id'
                         else len(getattr(self, name)) > 0))


@dataclass(frozen=True)
class Scene:
    """What prompts are about.

    image: uint8 [H, W, 3] RGB.  instances: label map [H, W] of the instance tracker for the same
    image, if there is one.  names: the label of each instance track known then, by id.
    """

    image: NDArray[np.uint8]
    instances: NDArray[np.uint16] | None = None
    names: Mapping[int, str] = field(default_factory=dict)
