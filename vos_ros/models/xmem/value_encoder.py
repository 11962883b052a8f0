# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What a memory frame remembers of each object: its value, and the deep sensory update."""

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.xmem.blocks import FeatureFusion
from vos_ros.models.xmem.blocks import gated_update
from vos_ros.models.xmem.blocks import per_object
from vos_ros.models.xmem.blocks import regroup
from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.resnet import BasicBlock
from vos_ros.models.xmem.resnet import stage


class HiddenReinforcer(nn.Module):
    """The deep update: value and hidden state to a new hidden state (section 3.4)."""

    def __init__(self, value_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.transform = nn.Conv2d(value_dim + hidden_dim, hidden_dim * 3, 3, padding=1)
        nn.init.xavier_normal_(self.transform.weight)

    def forward(self, value: Tensor, hidden: Tensor) -> Tensor:
        values = per_object(self.transform, torch.cat([value, hidden], 2))
        return gated_update(values, hidden)


class ValueEncoder(nn.Module):
    """Image, this object's mask and the others' mask to a value at stride 16 (section 3.2)."""

    def __init__(self, config: XMemConfig, f16_dim: int) -> None:
        super().__init__()
        self.single_object = config.single_object
        stem, widths, blocks = config.value_stem, config.value_widths, config.value_blocks
        self.conv1 = nn.Conv2d(4 if self.single_object else 5, stem, 7, stride=2, padding=3,
                               bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.layer1 = stage(BasicBlock, stem, widths[0], blocks[0], stride=1)
        self.layer2 = stage(BasicBlock, widths[0], widths[1], blocks[1], stride=2)
        self.layer3 = stage(BasicBlock, widths[1], widths[2], blocks[2], stride=2)
        self.fuser = FeatureFusion(f16_dim, widths[2], config.value_dim)
        self.hidden_reinforce = HiddenReinforcer(config.value_dim, config.hidden_dim) \
            if config.hidden_dim else None

    def forward(self, image: Tensor, f16: Tensor, masks: Tensor,
                others: Tensor | None = None) -> Tensor:
        """Return values [batch, objects, C^v, h/16, w/16].

        image: float32 [batch, 3, h, w] normalised.  masks: [batch, objects, h, w], soft.
        others: [batch, objects, h, w]; None computes the sum of the other objects' masks.
        """
        if others is None:
            others = masks.sum(1, keepdim=True) - masks
        count = masks.shape[1]
        planes = [image.unsqueeze(1).expand(-1, count, -1, -1, -1), masks.unsqueeze(2)]
        if not self.single_object:
            planes.append(others.unsqueeze(2))
        g = torch.cat(planes, 2)
        x = F.relu(self.bn1(self.conv1(g.flatten(0, 1))))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fuser(f16, regroup(x, g))
