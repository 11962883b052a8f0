# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Prompts and memory usage from and to messages."""

import os
from pathlib import Path
from typing import Any

from std_msgs.msg import Header

from vos_ros.msg import MemoryUsage
from vos_ros.nodes import images
from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.prompt import called
from vos_ros.tracking.prompt import Prompt
from vos_ros.tracking.prompt import PromptError

_PAGE = os.sysconf('SC_PAGE_SIZE') if hasattr(os, 'sysconf') else 0


def prompts_of(messages: Any) -> list[Prompt]:
    """Return ObjectPrompt messages as prompts; raise PromptError for a mask that is no mask."""
    return [_prompt(index, message) for index, message in enumerate(messages)]


def _prompt(index: int, message: Any) -> Prompt:
    mask = None
    if message.mask.height or message.mask.width or len(message.mask.data):
        try:
            mask = images.to_labels(message.mask)
        except images.ImageError as error:
            raise PromptError(f'{called(index, message.name)}: its mask: {error}') from None
    return Prompt(
        name=message.name, id=message.id, mask=mask, box=tuple(message.box),
        points=tuple(message.points), point_labels=tuple(message.point_labels),
        polygon=tuple(message.polygon), track_id=message.track_id)


def usage_message(tracker: MemoryTracker, header: Header) -> MemoryUsage:
    """Return what the memories of a tracker hold and may hold."""
    usage = tracker.usage()
    return MemoryUsage(
        header=header, objects=len(tracker.objects),
        sensory_elements=usage.sensory.elements, sensory_bytes=usage.sensory.bytes,
        sensory_max_bytes=usage.sensory.max_bytes,
        working_elements=usage.working.elements, working_max_elements=usage.working.max_elements,
        working_bytes=usage.working.bytes, working_max_bytes=usage.working.max_bytes,
        long_term_elements=usage.long_term.elements,
        long_term_max_elements=usage.long_term.max_elements,
        long_term_bytes=usage.long_term.bytes, long_term_max_bytes=usage.long_term.max_bytes,
        total_bytes=usage.allocated_bytes, total_max_bytes=usage.ceiling_bytes,
        process_rss_bytes=resident_bytes(), consolidations=usage.consolidations,
        obsolete_removed=usage.forgotten)


def resident_bytes() -> int:
    """Return the resident memory of this process, 0 where the system does not tell."""
    try:
        return int(Path('/proc/self/statm').read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
