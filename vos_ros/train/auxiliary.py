# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A training-only head that teaches the mask features densely; it is not part of the network.

The matched queries alone give the features few gradients, and with few images and iterations
that is what limits the masks. Every pixel of the mask features is asked for its class and for
the way to its object's centre: the second is what tells two alike objects apart.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.train.losses import mean_count
from vos_ros.train.matching import Target

_UNKNOWN = 1 << 20      # more than there are classes


class DenseHead(nn.Module):
    """Class (background first) and offset to the centre, from mask features [B, D, h, w]."""

    def __init__(self, channels: int, num_classes: int) -> None:
        """Make a 1x1 convolution to num_classes + 1 + 2 channels."""
        super().__init__()
        self.num_classes = num_classes
        self.head = nn.Conv2d(channels, num_classes + 3, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        if self.head.bias is not None:
            nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
        """Return the scalar losses dense_class (cross entropy) and dense_offset (L1).

        Offsets are in units of half the map's height. Objects of unknown class (-1) are left
        out of the first loss.
        """
        out = self.head(features).float()
        classes, offsets, objects = zip(
            *(dense_target(t, (out.shape[2], out.shape[3])) for t in targets), strict=True)
        label = torch.stack(classes)
        logits = out[:, :self.num_classes + 1]
        # Background is most of the pixels; it weighs a third of an object's.
        weights = logits.new_ones(self.num_classes + 1)
        weights[0] = 1 / 3
        entropy = F.cross_entropy(logits, label.clamp(max=self.num_classes), weights,
                                  reduction='none')
        entropy = entropy * (label <= self.num_classes)
        wanted = torch.stack(offsets)
        inside = torch.stack(objects)[:, None]
        error = (out[:, -2:] - wanted).abs() * inside
        count = mean_count(inside.sum(), out.device)
        return {'dense_class': entropy.mean(), 'dense_offset': error.sum() / (2 * count)}


@torch.no_grad()
def dense_target(target: Target, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Paint an image's objects: class int64 [h, w], offset to the centre float32 [2, h, w], where.

    0 is background, class c is c + 1, unknown, as void is, a number past the classes. The last,
    bool [h, w], is where an object gives the offset. Where objects overlap, the smaller one is on
    top. target.masks float [n, H, W] in 0..1.
    """
    h, w = size
    device = target.masks.device
    label = torch.zeros(h, w, dtype=torch.int64, device=device)
    offset = torch.zeros(2, h, w, device=device)
    where = torch.zeros(h, w, dtype=torch.bool, device=device)
    if target.void is not None:
        void = F.interpolate(target.void[None, None], size=size, mode='area')[0, 0]
        label[void > 0.5] = _UNKNOWN
    if not len(target.masks):
        return label, offset, where
    masks = F.interpolate(target.masks[None], size=size, mode='area')[0]
    unit = h / 2
    ys = torch.arange(h, device=device, dtype=torch.float32)[:, None]
    xs = torch.arange(w, device=device, dtype=torch.float32)[None]
    areas = masks.sum((1, 2))
    middle_y = (masks * ys).sum((1, 2)) / areas.clamp(min=1e-3)
    middle_x = (masks * xs).sum((1, 2)) / areas.clamp(min=1e-3)
    for i in areas.argsort(descending=True).tolist():
        inside = masks[i] > 0.5
        known = int(target.labels[i])
        label[inside] = known + 1 if known >= 0 else _UNKNOWN
        offset[0] = torch.where(inside, (middle_y[i] - ys) / unit, offset[0])
        offset[1] = torch.where(inside, (middle_x[i] - xs) / unit, offset[1])
        where |= inside
    return label, offset, where
