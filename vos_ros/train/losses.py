# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Losses of MobileInst (paper section 3.4; the exact forms are SparseInst's).

L = 2 focal class + 2 dice + `pixel` BCE + 1 IoU-aware objectness, one query for each object by
Hungarian matching; query passing adds mask losses only.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vos_ros.train.matching import chosen_masks
from vos_ros.train.matching import EPS
from vos_ros.train.matching import follow
from vos_ros.train.matching import gather
from vos_ros.train.matching import Match
from vos_ros.train.matching import match
from vos_ros.train.matching import resize_targets
from vos_ros.train.matching import Target

_PREDICTED = 0.4        # a pixel counts as predicted from this probability (objectness target)


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


def mask_losses(predicted: Tensor, truth: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Dice and BCE (its mean over the pixels) of logits [K,P] to [K,P]: sum over masks / count."""
    if not len(predicted):
        # keeps the graph whole: with several processes every parameter must get a gradient
        nothing = predicted.sum() * 0.0
        return nothing, nothing
    p = predicted.sigmoid()
    overlap = 2.0 * (p * truth).sum(1)
    dice = 1.0 - overlap / (p.square().sum(1) + truth.square().sum(1) + EPS)
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
