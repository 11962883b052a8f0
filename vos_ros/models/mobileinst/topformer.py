# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""TopFormer Tiny, Small and Base (Zhang et al., CVPR 2022).

state_dict names and shapes are those of the released segmentation backbones, so their weights
load; `released.load_released` reads them.
"""

from dataclasses import dataclass

from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.mobileinst.layers import Backbone
from vos_ros.models.mobileinst.layers import BlockStack
from vos_ros.models.mobileinst.layers import ConvBN
from vos_ros.models.mobileinst.layers import init_convolutions
from vos_ros.models.mobileinst.layers import InvertedResidual
from vos_ros.models.mobileinst.layers import PixelAttention
from vos_ros.models.mobileinst.layers import pyramid_pool
from vos_ros.models.mobileinst.layers import resize_to
from vos_ros.models.mobileinst.layers import size_of

STEM = 16


@dataclass(frozen=True)
class TopFormerSize:
    """One size: `blocks` as (kernel, expansion, outputs, stride), `taps` the blocks whose output
    feeds the transformer (1/4, 1/8, 1/16, 1/32), `injected` the width of the SIM outputs.
    """

    blocks: tuple[tuple[int, int, int, int], ...]
    taps: tuple[int, int, int, int]
    heads: int
    injected: int


SIZES = {
    'tiny': TopFormerSize((
        (3, 1, 16, 1), (3, 4, 16, 2), (3, 3, 16, 1), (5, 3, 32, 2), (5, 3, 32, 1),
        (3, 3, 64, 2), (3, 3, 64, 1), (5, 6, 96, 2), (5, 6, 96, 1)), (2, 4, 6, 8), 4, 128),
    'small': TopFormerSize((
        (3, 1, 16, 1), (3, 4, 24, 2), (3, 3, 24, 1), (5, 3, 48, 2), (5, 3, 48, 1),
        (3, 3, 96, 2), (3, 3, 96, 1), (5, 6, 128, 2), (5, 6, 128, 1), (3, 6, 128, 1)),
        (2, 4, 6, 9), 6, 192),
    'base': TopFormerSize((
        (3, 1, 16, 1), (3, 4, 32, 2), (3, 3, 32, 1), (5, 3, 64, 2), (5, 3, 64, 1),
        (3, 3, 128, 2), (3, 3, 128, 1), (5, 6, 160, 2), (5, 6, 160, 1), (3, 6, 160, 1)),
        (2, 4, 6, 9), 8, 256),
}


class TokenPyramid(nn.Module):
    """Stem and inverted residuals; returns the maps at `taps`, 1/4 to 1/32."""

    def __init__(self, size: TopFormerSize) -> None:
        super().__init__()
        self.taps = size.taps
        self.stem = nn.Sequential(ConvBN(3, STEM, 3, 2), nn.ReLU())
        inputs = STEM
        self.names = []
        for i, (kernel, expand, outputs, stride) in enumerate(size.blocks, start=1):
            self.names.append(f'layer{i}')
            self.add_module(self.names[-1],
                            InvertedResidual(inputs, outputs, kernel, stride, expand))
            inputs = outputs

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        taps = []
        for i, name in enumerate(self.names):
            x = getattr(self, name)(x)
            if i in self.taps:
                taps.append(x)
        return taps


class _Embedding(nn.Module):
    """1x1 convolution and norm under the names `conv` and `bn` that the release uses here."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class SemanticInjection(nn.Module):
    """SIM: local * up(gate(global)) + up(global), each embedded by a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.local_embedding = _Embedding(inputs, outputs)
        self.global_embedding = _Embedding(inputs, outputs)
        self.global_act = _Embedding(inputs, outputs)

    def forward(self, local: Tensor, semantic: Tensor) -> Tensor:
        size = size_of(local)
        gate = resize_to(F.hardsigmoid(self.global_act(semantic)), size)
        added = resize_to(self.global_embedding(semantic), size)
        return self.local_embedding(local) * gate + added


class TopFormer(Backbone):
    """Backbone: [B,3,H,W] normalised RGB to X3 (1/8), X4 (1/16), X5 (1/32), X6 (1/64).

    size: 'tiny', 'small' or 'base'.  inject: X3..X5 are the SIM outputs (as in the published
    reproduction of MobileInst); without it they are the raw tokens, and no SIM is made.
    X6 is the transformer's output, as wide as the tokens together (208, 296, 384).
    """

    def __init__(self, size: str = 'base', inject: bool = True, drop_path: float = 0.1) -> None:
        super().__init__()
        chosen = SIZES[size]
        self.channels = [chosen.blocks[i][2] for i in chosen.taps]
        width = sum(self.channels)
        self.inject = inject
        self.tpm = TokenPyramid(chosen)
        # The released attention has no 1/sqrt(d): scaled=False is part of the weights' meaning.
        self.trans = BlockStack(
            4, width, lambda: PixelAttention(width, 16, chosen.heads, 2, scaled=False),
            drop_path=drop_path)
        if inject:
            self.SIM = nn.ModuleList([nn.Identity()] + [
                SemanticInjection(c, chosen.injected) for c in self.channels[1:]])
            self.out_channels = (chosen.injected, chosen.injected, chosen.injected, width)
        else:
            self.out_channels = (self.channels[1], self.channels[2], self.channels[3], width)
        init_convolutions(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        tokens = self.tpm(x)
        x6 = self.trans(pyramid_pool(tokens))
        x3, x4, x5 = tokens[1:]
        if self.inject:
            parts = x6.split(self.channels, dim=1)
            x3, x4, x5 = (self.SIM[i](tokens[i], parts[i]) for i in (1, 2, 3))
        return x3, x4, x5, x6
