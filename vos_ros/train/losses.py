# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Matching and losses of MobileInst (paper section 3.4; the exact forms are SparseInst's).

L = 2 focal class + 2 dice + `pixel` BCE + 1 IoU-aware objectness, one query for each object by
Hungarian matching; query passing adds mask losses only.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
import torch
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.mobileinst.guide import enlarge

_EPS = 1e-4
_PREDICTED = 0.4        # a pixel counts as predicted from this probability (objectness target)


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


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms.

    class_, dice, objectness: the paper's 2, 2, 1.  pixel: of the BCE; the paper's text reads 2,
    the same group's released code uses 5.  near: of the BCE around each object alone (see
    `near_loss`), with several queries an object only.  background: pushes the objectness of
    unmatched queries to 0; 0 (the paper) trains it on matched queries only. Above 0 it becomes a
    class-agnostic detector by itself, which helps where classes are few or unsure.  passed: of
    the mask losses of query passing.  reused: of those of kernels multiplied with a later frame's
    features, which is what runs between keyframes; the paper does not train it.  box: of the
    boxes of a network that gives them.
    """

    class_: float = 2.0
    dice: float = 2.0
    pixel: float = 5.0
    near: float = 0.0
    objectness: float = 1.0
    background: float = 0.0
    passed: float = 1.0
    reused: float = 0.0
    box: float = 1.0

    def __post_init__(self) -> None:
        for name in ('class_', 'dice', 'pixel', 'near', 'objectness', 'background',
                     'passed', 'reused', 'box'):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and value >= 0):
                raise ValueError(f'loss weight {name} must be at least 0, got {value!r}')


class MobileInstLoss:
    """Loss of a frame, and of query passing.

    Every term is computed in float32 whatever autocast says: mask sums overflow in half precision.
    """

    def __init__(self, weights: LossWeights | None = None) -> None:
        self.weights = weights or LossWeights()

    def __call__(self, outputs: Mapping[str, Tensor],
                 targets: Sequence[Target]) -> tuple[dict[str, Tensor], list[Match]]:
        """Match and compute the loss of a batch.

        outputs: of MobileInst; logits [B,N,C], objectness [B,N], masks [B,N,h,w] are read.
        targets: B of them.

        Returns scalars class, dice, pixel, objectness, total (each but total unweighted), and
        the matches, which `passing` takes. Raises ValueError for targets that do not fit the
        outputs and FloatingPointError when the outputs are not finite.
        """
        with torch.autocast(outputs['logits'].device.type, enabled=False):
            return self._frame(outputs, targets)

    def _frame(self, outputs: Mapping[str, Tensor],
               targets: Sequence[Target]) -> tuple[dict[str, Tensor], list[Match]]:
        logits, masks = outputs['logits'].float(), outputs['masks']
        check_targets(targets, logits)
        size = (2 * masks.shape[-2], 2 * masks.shape[-1])
        resized = [resize_targets(target, size) for target in targets]
        matches = match(logits, masks, targets, resized)
        count = instance_count(matches, logits.device)

        judged = logits.new_ones(logits.shape[:2])
        known = judged.clone()
        wanted = torch.zeros_like(logits)
        matched = logits.new_zeros(logits.shape[:2])
        for i, (queries, objects) in enumerate(matches):
            labels = targets[i].labels.to(logits.device)[objects]
            matched[i, queries] = 1.0
            void = targets[i].void
            if void is not None:
                judged[i, in_void(masks[i], void)] = 0.0
                judged[i, queries] = 1.0
            known[i] = judged[i]
            known[i, queries[labels < 0]] = 0.0
            wanted[i, queries[labels >= 0], labels[labels >= 0]] = 1.0
        focal = focal_loss(logits, wanted) * known.unsqueeze(-1)

        predicted, truth = gather(masks, matches, resized, outputs.get('guide'))
        objectness = outputs['objectness'].float()
        losses = {'class': focal.sum() / count}
        losses['dice'], losses['pixel'] = mask_losses(predicted, truth, count)
        losses['objectness'] = self._objectness(
            objectness, matches, predicted, truth, count)
        weights = self.weights
        total = (weights.class_ * losses['class'] + weights.dice * losses['dice']
                 + weights.pixel * losses['pixel'] + weights.objectness * losses['objectness'])
        if weights.background:
            background = focal_loss(objectness, torch.zeros_like(objectness), alpha=None)
            unmatched = judged * (1.0 - matched)
            losses['background'] = (background * unmatched).sum() / count
            total = total + weights.background * losses['background']
        losses['total'] = total
        return losses, matches

    def passing(self, outputs: Mapping[str, Tensor], matches: Sequence[Match],
                before: Sequence[Target], after: Sequence[Target]) -> dict[str, Tensor]:
        """Mask losses of passed queries (section 3.3 of the paper: temporal training).

        outputs: of frame t + d, with passed_masks [B,N,h,w].  matches: of frame t, from
        `__call__`.  before, after: targets of frames t and t + d, with ids.

        A passed query follows its own object: its target is the mask at t + d of the object it
        was matched with at t, found by id. Objects that are gone at t + d are left out.

        Returns scalars passed_dice, passed_pixel and total.
        """
        moved, resized = self._followed(outputs['passed_masks'].shape, matches, before, after)
        with torch.autocast(outputs['passed_masks'].device.type, enabled=False):
            count = instance_count(moved, outputs['passed_masks'].device)
            dice, pixel = mask_losses(
                *gather(outputs['passed_masks'], moved, resized, outputs.get('guide')), count)
        weights = self.weights
        total = weights.passed * (weights.dice * dice + weights.pixel * pixel)
        return {'passed_dice': dice, 'passed_pixel': pixel, 'total': total}

    def reuse(self, kernels: Tensor, features: Tensor, matches: Sequence[Match],
              before: Sequence[Target], after: Sequence[Target],
              guide: Tensor | None = None) -> dict[str, Tensor]:
        """Mask losses of frame t's kernels [B,N,D] on the features [B,D,h,w] of frame t + d.

        guide: [B,36,h,w] of that frame. Everything else as in `passing`. Returns scalars
        reused_dice, reused_pixel and total.
        """
        moved, resized = self._followed(features.shape, matches, before, after)
        with torch.autocast(features.device.type, enabled=False):
            count = instance_count(moved, features.device)
            dice, pixel = mask_losses(
                *chosen_masks(kernels, features, moved, resized, guide), count)
        weights = self.weights
        total = weights.reused * (weights.dice * dice + weights.pixel * pixel)
        return {'reused_dice': dice, 'reused_pixel': pixel, 'total': total}

    @staticmethod
    def _followed(shape: Sequence[int], matches: Sequence[Match], before: Sequence[Target],
                  after: Sequence[Target]) -> tuple[list[Match], list[Tensor]]:
        size = (2 * shape[-2], 2 * shape[-1])
        resized = [resize_targets(target, size) for target in after]
        return [follow(m, b, a, r) for m, b, a, r in
                zip(matches, before, after, resized, strict=True)], resized

    @staticmethod
    def _objectness(objectness: Tensor, matches: Sequence[Match], predicted: Tensor,
                    truth: Tensor, count: Tensor) -> Tensor:
        """BCE of the matched queries' objectness to the IoU of their masks, sum / count."""
        chosen = torch.cat([objectness[i, m.queries] for i, m in enumerate(matches)])
        if not len(chosen):
            return objectness.sum() * 0.0
        with torch.no_grad():
            ours = predicted.sigmoid() >= _PREDICTED
            theirs = truth > 0.5
            overlap = (ours & theirs).sum(-1).float()
            iou = overlap / ((ours | theirs).sum(-1).float() + 1e-6)
        return F.binary_cross_entropy_with_logits(chosen, iou, reduction='sum') / count


