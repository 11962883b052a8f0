# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""XMem's training loss: bootstrapped cross entropy plus dice (XMem section 4.2)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Bootstrap:
    """Which part of the pixels counts: all, then the hardest ones, a shrinking fraction.

    Plain cross entropy until `start` (a fraction of the run), then the fraction kept falls
    linearly from 1 to `least` at `end`.
    """

    start: float = 0.13
    end: float = 0.47
    least: float = 0.15

    def __post_init__(self) -> None:
        """Check; raises ValueError naming the range."""
        if not (0 <= self.start <= self.end and 0 < self.least <= 1):
            raise ValueError(f'start {self.start}, end {self.end}, least {self.least}: end not '
                             'before start, start at least 0, least above 0 and at most 1')

    def fraction(self, progress: float) -> float:
        """Give the fraction of pixels kept at this point of the run (0 = begin, 1 = end)."""
        if progress <= self.start:
            return 1.0
        done = min((progress - self.start) / max(self.end - self.start, 1e-9), 1.0)
        return 1.0 + (self.least - 1.0) * done


def one_hot(labels: Tensor, objects: int) -> Tensor:
    """Take label maps [..., H, W] (0 = background) to object masks [..., K, H, W], float32."""
    ids = torch.arange(1, objects + 1, device=labels.device, dtype=labels.dtype)
    return (labels.unsqueeze(-3) == ids.view(-1, 1, 1)).float()


def bootstrapped_cross_entropy(logits: Tensor, labels: Tensor, fraction: float) -> Tensor:
    """Average the cross entropy over the hardest fraction of each picture's pixels.

    logits: [B, K + 1, H, W] over background and objects. labels: int64 [B, H, W].
    """
    loss = F.cross_entropy(logits, labels, reduction='none').flatten(1)
    if fraction >= 1:
        return loss.mean()
    kept = max(1, int(loss.shape[1] * fraction))
    return loss.topk(kept, dim=1, sorted=False).values.mean()


def dice_loss(probabilities: Tensor, masks: Tensor, present: Tensor) -> Tensor:
    """Average 1 - dice, with smoothing 1, over the objects that are present.

    probabilities, masks: [B, K, H, W]. present: bool [B, K], False for padding channels.
    """
    p, m = probabilities.flatten(2), masks.flatten(2)
    ratio = (2 * (p * m).sum(-1) + 1) / (p.sum(-1) + m.sum(-1) + 1)
    weight = present.to(ratio.dtype)
    return ((1 - ratio) * weight).sum() / weight.sum().clamp(min=1)
