# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Several queries for every object, for queries that lie on a grid: learns from few pictures.

One-to-one matching (`losses`, as the paper) trains a tenth of the queries in a step and teaches
the others, whose masks may be as good, to be background. Here every query that lies on an object
may answer for it (as in SOLO and CondInst) and every query's objectness is the IoU of its own
mask. What answers twice is left out after the network: see `tracking.sieve.distinct`.
"""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment
import torch
from torch import Tensor
from torch.nn import functional as F

from vos_ros.train.losses import check_targets
from vos_ros.train.losses import in_void
from vos_ros.train.losses import instance_count
from vos_ros.train.losses import LossWeights
from vos_ros.train.losses import mask_losses
from vos_ros.train.losses import mean_count
from vos_ros.train.losses import MobileInstLoss
from vos_ros.train.matching import chosen_masks
from vos_ros.train.matching import Match
from vos_ros.train.matching import resize_targets
from vos_ros.train.matching import Target

# Of the cells of an object, this share of the best answer for it, at most so many.
_SHARE = 0.4
_MOST = 6
_AROUND = 1.5           # times an object's box: what is near it
_SAME = 0.5             # from this IoU on a mask shows the object, wherever else it lies
_INSIDE = 0.5           # of the fullest cell's cover: from here on a cell is on the object


class OneToManyLoss(MobileInstLoss):
    """As MobileInstLoss, with `assign` in place of the one-to-one matching.

    The class is trained on queries that have an object alone: what has none, objectness says.
    Queries that show what lies in a target's void do not train it: there may be an object.
    """

    def __init__(self, grid: tuple[int, int], weights: LossWeights | None = None) -> None:
        """Take the rows and columns of the queries' grid."""
        super().__init__(weights)
        self.grid = grid

    def _frame(self, outputs: Mapping[str, Tensor],
               targets: Sequence[Target]) -> tuple[dict[str, Tensor], list[Match]]:
        logits, masks = outputs['logits'].float(), outputs['masks'].detach()
        check_targets(targets, logits)
        size = (2 * masks.shape[-2], 2 * masks.shape[-1])
        resized = [resize_targets(target, size) for target in targets]
        matches, expected = [], torch.zeros(logits.shape[:2], device=logits.device)
        judged = torch.ones_like(expected)
        for i, (truth, target) in enumerate(zip(resized, targets, strict=True)):
            found, expected[i] = assign(masks[i], truth, self.grid)
            matches.append(found)
            if target.void is not None:
                judged[i, in_void(masks[i], target.void) & (expected[i] < _SAME)] = 0
                judged[i, found.queries] = 1
        count = instance_count(matches, logits.device)
        chosen = torch.cat([logits[i, m.queries] for i, m in enumerate(matches)])
        labels = torch.cat([t.labels.to(logits.device)[m.objects]
                            for t, m in zip(targets, matches, strict=True)])
        known = labels >= 0
        wanted = F.one_hot(labels[known], logits.shape[-1]).float()
        losses = {'class': F.binary_cross_entropy_with_logits(
            chosen[known], wanted, reduction='sum') / mean_count(known.sum(), logits.device)}
        predicted, truth = chosen_masks(
            outputs['kernels'], outputs['mask_features'], matches, resized, outputs.get('guide'))
        losses['dice'], losses['pixel'] = mask_losses(predicted, truth, count)
        quality = quality_loss(outputs['objectness'].float(), expected) * judged
        losses['objectness'] = quality.sum() / count
        weights = self.weights
        losses['total'] = (
            weights.class_ * losses['class'] + weights.dice * losses['dice']
            + weights.pixel * losses['pixel'] + weights.objectness * losses['objectness'])
        if weights.near:
            losses['near'] = near_loss(predicted, truth, size) / count
            losses['total'] = losses['total'] + weights.near * losses['near']
        if 'boxes' in outputs:
            losses['box'] = box_loss(outputs['boxes'], matches, resized) / count
            losses['total'] = losses['total'] + weights.box * losses['box']
        return losses, matches


def near_loss(predicted: Tensor, truth: Tensor, size: tuple[int, int]) -> Tensor:
    """Sum over the masks of the mean BCE within a box half as large again as the object's.

    predicted: logits [K, H W]; truth: [K, H W] in 0..1; size: H, W. A mean over the picture hardly
    sees the outline of an object that fills a hundredth of it.
    """
    if not len(predicted):
        return predicted.sum() * 0.0
    boxes = mask_boxes(truth.reshape(-1, *size))
    inside = []
    for axis, length in enumerate(size):
        place = (torch.arange(length, device=truth.device) + 0.5) / length
        reach = _AROUND * boxes[:, axis + 2] + 1 / length
        inside.append((place - boxes[:, axis, None]).abs() <= reach[:, None])
    near = (inside[0][:, :, None] & inside[1][:, None]).flatten(1).float()
    entropy = F.binary_cross_entropy_with_logits(predicted, truth, reduction='none')
    return ((entropy * near).sum(1) / near.sum(1).clamp(min=1)).sum()


