# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Configurations of tiny trainings."""

import json

import pytest
from xmem_material import TINY
from xmem_material import write_coco


@pytest.fixture
def config(tmp_path):
    """Return the file of a training of XMem that takes seconds."""
    write_coco(tmp_path, range(1, 11))
    path = tmp_path / 'tiny.yaml'
    path.write_text(json.dumps({
        'network': TINY, 'imagenet': False,
        'data': {'coco': [{'images': str(tmp_path),
                           'annotations': str(tmp_path / 'instances.json')}]},
        'clips': {'size': 64, 'frames': 3},
        'freeze': {'norms': True, 'depthwise': True, 'first_blocks': 3},
        'train': {'iterations': 4, 'batch': 2, 'objects': [1, 1], 'workers': 0, 'log_every': 1,
                  'norm_batches': 2, 'threads': 1, 'ema': 0.9, 'lr': 1e-3, 'warmup': 0.1}}))
    return path
