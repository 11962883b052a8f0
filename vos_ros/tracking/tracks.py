# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What every tracker returns: a struct of arrays, one row a track, and a label map."""

from dataclasses import dataclass
from dataclasses import field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

# Pixel values are track ids, and consumers commonly read 65535 as 'unlabelled' (vision_msgs).
MAX_TRACK_ID = 65534


class TrackState(IntEnum):
    """Life of a track; the numbers are those of vos_ros/msg/Track."""

    NEW = 0
    TRACKED = 1
    LOST = 2
    REMOVED = 3


@dataclass(frozen=True)
class Tracks:
    """N tracks as parallel arrays.

    ids: uint32 [N], 1..MAX_TRACK_ID, never given twice in a run.
    class_ids: int32 [N], index into the model's class names; -1 where there is no class.
    labels: N strings, the class name (or the name the user gave).
    scores: float32 [N], 0..1.
    states: uint8 [N], TrackState.
    ages: uint32 [N], frames since the track was born, 0 on its first frame.
    boxes: float32 [N, 4], x1 y1 x2 y2 in pixels of the source image, x2 and y2 exclusive; zeros
        where the track has no pixel in this frame.
    areas: uint32 [N], visible pixels in the label map.
    """

    ids: NDArray[np.uint32]
    class_ids: NDArray[np.int32]
    labels: tuple[str, ...]
    scores: NDArray[np.float32]
    states: NDArray[np.uint8]
    ages: NDArray[np.uint32]
    boxes: NDArray[np.float32]
    areas: NDArray[np.uint32]

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths: a row must mean one track everywhere."""
        n = len(self.ids)
        for name in ('class_ids', 'labels', 'scores', 'states', 'ages', 'boxes', 'areas'):
            if len(getattr(self, name)) != n:
                raise ValueError(
                    f'Tracks.{name} has {len(getattr(self, name))} rows, ids has {n}')

    def __len__(self) -> int:
        """Return the number of tracks."""
        return len(self.ids)

    @classmethod
    def empty(cls) -> 'Tracks':
        """Return zero tracks."""
        return cls(
            ids=np.zeros(0, np.uint32), class_ids=np.zeros(0, np.int32), labels=(),
            scores=np.zeros(0, np.float32), states=np.zeros(0, np.uint8),
            ages=np.zeros(0, np.uint32), boxes=np.zeros((0, 4), np.float32),
            areas=np.zeros(0, np.uint32))


@dataclass(frozen=True)
class StepResult:
    """One frame's outcome.

    label_map: uint16 [H, W] at the source image's size, 0 = background, pixel = track id.
    keyframe: True where the instance decoder ran (MobileInst) or memory was written (XMem).
    timings: milliseconds by stage name, in the order the stages ran.
    """

    tracks: Tracks
    label_map: NDArray[np.uint16]
    keyframe: bool
    timings: dict[str, float] = field(default_factory=dict)
