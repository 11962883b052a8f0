# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Image features at strides 16, 8 and 4, and the projection to key, shrinkage and selection."""

from typing import NamedTuple

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.mobileinst.efficientnet_lite import EfficientNetLite0
from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.resnet import Bottleneck
from vos_ros.models.xmem.resnet import stage


class Features(NamedTuple):
    """f16, f8, f4: [batch, C, h, w] at strides 16, 8 and 4."""

    f16: Tensor
    f8: Tensor
    f4: Tensor


class ResNet50Encoder(nn.Module):
    """ResNet-50 up to stride 16, under the official names (the first stage is `res2`)."""

    channels = (1024, 512, 256)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.res2 = stage(Bottleneck, 64, 64, 3, stride=1)
        self.layer2 = stage(Bottleneck, 256, 128, 4, stride=2)
        self.layer3 = stage(Bottleneck, 512, 256, 6, stride=2)

    def forward(self, image: Tensor) -> Features:
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        f4 = self.res2(x)
        f8 = self.layer2(f4)
        return Features(self.layer3(f8), f8, f4)


class EfficientNetLite0Encoder(nn.Module):
    """EfficientNet-Lite0 up to stride 16, under the names of its published weights."""

    channels = (112, 40, 24)
    _taps = (2, 4, 10)

    def __init__(self) -> None:
        super().__init__()
        whole = EfficientNetLite0()
        self._conv_stem = whole._conv_stem
        self._bn0 = whole._bn0
        self._blocks = whole._blocks[:self._taps[-1] + 1]

    def forward(self, image: Tensor) -> Features:
        x = F.relu6(self._bn0(self._conv_stem(image)))
        taps = []
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in self._taps:
                taps.append(x)
        return Features(taps[2], taps[1], taps[0])

    def load_imagenet(self, path: str | None = None) -> None:
        """Load ImageNet weights, as `EfficientNetLite0.load_imagenet` does."""
        whole = EfficientNetLite0()
        whole.load_imagenet(path)
        self.load_state_dict({k: v for k, v in whole.state_dict().items()
                              if k in self.state_dict()})


def make_key_encoder(config: XMemConfig) -> ResNet50Encoder | EfficientNetLite0Encoder:
    """Return the encoder that the config names, with random weights."""
    if config.key_encoder == 'resnet50':
        return ResNet50Encoder()
    return EfficientNetLite0Encoder()


class KeyProjection(nn.Module):
    """f16 to key [C^k], shrinkage [1] >= 1 and selection [C^k] in 0..1 (section 3.2)."""

    def __init__(self, inputs: int, key_dim: int) -> None:
        super().__init__()
        self.key_proj = nn.Conv2d(inputs, key_dim, 3, padding=1)
        self.d_proj = nn.Conv2d(inputs, 1, 3, padding=1)
        self.e_proj = nn.Conv2d(inputs, key_dim, 3, padding=1)
        nn.init.orthogonal_(self.key_proj.weight)
        if self.key_proj.bias is not None:
            nn.init.zeros_(self.key_proj.bias)

    def forward(self, f16: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (self.key_proj(f16), self.d_proj(f16).square() + 1,
                torch.sigmoid(self.e_proj(f16)))
