# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Run XMem over a training clip the way the tracker runs over a video, and give the loss."""

from dataclasses import dataclass
import math

import torch
from torch import nn
from torch import Tensor

from vos_ros.models.xmem.key_encoder import Features
from vos_ros.models.xmem.network import aggregate
from vos_ros.models.xmem.network import XMem
from vos_ros.train.xmem_loss import bootstrapped_cross_entropy
from vos_ros.train.xmem_loss import dice_loss
from vos_ros.train.xmem_loss import one_hot

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ClipPlan:
    """What is drawn at random for one pass, so that the network itself draws nothing.

    references: for each frame from 1 on, the memory frames that it reads.
    deep: for each frame, whether its encoding into memory does the deep sensory update.
    fraction: part of the pixels that the cross entropy keeps.
    """

    references: tuple[tuple[int, ...], ...]
    deep: tuple[bool, ...]
    fraction: float

    @staticmethod
    def draw(
        generator: torch.Generator, frames: int, num_references: int, deep_probability: float,
        fraction: float,
    ) -> 'ClipPlan':
        """Choose at most `num_references` memory frames: frame 0 and random earlier ones."""
        references = []
        for t in range(1, frames):
            others = list(range(1, t))
            if t > num_references:
                order = torch.randperm(len(others), generator=generator).tolist()
                others = sorted(others[i] for i in order[:num_references - 1])
            references.append((0, *others))
        draws = torch.rand(frames, generator=generator).tolist()
        # The first frame's encoding always starts the sensory memory, as in the tracker.
        deep = tuple(t == 0 or d < deep_probability for t, d in enumerate(draws))
        return ClipPlan(tuple(references), deep, fraction)


def read_memory(
    key: Tensor, shrinkage: Tensor, value: Tensor, query: Tensor, selection: Tensor
) -> Tensor:
    """Read by a full softmax over all memory elements (XMem equations 2 to 5; no top-k).

    key [B, C, N], shrinkage [B, 1, N], value [B, K, V, N], query and selection [B, C, h, w].
    Returns [B, K, V, h, w].
    """
    size = query.shape[-2:]
    # The three terms nearly cancel: half precision would leave little of the difference.
    with torch.autocast(query.device.type, enabled=False):
        q, e = query.flatten(2).float(), selection.flatten(2).float()
        k, s = key.float(), shrinkage.float()
        similarity = 2 * k.transpose(1, 2) @ (q * e) - k.square().transpose(1, 2) @ e \
            - (q.square() * e).sum(1, keepdim=True)
        similarity = similarity * s.transpose(1, 2) / math.sqrt(k.shape[1])
        affinity = similarity.softmax(1)
    readout = value.flatten(1, 2) @ affinity.to(value.dtype)
    return readout.unflatten(1, value.shape[1:3]).unflatten(-1, size)


class ClipTrainer(nn.Module):
    """The network and its loss on a batch of clips; the module that data parallelism wraps."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: XMem, dice_weight: float = 1.0) -> None:
        """Wrap an XMem network."""
        super().__init__()
        self.network = network
        self.dice_weight = dice_weight
        self.register_buffer('mean', torch.tensor(IMAGENET_MEAN).view(3, 1, 1) * 255, False)
        self.register_buffer('std', torch.tensor(IMAGENET_STD).view(3, 1, 1) * 255, False)

    def normalise(self, frames: Tensor) -> Tensor:
        """Take uint8 [..., H, W, 3] RGB to what the network sees, float32 [..., 3, H, W]."""
        return (frames.movedim(-1, -3).float() - self.mean) / self.std

    def forward(
        self, frames: Tensor, labels: Tensor, objects: int, plan: ClipPlan
    ) -> dict[str, Tensor]:
        """Give the loss summed over the frames after the first, and what it is made of.

        frames: uint8 [B, T, H, W, 3]; labels: uint8 [B, T, H, W], 0 = background; clips with
        fewer than `objects` objects leave the last channels empty.
        Returns scalars: loss, cross_entropy, dice and J, the mean region similarity.
        """
        network = self.network
        batch, length = frames.shape[:2]
        images = self.normalise(frames)
        masks = one_hot(labels, objects)
        present = masks[:, 0].flatten(2).any(-1)
        flat = images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        encoded = network.encode_key(flat)
        key, shrinkage, selection, f16, f8, f4 = (
            x.unflatten(0, (batch, length)) for x in (*encoded[:3], *encoded.features))
        hidden = network.new_hidden(images[:, 0], objects)
        values: list[Tensor] = []

        def remember(t: int, soft: Tensor, hidden: Tensor | None) -> Tensor | None:
            value = network.encode_value(images[:, t], f16[:, t], soft)
            values.append(value)
            return network.deep_update(value, hidden) if plan.deep[t] else hidden

        hidden = remember(0, masks[:, 0], hidden)
        entropy = dice = overlap = images.new_zeros(())
        for t in range(1, length):
            chosen = list(plan.references[t - 1])
            readout = read_memory(
                key[:, chosen].transpose(1, 2).flatten(2),
                shrinkage[:, chosen].transpose(1, 2).flatten(2),
                torch.stack([values[i] for i in chosen], 3).flatten(3),
                key[:, t], selection[:, t])
            last = t == length - 1
            # As in the tracker: a frame that does the deep update skips the decoder's one.
            update = not last and not plan.deep[t]
            logits, new = network.decode(
                Features(f16[:, t], f8[:, t], f4[:, t]), readout, hidden, update)
            hidden = new if update else hidden
            merged, soft = aggregate(torch.sigmoid(logits.float()) * present[:, :, None, None])
            soft = soft[:, 1:]
            entropy = entropy + bootstrapped_cross_entropy(
                merged, labels[:, t].long(), plan.fraction)
            dice = dice + dice_loss(soft, masks[:, t], present)
            overlap = overlap + _similarity(soft.detach(), masks[:, t], present)
            if not last:
                hidden = remember(t, soft, hidden)
        loss = entropy + self.dice_weight * dice
        return {'loss': loss, 'cross_entropy': entropy.detach(), 'dice': dice.detach(),
                'J': overlap / max(length - 1, 1)}


def _similarity(soft: Tensor, masks: Tensor, present: Tensor) -> Tensor:
    """Mean J of the objects present, each thresholded at one half."""
    own, true = (soft > 0.5).flatten(2), (masks > 0.5).flatten(2)
    union = (own | true).sum(-1)
    j = torch.where(union > 0, (own & true).sum(-1) / union.clamp(min=1), 1.0)
    return (j * present).sum() / present.sum().clamp(min=1)
