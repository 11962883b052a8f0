# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Blocks on features of several objects, [batch, objects, C, h, w] (XMem, appendix).

A convolution of a concatenation is a sum of convolutions: where image features meet object
features, the image's share is computed once and added to every object's.
"""

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F


def regroup(flat: Tensor, like: Tensor) -> Tensor:
    """[batch objects, C, h, w] to [batch, objects, C, h, w], with the first two sizes of `like`.

    reshape, because the export's tracer makes a constant of what unflatten is given.
    """
    return flat.reshape(like.shape[0], like.shape[1], flat.shape[1], flat.shape[2], flat.shape[3])


def per_object(function: nn.Module, g: Tensor) -> Tensor:
    """Apply a module for [n, C, h, w] to [batch, objects, C, h, w]."""
    return regroup(function(g.flatten(0, 1)), g)


class GroupResBlock(nn.Module):
    """y = conv2(relu(conv1(relu(g)))) + g, or + downsample(g) where the widths differ."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.downsample: nn.Module | None = None if inputs == outputs \
            else nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shares: nn.ModuleDict | None = None

    def forward(self, g: Tensor) -> Tensor:
        """[batch, objects, inputs, h, w] to [batch, objects, outputs, h, w]."""
        flat = g.flatten(0, 1)
        y = self.conv2(F.relu(self.conv1(F.relu(flat))))
        y = y + (flat if self.downsample is None else self.downsample(flat))
        return regroup(y, g)

    def joint(self, x: Tensor, g: Tensor) -> Tensor:
        """Give forward(concatenation of x and g), x [batch, Cx, h, w] being common to all objects.

        Channels of x come first, as in the official weights.
        """
        if self.downsample is None:
            count = g.shape[1]
            both = torch.cat([x.unsqueeze(1).expand(-1, count, -1, -1, -1), g], 2)
            return self.forward(both)
        first = self._joint('conv1', F.relu(x), F.relu(g))
        skip = self._joint('downsample', x, g)
        return per_object(self.conv2, F.relu(first)) + skip

    def _joint(self, name: str, x: Tensor, g: Tensor) -> Tensor:
        flat = g.flatten(0, 1)
        if self.shares is None:
            conv, split = getattr(self, name), x.shape[1]
            image = F.conv2d(x, conv.weight[:, :split], None, padding=1)
            own = F.conv2d(flat, conv.weight[:, split:], conv.bias, padding=1)
        else:
            image, own = self.shares[f'{name}_x'](x), self.shares[f'{name}_g'](flat)
        return regroup(own, g) + image.unsqueeze(1)

    def split(self, x_dim: int) -> None:
        """Cut the weights of `joint` in two once and for all; for export, `forward` is gone then.

        onnxruntime convolves with a sliced weight by a general kernel, 1.7 times slower than with
        a constant one.
        """
        if not isinstance(self.downsample, nn.Conv2d):
            return
        shares = {}
        for name, conv in (('conv1', self.conv1), ('downsample', self.downsample)):
            for share, rows in (('x', slice(None, x_dim)), ('g', slice(x_dim, None))):
                weight = conv.weight.detach()[:, rows].clone()
                part = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1,
                                 bias=share == 'g')
                part.weight = nn.Parameter(weight)
                if share == 'g':
                    part.bias = conv.bias
                shares[f'{name}_{share}'] = part
        self.shares = nn.ModuleDict(shares)
        del self.conv1
        self.downsample = nn.Identity()


class ChannelGate(nn.Module):
    """CBAM's channel attention: one MLP on the global average and on the global maximum."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, channels // reduction),
                                 nn.ReLU(), nn.Linear(channels // reduction, channels))

    def forward(self, x: Tensor) -> Tensor:
        gate = self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))
        return x * torch.sigmoid(gate)[:, :, None, None]


class _Convolution(nn.Module):
    """Holds a convolution under the name `conv`, as the official weights have it."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class SpatialGate(nn.Module):
    """CBAM's spatial attention: 7x7 over the maximum and the mean of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = _Convolution(2, 1, 7)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial(pooled))


class CBAM(nn.Module):
    """Channel attention, then spatial attention, each multiplied in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ChannelGate = ChannelGate(channels)
        self.SpatialGate = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return self.SpatialGate(self.ChannelGate(x))


class FeatureFusion(nn.Module):
    """Image features x [batch, Cx, h, w] into every object's g [batch, objects, Cg, h, w]."""

    def __init__(self, x_dim: int, g_dim: int, outputs: int) -> None:
        super().__init__()
        self.x_dim = x_dim
        self.block1 = GroupResBlock(x_dim + g_dim, outputs)
        self.attention = CBAM(outputs)
        self.block2 = GroupResBlock(outputs, outputs)

    def forward(self, x: Tensor, g: Tensor) -> Tensor:
        g = self.block1.joint(x, g)
        return self.block2(g + per_object(self.attention, g))


def gated_update(values: Tensor, hidden: Tensor) -> Tensor:
    """XMem's sensory update, h' = f h (1 - z) + z n (section 3.4).

    values: [batch, objects, 3 C^h, h, w], the pre-activations of f, z and n.  The new value n is
    not gated by f: this is not the textbook GRU.
    """
    dim = hidden.shape[2]
    forget = torch.sigmoid(values[:, :, :dim])
    update = torch.sigmoid(values[:, :, dim:2 * dim])
    new = torch.tanh(values[:, :, 2 * dim:])
    return forget * hidden * (1 - update) + update * new
