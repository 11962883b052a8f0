# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The memories as plain arrays and JSON-able values, and back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vos_ros.tracking.memory import Frame
from vos_ros.tracking.memory import Group
from vos_ros.tracking.memory import Memory


def export_memory(memory: Memory) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Return the arrays and the values that `restore_memory` takes."""
    arrays = {name: np.asarray(rows) for name, rows in memory.store.rows().items()}
    for group in memory.groups:
        arrays[f'long_term.{group.key}'] = group.long_term.astype(np.uint8)
    meta = {
        'key_dim': memory.store.key_dim, 'value_dim': memory.store.value_dim,
        'long_term_size': memory.long_term_size, 'next_group': memory.next_group,
        'consolidations': memory.consolidations, 'forgotten': memory.forgotten,
        'frames': [{'number': f.number, 'count': f.count, 'groups': sorted(f.groups)}
                   for f in memory.frames],
        'groups': [{'key': g.key, 'first': g.first, 'objects': list(g.objects)}
                   for g in memory.groups]}
    return arrays, meta


def restore_memory(memory: Memory, arrays: Mapping[str, NDArray],
                   meta: Mapping[str, Any]) -> None:
    """Fill an empty memory; ValueError or KeyError names what does not fit together."""
    for name, have in (('key_dim', memory.store.key_dim), ('value_dim', memory.store.value_dim)):
        if meta[name] != have:
            raise ValueError(f'{name} is {meta[name]}, the network has {have}')
    frames = [Frame(int(f['number']), int(f['count']), {int(g) for g in f['groups']})
              for f in meta['frames']]
    groups = [Group(int(g['key']), int(g['first']), [int(o) for o in g['objects']],
                    np.asarray(arrays[f'long_term.{g["key"]}']).astype(bool))
              for g in meta['groups']]
    size = int(meta['long_term_size'])
    total = size + sum(f.count for f in frames)
    if total != len(arrays['stored']):
        raise ValueError(f'{len(arrays["stored"])} tokens stored, {total} described')
    for group in groups:
        if group.long_term.shape != (size,):
            raise ValueError(f'group {group.key} knows {len(group.long_term)} of {size} long-term '
                             'tokens')
    memory.store.restore(arrays, [obj for g in groups for obj in g.objects])
    memory.frames, memory.groups = frames, groups
    memory.long_term_size, memory.next_group = size, int(meta['next_group'])
    # Absent in files of before there were such counts.
    memory.consolidations = int(meta.get('consolidations', 0))
    memory.forgotten = int(meta.get('forgotten', 0))
