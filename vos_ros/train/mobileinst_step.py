# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One training step's forward pass: a frame, or two with query passing, and all the losses."""

from typing import Any

import torch
from torch import nn
from torch import Tensor

from vos_ros.models.mobileinst import MobileInst
from vos_ros.train.auxiliary import DenseHead
from vos_ros.train.losses import instance_count
from vos_ros.train.losses import LossWeights
from vos_ros.train.losses import mask_losses
from vos_ros.train.losses import MobileInstLoss
from vos_ros.train.matching import gather
from vos_ros.train.matching import Match
from vos_ros.train.matching import match
from vos_ros.train.matching import resize_targets
from vos_ros.train.matching import Target
from vos_ros.train.mobileinst_config import TrainConfig
from vos_ros.train.mobileinst_data import Batch
from vos_ros.train.mobileinst_data import dequantise
from vos_ros.train.mobileinst_data import settings
from vos_ros.train.mobileinst_data import to_network
from vos_ros.train.one_to_many import OneToManyLoss


class Step(nn.Module):
    """Network, dense head and losses as one module, so that one forward call serves DDP too."""

    def __init__(self, model: MobileInst, dense: DenseHead | None, config: TrainConfig) -> None:
        """Take the parts; the loss weights come from the configuration."""
        super().__init__()
        self.model = model
        self.dense = dense
        self.weight = config.auxiliary
        self.repeats = config.mask_repeats
        weights = settings(LossWeights, 'loss', config.loss)
        grid = model.instance_decoder.grid
        self.criterion = OneToManyLoss(grid, weights) if config.assignment == 'many' and grid \
            else MobileInstLoss(weights)

    def forward(self, batch: Batch, passing: bool) -> dict[str, Tensor]:
        """Return all loss terms of a batch (of both frames, for clips) and their total."""
        device = self.model.mask_features.weight.device
        targets = [dequantise(t, device) for t in batch.targets]
        images = to_network(batch.images, device)
        if batch.later is None:
            return self._frame(self.model(images), targets)[0]
        after = [dequantise(t, device) for t in batch.later.targets]
        if passing:
            outputs = self.model(images)
            losses, matches = self._frame(outputs, targets)
            second = self.model(to_network(batch.later.images, device), outputs['global_queries'])
            more, _ = self._frame(second, after)
            losses = {key: 0.5 * (value + more[key]) for key, value in losses.items()}
        else:
            # Without query passing the second frame is simply one more image.
            both = self.model(_join(images, to_network(batch.later.images, device)))
            losses, matches = self._frame(both, targets + after)
            count = len(targets)
            outputs = {key: value[:count] for key, value in both.items()}
            second = {key: value[count:] for key, value in both.items()}
            matches = matches[:count]
        if passing:
            extra = self.criterion.passing(second, matches, targets, after)
            losses['total'] = losses['total'] + 0.5 * extra.pop('total')
            losses.update(extra)
        if self.criterion.weights.reused:
            extra = self._reused(batch.later, outputs, second, matches, targets, after)
            losses['total'] = losses['total'] + 0.5 * extra.pop('total')
            losses.update(extra)
        return losses

    def _reused(self, later: Batch, outputs: dict[str, Tensor], second: dict[str, Tensor],
                matches: list[Match], targets: list[Target],
                after: list[Target]) -> dict[str, Tensor]:
        """Kernel reuse, on the later frame's own features or on those with the first's context.

        Only of pairs that share an object; both ways run between keyframes, so each comes up.
        """
        device = outputs['context'].device
        rows = [i for i, (a, b) in enumerate(zip(targets, after, strict=True))
                if a.ids is not None and b.ids is not None
                and bool(torch.isin(a.ids, b.ids).any())]
        if not rows:
            instance_count([], device)      # which the other processes wait for
            return {'total': outputs['kernels'].sum() * 0.0}
        chosen = torch.tensor(rows, dtype=torch.long, device=device)
        features = second['mask_features'][chosen]
        guide = second['guide'][chosen] if 'guide' in second else None
        if self.model.caches_context and bool(torch.rand(()) < 0.5):
            images = to_network(later.images, device)
            images = tuple(m[chosen] for m in images) if isinstance(images, tuple) \
                else images[chosen]
            features, guide = self.model.encode_between(images, outputs['context'][chosen])
        return self.criterion.reuse(
            outputs['kernels'][chosen], features, [matches[i] for i in rows],
            [targets[i] for i in rows], [after[i] for i in rows], guide)

    def _frame(self, outputs: dict[str, Tensor], targets: list[Any]) -> Any:
        losses, matches = self.criterion(outputs, targets)
        if self.repeats > 1:
            more = self._repeated(outputs, targets)
            weights = self.criterion.weights
            losses.update(more)
            losses['total'] = losses['total'] + (
                weights.dice * more['repeated_dice'] + weights.pixel * more['repeated_pixel'])
        if self.dense is not None:
            dense = self.dense(outputs['mask_features'], targets)
            losses.update(dense)
            losses['total'] = losses['total'] + self.weight * (
                dense['dense_class'] + dense['dense_offset'])
        return losses, matches

    def _repeated(self, outputs: dict[str, Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Mask losses with several queries for every object.

        One-to-one matching trains the masks of about a tenth of the queries in a step; the others
        learn nothing. Class and objectness stay one-to-one: they choose among the masks.
        """
        masks = outputs['masks']
        many = [Target(t.labels.repeat(self.repeats), t.masks.repeat(self.repeats, 1, 1))
                for t in targets]
        size = (2 * masks.shape[-2], 2 * masks.shape[-1])
        resized = [resize_targets(t, size) for t in many]
        matches = match(outputs['logits'].float(), masks, many, resized)
        count = instance_count(matches, masks.device)
        dice, pixel = mask_losses(*gather(masks, matches, resized), count)
        return {'repeated_dice': dice, 'repeated_pixel': pixel}


def _join(first: Any, second: Any) -> Any:
    """Concatenate two batches of images, or of trunk maps."""
    if isinstance(first, tuple):
        return tuple(torch.cat(pair) for pair in zip(first, second, strict=True))
    return torch.cat([first, second])
