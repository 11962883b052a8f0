# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The memory tracker's parameters, each with what a user interface needs to show it."""

from dataclasses import dataclass
from dataclasses import fields

from vos_ros.tracking.params import bounded


@dataclass(frozen=True)
class MemoryTrackerParams:
    """How XMem remembers.

    Field metadata holds ``description``, ``min``, ``max`` and ``live``, as for instances.  A field
    that is not live shapes stores that already exist: changing it needs a reset.

    Raises ValueError that names the field for a value out of range or of a wrong type.
    """

    mem_every: int = bounded(
        5, 1, 1000, 'Frames per memory frame (r of XMem): every n-th frame, and each frame with a '
        'given mask, is written to the working memory.')
    working_memory_max_frames: int = bounded(
        10, 2, 100, 'Frames in the working memory (T_max) at which it is consolidated into the '
        'long-term memory.')
    working_memory_min_frames: int = bounded(
        5, 1, 99, 'Frames that stay in the working memory after a consolidation (T_min): the '
        'first one and the newest others.')
    long_term: bool = bounded(
        True, 0, 1, 'Keep a long-term memory; without it the oldest frame but the first is '
        'dropped when the working memory is full.', live=False)
    long_term_max_elements: int = bounded(
        10000, 1, 1000000, 'Most elements in the long-term memory; beyond it the least frequently '
        'used are forgotten.')
    num_prototypes: int = bounded(
        128, 1, 10000, 'Elements that a consolidation adds to the long-term memory (P).')
    top_k: int = bounded(
        30, 1, 1000, 'Memory elements that each pixel reads: the most similar ones.')
    read_long_term: bool = bounded(
        True, 0, 1, 'Read the long-term memory; off, only the working memory is read, which is '
        'faster, while the long-term memory goes on being kept.')
    deep_update_every: int = bounded(
        -1, -1, 1000, 'Frames between deep updates of the sensory memory; -1 couples them to '
        'memory frames, which then skip the ordinary update.')
    short_side: int = bounded(
        480, 0, 4320, 'Frames are scaled down until their shorter side has so many pixels; '
        '0 keeps their size.')
    max_objects: int = bounded(
        8, 1, 1000, 'Most objects at a time: the bound on time and memory; one more is refused.')
    min_area: float = bounded(
        0.0, 0.0, 1.0, 'An object that shows no more than this share of the frame is lost.')
    stray_share: float = bounded(
        0.0, 0.0, 0.5, 'Parts of an object that come up apart from where it was in the frame '
        'before, as on a look-alike that passes by, are taken off it, while they make up no more '
        'than this share of its mask; 0 leaves them, as the published method does.')
    bounded_working_memory: bool = bounded(
        True, 0, 1, 'Without long-term memory, drop the oldest frames; off keeps every memory '
        'frame, as the published method does, and memory grows without a bound.', live=False)

    def __post_init__(self) -> None:
        """Refuse what is out of range or of a wrong type, by its name."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            kind = str(getattr(entry.type, '__name__', entry.type))
            wanted = bool if kind == 'bool' else int if kind == 'int' else (int, float)
            if not isinstance(value, wanted) or (isinstance(value, bool) and kind != 'bool'):
                raise ValueError(f'{entry.name} is {value!r}, must be of type {kind}')
            low, high = entry.metadata['min'], entry.metadata['max']
            if not low <= value <= high:
                raise ValueError(f'{entry.name} is {value}, must be within {low} and {high}')
        if self.working_memory_min_frames >= self.working_memory_max_frames:
            raise ValueError(
                f'working_memory_min_frames is {self.working_memory_min_frames}, must be below '
                f'working_memory_max_frames {self.working_memory_max_frames}')
        if self.num_prototypes > self.long_term_max_elements:
            raise ValueError(f'num_prototypes is {self.num_prototypes}, must not exceed '
                             f'long_term_max_elements {self.long_term_max_elements}')