def check_targets(targets: Sequence[Target], logits: Tensor) -> None:
    """Raise ValueError naming the image whose target does not fit logits [B,N,C]."""
    if len(targets) != logits.shape[0]:
        raise ValueError(f'{len(targets)} targets for a batch of {logits.shape[0]}')
    for i, target in enumerate(targets):
        if target.masks.ndim != 3 or target.labels.shape != target.masks.shape[:1]:
            raise ValueError(f'target {i}: labels {tuple(target.labels.shape)} and masks '
                             f'{tuple(target.masks.shape)} must be [n] and [n, H, W]')
        if len(target.labels) and int(target.labels.max()) >= logits.shape[-1]:
            raise ValueError(f'target {i}: label {int(target.labels.max())} but the network has '
                             f'{logits.shape[-1]} classes')


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
            predicted.square().sum(1)[:, None] + truth.square().sum(1) + _EPS)
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
    return F.interpolate(masks.unsqueeze(0), scale_factor=2.0, mode='bilinear',
                         align_corners=False).squeeze(0)


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


def mask_losses(predicted: Tensor, truth: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Dice and BCE (its mean over the pixels) of logits [K,P] to [K,P]: sum over masks / count."""
    if not len(predicted):
        # keeps the graph whole: with several processes every parameter must get a gradient
        nothing = predicted.sum() * 0.0
        return nothing, nothing
    p = predicted.sigmoid()
    overlap = 2.0 * (p * truth).sum(1)
    dice = 1.0 - overlap / (p.square().sum(1) + truth.square().sum(1) + _EPS)
    pixel = F.binary_cross_entropy_with_logits(predicted, truth, reduction='sum')
    return dice.sum() / count, pixel / (count * predicted.shape[1])


def focal_loss(logits: Tensor, wanted: Tensor, alpha: float | None = 0.25,
               gamma: float = 2.0) -> Tensor:
    """Sigmoid focal loss, no reduction; `alpha` weighs positives, 1 - alpha negatives."""
    p = logits.sigmoid()
    loss = F.binary_cross_entropy_with_logits(logits, wanted, reduction='none')
    loss = loss * (p * (1.0 - wanted) + (1.0 - p) * wanted) ** gamma
    if alpha is None:
        return loss
    return loss * (alpha * wanted + (1.0 - alpha) * (1.0 - wanted))


@torch.no_grad()
def in_void(masks: Tensor, void: Tensor) -> Tensor:
    """Tell which masks (logits [N, h, w]) lie by more than half in void [H, W], 0..1; bool [N]."""
    small = F.interpolate(void.to(masks.device).float()[None, None], size=masks.shape[-2:],
                          mode='area').flatten()
    hard = (masks.flatten(1) > 0).float()
    return hard @ small > 0.5 * hard.sum(1)


def instance_count(matches: Sequence[Match], device: torch.device) -> Tensor:
    """Matched objects, as `mean_count` of them."""
    return mean_count(sum(len(m.queries) for m in matches), device)


def mean_count(count: int | Tensor, device: torch.device) -> Tensor:
    """Mean of a number over the processes of a distributed run, at least 1.

    What is divided by it weighs alike whichever process has it. All processes must ask alike.
    """
    count = torch.as_tensor(count, dtype=torch.float32, device=device)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(count)
        count = count / torch.distributed.get_world_size()
    return count.clamp(min=1.0)
