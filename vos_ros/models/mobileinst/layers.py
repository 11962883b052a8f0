# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pieces that the backbones and decoders share.

Module attribute names (`c`, `bn`, `to_q`, `fc1`, ...) are part of the state_dict contract with the
released TopFormer and SeaFormer weights; renaming one makes those weights unloadable.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F


class Backbone(nn.Module):
    """[B,3,H,W] normalised RGB to X3 (1/8), X4 (1/16), X5 (1/32) and X6 (1/64).

    out_channels: channels of the four maps.
    """

    out_channels: tuple[int, int, int, int]


class ConvBN(nn.Sequential):
    """Convolution without bias, then batch norm: the children `c` and `bn`.

    bn_weight: initial scale of the norm; 0 makes a residual branch start as the identity.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1,
                 groups: int = 1, bn_weight: float = 1.0) -> None:
        super().__init__()
        self.add_module('c', nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2,
                                       groups=groups, bias=False))
        norm = nn.BatchNorm2d(outputs)
        nn.init.constant_(norm.weight, bn_weight)
        self.add_module('bn', norm)


class InvertedResidual(nn.Module):
    """MobileNetV2 block: 1x1 expand (left out when `expand` is 1), depthwise, 1x1 project.

    ReLU after the first two; the input is added when stride is 1 and the widths agree.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        steps: list[nn.Module] = []
        if expand != 1:
            steps += [ConvBN(inputs, hidden), nn.ReLU()]
        steps += [ConvBN(hidden, hidden, kernel, stride, groups=hidden), nn.ReLU(),
                  ConvBN(hidden, outputs)]
        self.conv = nn.Sequential(*steps)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return x + y if self.residual else y


class DropPath(nn.Module):
    """Stochastic depth: drops the whole branch of a sample with probability `rate`."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * mask / keep


class Mlp(nn.Module):
    """1x1 conv-BN, 3x3 depthwise conv with bias, ReLU6, 1x1 conv-BN (TopFormer, SeaFormer)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = ConvBN(width, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden)
        self.act = nn.ReLU6()
        self.fc2 = ConvBN(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.dwconv(self.fc1(x))))


class PixelAttention(nn.Module):
    """Multi-head attention among the pixels of a small map, all projections 1x1 conv-BN.

    scaled: multiply the logits by key_dim ** -0.5. The released TopFormer does NOT, and its
    weights are of use only without it.
    """

    def __init__(self, width: int, key_dim: int, heads: int, ratio: int, scaled: bool) -> None:
        super().__init__()
        self.heads = heads
        self.key_dim = key_dim
        self.value_dim = ratio * key_dim
        self.factor = key_dim ** -0.5 if scaled else 1.0
        self.to_q = ConvBN(width, key_dim * heads)
        self.to_k = ConvBN(width, key_dim * heads)
        self.to_v = ConvBN(width, self.value_dim * heads)
        self.proj = nn.Sequential(nn.ReLU6(), ConvBN(self.value_dim * heads, width, bn_weight=0.0))

    def forward(self, x: Tensor) -> Tensor:
        batch, (h, w) = int(x.shape[0]), size_of(x)
        q = self.to_q(x).reshape(batch, self.heads, self.key_dim, h * w)
        k = self.to_k(x).reshape(batch, self.heads, self.key_dim, h * w)
        v = self.to_v(x).reshape(batch, self.heads, self.value_dim, h * w)
        logits = q.transpose(2, 3) @ k
        if self.factor != 1.0:
            logits = logits * self.factor
        out = v @ logits.softmax(-1).transpose(2, 3)
        return self.proj(out.reshape(batch, self.heads * self.value_dim, h, w))


class Block(nn.Module):
    """Transformer block: an attention over a map, then Mlp, each with a residual."""

    def __init__(self, attention: nn.Module, width: int, mlp_ratio: int, drop_path: float) -> None:
        super().__init__()
        self.attn = attention
        self.drop_path = DropPath(drop_path)
        self.mlp = Mlp(width, width * mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attn(x))
        return x + self.drop_path(self.mlp(x))


class BlockStack(nn.Module):
    """`depth` blocks with drop path growing linearly from 0 to `drop_path`.

    attention: makes the attention of one block.
    """

    def __init__(self, depth: int, width: int, attention: Callable[[], nn.Module],
                 mlp_ratio: int = 2, drop_path: float = 0.1) -> None:
        super().__init__()
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.transformer_blocks = nn.ModuleList(
            Block(attention(), width, mlp_ratio, rate) for rate in rates)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.transformer_blocks:
            x = block(x)
        return x


def init_convolutions(module: nn.Module) -> None:
    """He initialisation (fan out) of every convolution in `module`; norms are left as made."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d):
            fan_out = child.kernel_size[0] * child.kernel_size[1] * child.out_channels
            nn.init.normal_(child.weight, std=(2.0 / (fan_out // child.groups)) ** 0.5)
            if child.bias is not None:
                nn.init.zeros_(child.bias)


def pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    """1x1 convolution with bias, Xavier weights and zero bias."""
    conv = nn.Conv2d(inputs, outputs, 1)
    nn.init.xavier_uniform_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def size_of(x: Tensor) -> tuple[int, int]:
    """Height and width of a map as plain integers; symbolic ones while a graph is exported.

    A graph whose input has a fixed size folds them to constants all the same.
    """
    if torch.onnx.is_in_onnx_export():
        return x.shape[-2], x.shape[-1]
    return int(x.shape[-2]), int(x.shape[-1])


def pool_to(x: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Average ('avg') or max ('max') pool to `size`.

    A plain pool when `size` divides the input (inputs that are multiples of 64, all that is ever
    exported), an adaptive one otherwise (training at other sizes).
    """
    h, w = size_of(x)
    if (h, w) == size:
        return x
    if h % size[0] == 0 and w % size[1] == 0:
        # The ratio of two strides: a constant for every input size that is exported.
        kernel = (int(h // size[0]), int(w // size[1]))
        return F.avg_pool2d(x, kernel) if mode == 'avg' else F.max_pool2d(x, kernel)
    if mode == 'avg':
        return F.adaptive_avg_pool2d(x, size)
    return F.adaptive_max_pool2d(x, size)


def resize_to(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize, half-pixel centres; exact halving is the 2x2 average it equals."""
    h, w = size_of(x)
    if (h, w) == size:
        return x
    if (h, w) == (2 * size[0], 2 * size[1]):
        return F.avg_pool2d(x, 2)
    return F.interpolate(x, size=size, mode='bilinear', align_corners=False)


def to_grid(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bilinear resize to a grid that stays the same whatever the picture's size.

    `resize_to` would choose by the size that a graph is exported at, and be wrong at others.
    """
    return F.interpolate(x, size=grid, mode='bilinear', align_corners=False)


def half(size: tuple[int, int]) -> tuple[int, int]:
    """Size of a map after one more stride 2, rounding up."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def pyramid_pool(maps: list[Tensor]) -> Tensor:
    """Average-pool every map to half the size of the last one and concatenate channels."""
    size = half(size_of(maps[-1]))
    return torch.cat([pool_to(x, size, 'avg') for x in maps], dim=1)
