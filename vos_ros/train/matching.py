# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which query answers for which object, and the masks of those that do beside their targets.

One query for each object by Hungarian matching (MobileInst section 3.4, in SparseInst's form); by
`one_to_many` several.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
import torch
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.mobileinst.guide import enlarge
from vos_ros.models.mobileinst.mask_decoder import upsample_masks

EPS = 1e-4              # keeps the dice of nothing with nothing finite


class Target(NamedTuple):
    """Objects of one image.

    labels: int64 [n], class indices, or -1 where the class is unknown: such an object is matched
        by its mask, trains mask and objectness, and leaves the class head alone.
    masks: bool, uint8 or float [n,H,W], 0..1, over the network's (padded) input.
    ids: int64 [n], identity over the video; needed by query passing only.
    void: as the masks, [H,W], where objects are that nobody labelled; None = nowhere. What a
        query shows there may be an object: unless it is matched, it is not taught to be none.
    """

    labels: Tensor
    masks: Tensor
    ids: Tensor | None = None
    void: Tensor | None = None


class Match(NamedTuple):
    """Queries and the objects they are matched with: int64 [k] each, same device as the masks."""

    queries: Tensor
    objects: Tensor


def resize_targets(target: Target, size: tuple[int, int]) -> Tensor:
    """Masks float32 [n, *size], bilinear (half-pixel centres)."""
    masks = target.masks.float()
    if not len(masks):
        return masks.new_zeros((0, *size))
    return F.interpolate(masks.unsqueeze(0), size=size, mode='bilinear',
                         align_corners=False).squeeze(0)


@torch.no_grad()
def match(logits: Tensor, masks: Tensor, targets: Sequence[Target],
          resized: Sequence[Tensor]) -> list[Match]:
    """One query for each object, maximising dice ** 0.8 * class probability ** 0.2.

    logits [B,N,C], masks [B,N,h,w] logits, resized: float [n,2h,2w] for each image. Dice is taken
    at the resolution of the masks (targets averaged 2x2), not at the loss's: that avoids
    up-sampling all N masks, of which only a few are matched. Objects without a pixel at the loss's
    size are not matched.
    """
    found = []
    for i, target in enumerate(targets):
        visible = resized[i].flatten(1).sum(1).gt(0).nonzero().squeeze(1)
        if not len(visible):
            found.append(Match(visible, visible))
            continue
        predicted = masks[i].float().sigmoid().flatten(1)
        truth = F.avg_pool2d(resized[i][visible], 2).flatten(1)
        dice = 2.0 * (predicted @ truth.T) / (
            predicted.square().sum(1)[:, None] + truth.square().sum(1) + EPS)
        probability = logits[i].sigmoid()
        labels = target.labels.to(logits.device)[visible]
        likely = probability[:, labels.clamp(min=0)]
        likely = torch.where(labels < 0, probability.amax(1, keepdim=True), likely)
        score = (dice.clamp(min=0.0) ** 0.8 * likely ** 0.2).cpu().numpy()
        if not np.isfinite(score).all():
            raise FloatingPointError('the network gave masks or logits that are not finite: '
                                     'training has diverged')
        queries, objects = linear_sum_assignment(score, maximize=True)
        device = masks.device
        found.append(Match(torch.as_tensor(queries, device=device),
                           visible[torch.as_tensor(objects, device=device)]))
    return found


def follow(matched: Match, before: Target, after: Target, resized: Tensor) -> Match:
    """Matches of frame t carried to frame t + d by identity; objects gone or unseen left out."""
    if before.ids is None or after.ids is None:
        raise ValueError('query passing needs the ids of every target')
    device = matched.queries.device
    ids = before.ids.to(device)[matched.objects]
    same = ids[:, None] == after.ids.to(device)[None]
    same = same & resized.flatten(1).sum(1).gt(0)[None]
    rows, columns = same.nonzero(as_tuple=True)
    return Match(matched.queries[rows], columns)


def gather(masks: Tensor, matches: Sequence[Match], resized: Sequence[Tensor],
           guide: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Matched mask logits, up-sampled 2x, and their targets: float32 [K, 4 h w] each.

    Only matched masks are up-sampled: K of B * N.  guide: [B,36,h,w], up-samples along edges;
    without, bilinear.
    """
    # One gather: of every single one the gradient would be as large as all masks.
    first = [i * masks.shape[1] + m.queries for i, m in enumerate(matches)]
    chosen = masks.flatten(0, 1)[torch.cat(first)].float()
    truth = torch.cat([resized[i][m.objects] for i, m in enumerate(matches)])
    return _upsampled(chosen, matches, guide).flatten(1), truth.flatten(1)


def _upsampled(masks: Tensor, matches: Sequence[Match], guide: Tensor | None) -> Tensor:
    """Mask logits [K, h, w] of all matches, image by image, to [K, 2 h, 2 w]."""
    if not len(masks):
        # keeps the graph whole, see `mask_losses`
        return masks if guide is None else masks + 0.0 * guide.sum()
    if guide is not None:
        counts = [len(m.queries) for m in matches]
        return torch.cat([enlarge(own, weights.float()) for own, weights in
                          zip(masks.split(counts), guide, strict=True) if len(own)])
    return upsample_masks(masks.unsqueeze(0)).squeeze(0)


def chosen_masks(kernels: Tensor, features: Tensor, matches: Sequence[Match],
                 truth: Sequence[Tensor], guide: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Masks of kernels [B,N,D] on features [B,D,h,w] for the pairs alone, and their targets.

    float32 [K, 4 h w] each, as `gather` gives them: for where the masks of all queries are not
    at hand, or their gradient, as large as they are, is not wanted.
    """
    rows = [kernels[i, m.queries].float() @ features[i].float().flatten(1)
            for i, m in enumerate(matches)]
    masks = torch.cat(rows).reshape(-1, *features.shape[2:])
    wanted = torch.cat([t[m.objects] for t, m in zip(truth, matches, strict=True)])
    return _upsampled(masks, matches, guide).flatten(1), wanted.flatten(1)
