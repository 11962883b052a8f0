# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The box that a query says its object has, and the window over the position that it opens.

A kernel's product with features alone must learn from examples where an object ends; with few
pictures it learns that badly, and four numbers that are told directly it learns well. The window
is the Fourier series of the box, so a mask stays one product of a kernel with a frame's features.
"""

import math

import torch
from torch import nn
from torch import Tensor

# What the constant feature is; a coefficient of the constant's size would drown the rest of the
# kernel in the cosine by which kernels are compared.
CONSTANT = 4.0
# Units of the head: a unit moves the centre by a quarter of the picture, and none is a half side
# of a tenth.
_REACH = 0.25
_HALF = 0.1
_HALVES = (0.008, 0.9)
# The window is a little larger than the box: the series rounds its edges.
_WIDER, _MARGIN = 1.1, 0.012
_DEPTH = 5.0            # logits by which the window pushes down what is outside, to begin with


class BoxWindow(nn.Module):
    """Boxes of queries [B,N,D] that lie on a grid, and their windows.

    bands: of the Fourier waves, as in `instance_decoder.fourier_position`.
    """

    place: Tensor
    order: Tensor
    taper: Tensor

    def __init__(self, dim: int, grid: tuple[int, int], bands: int) -> None:
        super().__init__()
        self.head = nn.Linear(dim, 4)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.depth = nn.Parameter(torch.tensor(_DEPTH))
        y = (torch.arange(grid[0]) + 0.5) / grid[0]
        x = (torch.arange(grid[1]) + 0.5) / grid[1]
        self.register_buffer('place', torch.cartesian_prod(y, x), False)
        order = torch.arange(1, bands + 1) * math.pi
        self.register_buffer('order', order, False)
        # Lanczos' factors: the series of a box without them rings.
        self.register_buffer('taper', torch.sinc(order / math.pi / (bands + 1)), False)

    def forward(self, queries: Tensor) -> Tensor:
        """Boxes float32 [B,N,4]: centre y and x, half height and width, in pictures."""
        with torch.autocast(queries.device.type, enabled=False):
            raw = self.head(queries.float())
            centre = self.place + _REACH * raw[..., :2]
            half = _HALF * raw[..., 2:].clamp(-4.0, 4.0).exp()
            return torch.cat([centre, half.clamp(*_HALVES)], -1)

    def window(self, boxes: Tensor) -> Tensor:
        """Coefficients float32 [B,N,1 + 4 bands] of the constant feature and of the waves.

        Their product is about 0 inside the box, -depth beside it and -2 depth off its corners.
        """
        parts, level = [], torch.zeros_like(boxes[..., :1])
        for axis in (0, 1):
            centre = boxes[..., axis:axis + 1]
            half = (_WIDER * boxes[..., axis + 2:axis + 3] + _MARGIN).clamp(max=0.95)
            wave = 2.0 * (self.order * half).sin() / self.order * self.taper
            # A box narrower than the finest wave would not reach 1 at its centre.
            peak = (half + wave.sum(-1, keepdim=True)).clamp(min=0.02)
            wave = self.depth * wave / peak
            level = level + self.depth * (half / peak - 1.0)
            angle = self.order * centre
            parts += [wave * angle.cos(), wave * angle.sin()]
        return torch.cat([level / CONSTANT, *parts], -1)
