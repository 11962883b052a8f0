# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The instance tracker's parameters, each with what a user interface needs to show it."""

from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from typing import Any


def bounded(default: Any, low: float, high: float, description: str, live: bool = True) -> Any:
    """Return a dataclass field that carries its range, description and whether it may change."""
    return field(default=default, metadata={
        'description': description, 'min': low, 'max': high, 'live': live})


@dataclass(frozen=True)
class InstanceTrackerParams:
    """How instances become tracks.

    Field metadata holds ``description``, ``min``, ``max`` and ``live``: every field may be changed
    between two frames by handing the tracker a new object (``dataclasses.replace``).

    Only ``reuse_interval`` (the paper's T) and the cosine of the one-to-one association come from
    MobileInst (section 3.4); it names no birth, death or gating rule, so the others are ours.

    Raises ValueError that names the field for a value out of range or of a wrong type.
    """

    reuse_interval: int = bounded(
        3, 1, 60, 'Frames per keyframe: the instance decoder runs on every n-th frame and its '
        'kernels are reused in between; 1 runs it on each.')
    birth_score: float = bounded(
        0.45, 0.0, 1.0, 'An instance that no track claims becomes a track from this score on.')
    keep_score: float = bounded(
        0.25, 0.0, 1.0, 'An instance can carry a track on from this score on.')
    confirm_keyframes: int = bounded(
        1, 1, 20, 'A track is published once it was seen on this many keyframes in a row.')
    coast_keyframes: int = bounded(
        3, 0, 60, "Keyframes that a track keeps its own kernel's mask without an instance that "
        'confirms it, before it counts as lost.')
    lost_keyframes: int = bounded(
        20, 0, 1000, 'Keyframes that a track is remembered after the coast_keyframes without an '
        'instance; found again in that time it has its id back.')
    min_cosine: float = bounded(
        0.4, -1.0, 1.0, 'Least cosine similarity of the kernels of a track and an instance.')
    lost_min_cosine: float = bounded(
        0.95, -1.0, 1.0, 'The same for a lost track, for which no position speaks.')
    overlap_weight: float = bounded(
        0.5, 0.0, 1.0, 'Share of the mask overlap beside the cosine when tracks compete for '
        'instances; 0 is the cosine alone.')
    min_overlap: float = bounded(
        0.1, 0.0, 1.0, "Least mask IoU of a visible track's own kernel on this frame and the "
        'instance.')
    mask_threshold: float = bounded(
        0.45, 0.05, 0.95, 'A pixel belongs to a mask above this probability.')
    min_area: float = bounded(
        0.001, 0.0, 1.0, 'Least mask area as a share of the frame.')
    min_part: float = bounded(
        0.25, 0.0, 1.0, 'Separate parts of a mask smaller than this share of its largest part '
        'are not shown; 0 shows all.')
    duplicate_iou: float = bounded(
        0.4, 0.0, 1.0, 'Of two instances whose masks overlap this much the better stays; 1 keeps '
        'both unless they are equal.')
    duplicate_cover: float = bounded(
        0.7, 0.0, 1.0, "An instance whose mask lies this much inside a better one's is dropped "
        "as a part of it, and one that covers more than this of a track's mask starts none.")
    vote_iou: float = bounded(
        0.6, 0.0, 1.0, 'Instances left out as duplicates whose masks overlap the better one this '
        'much have a say in its mask and kernel; 1 leaves it to the better one.')
    score_momentum: float = bounded(
        0.7, 0.0, 1.0, "Share of the past in a track's score and class at each keyframe.")
    kernel_momentum: float = bounded(
        0.0, 0.0, 0.99, "Share of the past in a track's kernel at each keyframe; 0 takes the "
        'newest.')
    gallery: int = bounded(
        6, 0, 50, 'Kernels of earlier keyframes, of every second one, by which a track is also '
        'known, so that one which was hidden for a while keeps its id; 0 goes by the newest '
        'alone.')
    max_tracks: int = bounded(
        50, 1, 1000, "Most tracks at a time, lost ones included: the bound on a frame's cost. Set "
        'lower, those longest lost and then those of the lowest score end.')
    max_gap: float = bounded(
        1.0, 0.0, 3600.0, 'A gap between stamps longer than this many seconds, or stamps that go '
        'back, are a break: the next frame is a keyframe, and tracks are found again by their '
        'kernels alone.')
    cut_correlation: float = bounded(
        0.3, -1.0, 1.0, 'A frame whose brightness correlates less than this with the one before '
        'is a break too; -1 never.')

    def __post_init__(self) -> None:
        """Refuse what is out of range or of a wrong type, by its name."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) \
                    or (entry.type in (int, 'int') and not isinstance(value, int)):
                raise ValueError(f'{entry.name} is {value!r}, must be of type '
                                 f'{getattr(entry.type, "__name__", entry.type)}')
            low, high = entry.metadata['min'], entry.metadata['max']
            if not low <= value <= high:
                raise ValueError(f'{entry.name} is {value}, must be within {low} and {high}')
        if self.keep_score > self.birth_score:
            raise ValueError(f'keep_score is {self.keep_score}, must not exceed birth_score '
                             f'{self.birth_score}')
