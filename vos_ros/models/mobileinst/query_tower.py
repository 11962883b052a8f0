# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What queries on a grid begin with, read by convolutions as dense detectors have them."""

import torch
from torch import nn
from torch import Tensor

from vos_ros.models.mobileinst.layers import resize_to
from vos_ros.models.mobileinst.layers import size_of
from vos_ros.models.mobileinst.layers import to_grid
from vos_ros.models.mobileinst.mask_decoder import ConvBNReLU

WIDTH = 128


class QueryTower(nn.Module):
    """X_L [B,C,h,w] and the backbone's X4 [B,C4,H/16,W/16] to queries [B,dim,rows,columns].

    depth: 3x3 convolutions. It begins as zero, so it can be added to trained weights.
    """

    def __init__(self, local_channels: int, x4_channels: int, dim: int, depth: int) -> None:
        super().__init__()
        self.enter = ConvBNReLU(local_channels + x4_channels, WIDTH)
        self.stack = nn.ModuleList(ConvBNReLU(WIDTH, WIDTH, 3) for _ in range(depth))
        self.leave = nn.Conv2d(WIDTH, dim, 1)
        nn.init.zeros_(self.leave.weight)
        if self.leave.bias is not None:
            nn.init.zeros_(self.leave.bias)

    def forward(self, x_local: Tensor, x4: Tensor, grid: tuple[int, int]) -> Tensor:
        x = self.enter(torch.cat([x_local, resize_to(x4, size_of(x_local))], 1))
        for step in self.stack:
            x = x + step(x)
        return self.leave(to_grid(x, grid))
