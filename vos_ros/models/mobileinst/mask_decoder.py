# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Semantic-enhanced mask decoder (MobileInst figure 3): X3..X6 to one map at 1/8."""

from collections.abc import Sequence

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.mobileinst.layers import resize_to
from vos_ros.models.mobileinst.layers import size_of


class ConvBNReLU(nn.Sequential):
    """Convolution (depthwise then pointwise when `separable`), batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1,
                 separable: bool = False) -> None:
        steps: list[nn.Module] = []
        if separable and kernel > 1:
            steps += [nn.Conv2d(inputs, inputs, kernel, 1, kernel // 2, groups=inputs,
                                bias=False), nn.BatchNorm2d(inputs)]
            kernel = 1
        steps += [nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, bias=False),
                  nn.BatchNorm2d(outputs), nn.ReLU()]
        super().__init__(*steps)


class SemanticEnhance(nn.Module):
    """SE block of figure 3: out = X_l * X_G + X_G, X_G brought to the size of X_l.

    The paper's drawing leaves out projections; both inputs pass a 1x1 conv-BN-ReLU and so does
    the result. local [B,C,h,w], top [B,T,h/2,w/2] -> [B,C,h,w].
    """

    def __init__(self, width: int, top_channels: int) -> None:
        super().__init__()
        self.local = ConvBNReLU(width, width)
        self.top = ConvBNReLU(top_channels, width)
        self.out = ConvBNReLU(width, width)

    def forward(self, local: Tensor, top: Tensor) -> Tensor:
        semantic = resize_to(self.top(top), size_of(local))
        return self.out(self.local(local) * semantic + semantic)


class MaskDecoder(nn.Module):
    """Top-down, bottom-up, top-down over three levels with two SE blocks at the top.

    channels: of X3, X4, X5, X6.  width: C of every level.  separable: the six 3x3 convolutions
    depthwise-separable, which costs about an eighth.
    Returns X_mask [B, width, H/8, W/8] and the context [B, 2 width, H/32, W/32]: both maps of the
    top level, which hold what X5 and X6 have to say.
    """

    def __init__(self, channels: Sequence[int], width: int, separable: bool = False) -> None:
        super().__init__()
        c3, c4, c5, c6 = channels
        self.lateral3 = ConvBNReLU(c3, width)
        self.lateral4 = ConvBNReLU(c4, width)
        self.lateral5 = ConvBNReLU(c5, width)
        self.enhance1 = SemanticEnhance(width, c6)
        self.enhance2 = SemanticEnhance(width, c6)
        self.first = nn.ModuleList(ConvBNReLU(width, width, 3, separable) for _ in range(3))
        self.second = nn.ModuleList(ConvBNReLU(width, width, 3, separable) for _ in range(3))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, x3: Tensor, x4: Tensor, x5: Tensor,
                x6: Tensor) -> tuple[Tensor, Tensor]:
        size4, size5 = size_of(x4), size_of(x5)
        p5 = self.enhance1(self.lateral5(x5), x6)
        n3, n4 = self._descend(x3, x4, p5)
        n5 = self.first[2](p5) + resize_to(n4, size5)
        e5 = self.enhance2(self.second[2](n5), x6)
        e4 = self.second[1](n4) + resize_to(e5, size4)
        return self.second[0](n3) + resize_to(e4, size_of(x3)), torch.cat([p5, e5], dim=1)

    def between(self, x3: Tensor, x4: Tensor, context: Tensor) -> Tensor:
        """X_mask of a frame whose top level is an earlier frame's: see `forward`."""
        p5, e5 = context.split(int(context.shape[1]) // 2, dim=1)
        n3, n4 = self._descend(x3, x4, p5)
        e4 = self.second[1](n4) + resize_to(e5, size_of(x4))
        return self.second[0](n3) + resize_to(e4, size_of(x3))

    def _descend(self, x3: Tensor, x4: Tensor, p5: Tensor) -> tuple[Tensor, Tensor]:
        p4 = self.lateral4(x4) + resize_to(p5, size_of(x4))
        n3 = self.first[0](self.lateral3(x3) + resize_to(p4, size_of(x3)))
        return n3, self.first[1](p4) + resize_to(n3, size_of(x4))


def upsample_masks(masks: Tensor, factor: int = 2) -> Tensor:
    """Bilinear up-sampling of mask logits [B,N,h,w] before the loss (1/8 to 1/4)."""
    return F.interpolate(masks, scale_factor=float(factor), mode='bilinear', align_corners=False)