def box_loss(boxes: Tensor, matches: Sequence[Match], truth: Sequence[Tensor]) -> Tensor:
    """Sum over the pairs of 1 - generalised IoU, plus the L1 distance of centre and sides.

    boxes: float32 [B, N, 4], centre y, x and half the height and width in 0..1.  truth: masks
    [n, H, W] of each image. The terms are DETR's (Carion et al. 2020), in its proportion.
    """
    ours = torch.cat([boxes[i, m.queries] for i, m in enumerate(matches)])
    wanted = torch.cat([mask_boxes(t)[m.objects] for t, m in zip(truth, matches, strict=True)])
    distance = (ours - wanted).abs() * ours.new_tensor((1.0, 1.0, 2.0, 2.0))
    low, high = ours[:, :2] - ours[:, 2:], ours[:, :2] + ours[:, 2:]
    left, right = wanted[:, :2] - wanted[:, 2:], wanted[:, :2] + wanted[:, 2:]
    shared = (torch.minimum(high, right) - torch.maximum(low, left)).clamp(min=0).prod(1)
    hull = (torch.maximum(high, right) - torch.minimum(low, left)).prod(1)
    union = 4 * (ours[:, 2:].prod(1) + wanted[:, 2:].prod(1)) - shared
    overlap = shared / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)
    return (1 - overlap).sum() + 2.5 * distance.sum()


def mask_boxes(masks: Tensor) -> Tensor:
    """Boxes float32 [n, 4] of masks [n, H, W] (soft): centre y, x, half height and width in 0..1.

    A pixel counts from half of the mask's largest value on. An empty mask's box is the picture.
    """
    inside = masks > 0.5 * masks.amax((1, 2), keepdim=True)
    sides = []
    for axis in (2, 1):
        line = inside.any(axis).int()
        length = line.shape[1]
        first = line.argmax(1)
        past = length - line.flip(1).argmax(1)
        sides.append(((first + past) / (2 * length), (past - first) / (2 * length)))
    (y, height), (x, width) = sides
    return torch.stack([y, x, height, width], 1).float()


def quality_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross entropy to soft targets weighted by |error|: the many easy zeros do not drown it.

    The quality focal loss of Li et al. 2020 with exponent 1, no reduction.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction='none')
    return entropy * (logits.detach().sigmoid() - wanted).abs()


@torch.no_grad()
def assign(masks: Tensor, truth: Tensor, grid: tuple[int, int]) -> tuple[Match, Tensor]:
    """Choose the queries that answer for each object of an image, and say how good every mask is.

    masks: logits [N, h, w], N = rows * columns.  truth: float [n, 2h, 2w].

    An object's candidates are the queries whose cell it fills best (at least half as well as the
    best cell); the best of them by dice answer, one always, and a query answers for one object.
    Objects without a pixel have none. Returns the pairs, best query first for each object, and the
    IoU of each query's mask with the object nearest to it, float32 [N].
    """
    number = masks.shape[0]
    nothing = torch.zeros(number, device=masks.device)
    visible = truth.flatten(1).sum(1).gt(0).nonzero().squeeze(1)
    if not len(visible):
        return Match(visible, visible), nothing
    small = F.avg_pool2d(truth[visible], 2)
    cover = F.interpolate(small[None], size=grid, mode='area')[0].flatten(1)
    cover = cover / cover.amax(1, keepdim=True).clamp(min=1e-6)
    small = small.flatten(1)
    ours = masks.flatten(1).float()
    soft = ours.sigmoid()
    dice = 2 * (soft @ small.T) / (soft.square().sum(1)[:, None] + small.square().sum(1) + 1e-4)
    hard = (ours > 0).float()
    shared = hard @ small.T
    iou = shared / (hard.sum(1)[:, None] + small.sum(1) - shared + 1e-6)
    inside = (cover >= _INSIDE).T
    score = ((dice + 0.02) * cover.T * inside).cpu().numpy()
    if not np.isfinite(score).all():
        raise FloatingPointError('the network gave masks that are not finite: '
                                 'training has diverged')
    queries, objects = _choose(score)
    device = masks.device
    return (Match(torch.as_tensor(queries, device=device),
                  visible[torch.as_tensor(objects, device=device)]), iou.amax(1))


def _choose(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (query, object) of scores [N, n]: one each by the Hungarian method, then more."""
    first, owner = linear_sum_assignment(score, maximize=True)
    real = score[first, owner] > 0
    first, owner = first[real], owner[real]
    taken = np.full(len(score), -1)
    taken[first] = owner
    queries, objects = list(first), list(owner)
    # A query that two objects want belongs to the one that it covers better.
    mine = score.argmax(1)
    for j in owner:
        candidates = np.flatnonzero((score[:, j] > 0) & (mine == j) & (taken < 0))
        wanted = min(_MOST, max(1, round(_SHARE * int((score[:, j] > 0).sum())))) - 1
        best = candidates[np.argsort(-score[candidates, j], kind='stable')[:max(wanted, 0)]]
        queries += list(best)
        objects += [j] * len(best)
    return np.array(queries, np.int64), np.array(objects, np.int64)
