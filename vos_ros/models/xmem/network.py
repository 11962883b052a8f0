# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The XMem network in PyTorch: for training, export and the torch runtime."""

from typing import NamedTuple

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.decoder import Decoder
from vos_ros.models.xmem.key_encoder import Features
from vos_ros.models.xmem.key_encoder import KeyProjection
from vos_ros.models.xmem.key_encoder import make_key_encoder
from vos_ros.models.xmem.value_encoder import ValueEncoder

_LEAST = 1e-7


class EncodedKey(NamedTuple):
    """key, selection: [batch, C^k, h, w]; shrinkage: [batch, 1, h, w]; all at stride 16."""

    key: Tensor
    shrinkage: Tensor
    selection: Tensor
    features: Features


def aggregate(masks: Tensor, dim: int = 1) -> tuple[Tensor, Tensor]:
    """Make independent object probabilities compete with the background and with each other.

    The background has the product of (1 - p); each share is its odds over the sum of all odds.
    Returns logits and probabilities with the background in front along `dim`.
    """
    background = (1 - masks).prod(dim, keepdim=True)
    p = torch.cat([background, masks], dim).clamp(_LEAST, 1 - _LEAST)
    logits = torch.log(p / (1 - p))
    return logits, torch.softmax(logits, dim)


def compete(masks: Tensor) -> Tensor:
    """Return only the probabilities of `aggregate` along the first dimension, for inference.

    The odds themselves are summed: their softmax would take the logarithm and undo it again.
    """
    background = (1 - masks).prod(0, keepdim=True)
    p = torch.cat([background, masks]).clamp(_LEAST, 1 - _LEAST)
    odds = p / (1 - p)
    return odds / odds.sum(0, keepdim=True)


def enlarged(logits: Tensor) -> Tensor:
    """Bring logits [batch, objects, h/4, w/4] to full size."""
    return F.interpolate(logits, scale_factor=4.0, mode='bilinear', align_corners=False)


class XMem(nn.Module):
    """Key encoder, key projection, value encoder and decoder; the memories live elsewhere."""

    def __init__(self, config: XMemConfig | None = None) -> None:
        super().__init__()
        self.config = config or XMemConfig()
        self.key_encoder = make_key_encoder(self.config)
        channels = self.key_encoder.channels
        self.value_encoder = ValueEncoder(self.config, channels[0])
        self.key_proj = KeyProjection(channels[0], self.config.key_dim)
        self.decoder = Decoder(self.config, channels)

    def encode_key(self, image: Tensor) -> EncodedKey:
        """Encode images, float32 [batch, 3, h, w], normalised, sides multiples of 16."""
        features = self.key_encoder(image)
        key, shrinkage, selection = self.key_proj(features.f16)
        return EncodedKey(key, shrinkage, selection, features)

    def encode_value(self, image: Tensor, f16: Tensor, masks: Tensor) -> Tensor:
        """Return values [batch, objects, C^v, h/16, w/16] for soft masks [batch, objects, h, w].

        The masks are probabilities after `aggregate`, without the background.
        """
        return self.value_encoder(image, f16, masks)

    def deep_update(self, value: Tensor, hidden: Tensor | None) -> Tensor | None:
        """Return the hidden state after a deep update, None without sensory memory."""
        reinforce = self.value_encoder.hidden_reinforce
        return None if reinforce is None or hidden is None else reinforce(value, hidden)

    def decode(self, features: Features, readout: Tensor, hidden: Tensor | None,
               update: bool = True) -> tuple[Tensor, Tensor | None]:
        """Return logits [batch, objects, h, w] at full size and the new hidden state."""
        logits, new = self.decoder(features, readout, hidden, update)
        return enlarged(logits), new

    def segment(self, features: Features, readout: Tensor, hidden: Tensor | None,
                update: bool = True, selector: Tensor | None = None,
                ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Return the new hidden state, logits and probabilities [batch, objects + 1, h, w].

        selector: [batch, objects, 1, 1], 0 for the padding objects of a training batch.
        """
        logits, new = self.decode(features, readout, hidden, update)
        masks = torch.sigmoid(logits)
        if selector is not None:
            masks = masks * selector
        return new, *aggregate(masks)

    def new_hidden(self, image: Tensor, objects: int) -> Tensor | None:
        """Return a zero hidden state for images [batch, 3, h, w], None without sensory memory."""
        if not self.config.hidden_dim:
            return None
        batch, _, h, w = image.shape
        return image.new_zeros(batch, objects, self.config.hidden_dim, h // 16, w // 16)

    def freeze_norms(self) -> None:
        """Put every batch norm in evaluation mode, as training keeps them throughout."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
