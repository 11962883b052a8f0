# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""From memory readout and hidden state to a mask logit, and the sensory update of each frame."""

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.xmem.blocks import FeatureFusion
from vos_ros.models.xmem.blocks import gated_update
from vos_ros.models.xmem.blocks import GroupResBlock
from vos_ros.models.xmem.blocks import per_object
from vos_ros.models.xmem.blocks import regroup
from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.key_encoder import Features


class Upsample(nn.Module):
    """Twice the resolution: bilinear, plus a convolution of the image feature, plus a block."""

    def __init__(self, skip_dim: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_dim, inputs, 3, padding=1)
        self.out_conv = GroupResBlock(inputs, outputs)

    def forward(self, skip: Tensor, g: Tensor) -> Tensor:
        up = F.interpolate(g.flatten(0, 1), scale_factor=2.0, mode='bilinear',
                           align_corners=False)
        return self.out_conv(regroup(up, g) + self.skip_conv(skip).unsqueeze(1))


class HiddenUpdater(nn.Module):
    """The sensory update from the decoder's features at three scales (section 3.4)."""

    def __init__(self, dims: tuple[int, int, int], mid_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.g16_conv = nn.Conv2d(dims[0], mid_dim, 1)
        self.g8_conv = nn.Conv2d(dims[1], mid_dim, 1)
        self.g4_conv = nn.Conv2d(dims[2], mid_dim, 1)
        self.transform = nn.Conv2d(mid_dim + hidden_dim, hidden_dim * 3, 3, padding=1)
        nn.init.xavier_normal_(self.transform.weight)

    def forward(self, g16: Tensor, g8: Tensor, g4: Tensor, logits: Tensor,
                hidden: Tensor) -> Tensor:
        # Logits are one more channel of g4; joined after pooling, no copy of g4 is made.
        pooled = torch.cat([F.avg_pool2d(g.flatten(0, 1), 4) for g in (g4, logits)], 1)
        return self.from_pooled(g16, F.avg_pool2d(g8.flatten(0, 1), 2), pooled, hidden)

    def from_pooled(self, g16: Tensor, g8: Tensor, g4: Tensor, hidden: Tensor) -> Tensor:
        """Do the same from g8 and g4 with the logits, both flat and pooled to stride 16."""
        u = self.g16_conv(g16.flatten(0, 1)) + self.g8_conv(g8) + self.g4_conv(g4)
        values = per_object(self.transform, torch.cat([regroup(u, g16), hidden], 2))
        return gated_update(values, hidden)


class Decoder(nn.Module):
    """Image features, readout and hidden state to logits at stride 4 and a new hidden state."""

    def __init__(self, config: XMemConfig, channels: tuple[int, int, int]) -> None:
        super().__init__()
        f16_dim, f8_dim, f4_dim = channels
        fuse, up8, up4 = config.fuse_dim, config.up8_dim, config.up4_dim
        self.fuser = FeatureFusion(f16_dim, config.value_dim + config.hidden_dim, fuse)
        self.hidden_update = HiddenUpdater((fuse, up8, up4 + 1), config.update_dim,
                                           config.hidden_dim) if config.hidden_dim else None
        self.up_16_8 = Upsample(f8_dim, fuse, up8)
        self.up_8_4 = Upsample(f4_dim, up8, up4)
        self.pred = nn.Conv2d(up4, 1, 3, padding=1)

    def forward(self, features: Features, readout: Tensor, hidden: Tensor | None,
                update: bool = True) -> tuple[Tensor, Tensor | None]:
        """Return logits [batch, objects, h/4, w/4] and the new hidden state (None if not asked).

        readout: [batch, objects, C^v, h/16, w/16].  hidden: [batch, objects, C^h, h/16, w/16],
        None in a network without sensory memory.
        """
        g16 = self.fuse(features.f16, readout, hidden)
        g8 = self.up_16_8(features.f8, g16)
        g4 = self.up_8_4(features.f4, g8)
        logits = per_object(self.pred, F.relu(g4))
        new = None
        if update and self.hidden_update is not None and hidden is not None:
            new = self.hidden_update(g16, g8, g4, logits, hidden)
        return logits[:, :, 0], new

    def fuse(self, f16: Tensor, readout: Tensor, hidden: Tensor | None) -> Tensor:
        """Return g16 [batch, objects, fuse_dim, h/16, w/16]: all that is done at stride 16."""
        g = readout if hidden is None or self.hidden_update is None \
            else torch.cat([readout, hidden], 2)
        return self.fuser(f16, g)
