# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Masks at 1/8 to 1/4, along the edges of the picture.

Not in the paper, which enlarges by interpolation: a cell of 8 pixels is then as fine as a mask
gets. Here a pixel of 1/4 is a weighted mean of the nine cells around it, and the weights, the same
for all masks of a frame, are read from the picture and from X_mask (convex upsampling: RAFT, Teed
and Deng 2020, section 3.3). A mask stays a product of a kernel with a frame's features, since the
mean could as well be taken of those.
"""

from collections.abc import Sequence
import functools

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.mobileinst.layers import size_of
from vos_ros.runtime.guide import NEIGHBOURS

FACTOR = 2
_MOST = 8.0             # of a logit, either way: half precision holds the sum of nine exponentials
_LEAST = 1e-3           # weight of a cell that interpolation does not look at, to begin with


class Guide(nn.Module):
    """The weights [B, 36, h, w] of a frame: those of nine cells for each of four pixels.

    With the first weights it is bilinear interpolation, all but a thousandth.
    mask_dim: channels of X_mask.  dim: its own.
    """

    def __init__(self, mask_dim: int, dim: int) -> None:
        super().__init__()
        # Even filters: their middle is that of the pixels that they stand for.
        steps: list[nn.Module] = []
        inputs = 3
        for outputs in (dim // 4, dim // 2, dim):
            steps += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU()]
            inputs = outputs
        self.picture = nn.Sequential(*steps)
        self.semantic = nn.Conv2d(mask_dim, dim, 1)
        self.mix = nn.Conv2d(2 * dim, 2 * dim, 3, padding=1)
        self.weigh = nn.Conv2d(2 * dim, NEIGHBOURS * FACTOR ** 2, 1)
        nn.init.zeros_(self.weigh.weight)
        self.weigh.bias = nn.Parameter(bilinear().clamp(min=_LEAST).log().flatten())

    def forward(self, images: Tensor, x_mask: Tensor) -> Tensor:
        """images: [B, 3, 8 h, 8 w], normalised.  x_mask: [B, mask_dim, h, w]."""
        seen = torch.cat([self.picture(images), F.relu(self.semantic(x_mask))], 1)
        weights = self.weigh(F.relu(self.mix(seen)))
        # The softmax over the nine, by hand: onnxruntime's takes three times as long on this axis.
        powers = weights.clamp(-_MOST, _MOST).exp().split(FACTOR ** 2, 1)
        whole = _sum(powers)
        return torch.cat([power / whole for power in powers], 1)


def bilinear() -> Tensor:
    """Weights [9, 4] of the cells around a cell for its four pixels, by interpolation."""
    near, far = torch.tensor([0.75, 0.25]), torch.zeros(1)
    # Rows of a first and of a second pixel: the cell before, the cell itself, the cell after.
    first = torch.cat([near[1:], near[:1], far])
    second = torch.cat([far, near])
    lines = torch.stack([first, second])
    return torch.einsum('ra,cb->abrc', lines, lines).reshape(NEIGHBOURS, FACTOR ** 2)


def enlarge(masks: Tensor, guide: Tensor) -> Tensor:
    """Bring mask logits [n, h, w] to [n, 2 h, 2 w] by a frame's weights [36, h, w]."""
    h, w = size_of(masks)
    wide = F.pad(masks.unsqueeze(0), (1, 1, 1, 1), mode='replicate').squeeze(0)
    weights = guide.reshape(NEIGHBOURS, FACTOR ** 2, h, w)
    fine = _sum([wide[:, row:row + h, column:column + w].unsqueeze(1) * weights[3 * row + column]
                 for row in range(3) for column in range(3)])
    return F.pixel_shuffle(fine, FACTOR).squeeze(1)


def _sum(parts: Sequence[Tensor]) -> Tensor:
    """Add one by one: a sum over a stack of them takes onnxruntime four times as long."""
    return functools.reduce(torch.add, parts)
