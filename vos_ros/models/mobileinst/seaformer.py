# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""SeaFormer Tiny, Small and Base (Wan et al., ICLR 2023).

state_dict names and shapes are those of the released segmentation backbones, so their weights
load; `released.load_released` reads them. The released forward gives the 1/8 map and the two
transformer stages; MobileInst needs 1/16 as well, so the third stage is returned too.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.mobileinst.layers import Backbone
from vos_ros.models.mobileinst.layers import BlockStack
from vos_ros.models.mobileinst.layers import ConvBN
from vos_ros.models.mobileinst.layers import init_convolutions
from vos_ros.models.mobileinst.layers import InvertedResidual
from vos_ros.models.mobileinst.layers import size_of

STEM = 16
POSITIONS = 16
KEY_DIMS = (16, 24)
MLP_RATIOS = (2, 4)
RATIO = 2


@dataclass(frozen=True)
class SeaFormerSize:
    """One size: five `stages` of blocks (kernel, expansion, outputs, stride), 1/4 to 1/64; the
    last two are followed by `depth` transformer blocks of `heads` heads.
    """

    stages: tuple[tuple[tuple[int, int, int, int], ...], ...]
    depth: int
    heads: int


SIZES = {
    'tiny': SeaFormerSize((
        ((3, 1, 16, 1), (3, 4, 16, 2), (3, 3, 16, 1)), ((5, 3, 32, 2), (5, 3, 32, 1)),
        ((3, 3, 64, 2), (3, 3, 64, 1)), ((5, 3, 128, 2),), ((3, 6, 160, 2),)), 2, 4),
    'small': SeaFormerSize((
        ((3, 1, 16, 1), (3, 4, 24, 2), (3, 3, 24, 1)), ((5, 3, 48, 2), (5, 3, 48, 1)),
        ((3, 3, 96, 2), (3, 3, 96, 1)), ((5, 4, 160, 2),), ((3, 6, 192, 2),)), 3, 6),
    'base': SeaFormerSize((
        ((3, 1, 16, 1), (3, 4, 32, 2), (3, 3, 32, 1)), ((5, 3, 64, 2), (5, 3, 64, 1)),
        ((3, 3, 128, 2), (3, 3, 128, 1)), ((5, 4, 192, 2),), ((3, 6, 256, 2),)), 4, 8),
}


class MobileStage(nn.Module):
    """Inverted residuals, with the stem in front in the first stage."""

    def __init__(self, blocks: tuple[tuple[int, int, int, int], ...], inputs: int,
                 stem: bool) -> None:
        super().__init__()
        self.has_stem = stem
        if stem:
            self.stem_block = nn.Sequential(ConvBN(3, inputs, 3, 2), nn.ReLU())
        self.names = []
        for i, (kernel, expand, outputs, stride) in enumerate(blocks, start=1):
            self.names.append(f'layer{i}')
            self.add_module(self.names[-1],
                            InvertedResidual(inputs, outputs, kernel, stride, expand))
            inputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        if self.has_stem:
            x = self.stem_block(x)
        for name in self.names:
            x = getattr(self, name)(x)
        return x


class AxialPosition(nn.Module):
    """Learnt embedding of 16 places, linearly interpolated to the length of x [B,C,n]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.randn(1, width, POSITIONS))

    def forward(self, x: Tensor) -> Tensor:
        # [B, C, n] has the sides C and n; n stays symbolic in an exported graph.
        return x + F.interpolate(self.pos_embed, size=size_of(x)[1], mode='linear',
                                 align_corners=False)


class SqueezeAxialAttention(nn.Module):
    """Sea attention: attention among row means and among column means, gating a local branch.

    Scaled by key_dim ** -0.5 (unlike TopFormer's).
    """

    def __init__(self, width: int, key_dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = key_dim ** -0.5
        keys, values = key_dim * heads, RATIO * key_dim * heads
        self.to_q = ConvBN(width, keys)
        self.to_k = ConvBN(width, keys)
        self.to_v = ConvBN(width, values)
        self.proj = nn.Sequential(nn.ReLU6(), ConvBN(values, width, bn_weight=0.0))
        self.proj_encode_row = nn.Sequential(nn.ReLU6(), ConvBN(values, values, bn_weight=0.0))
        self.pos_emb_rowq = AxialPosition(keys)
        self.pos_emb_rowk = AxialPosition(keys)
        self.proj_encode_column = nn.Sequential(nn.ReLU6(), ConvBN(values, values, bn_weight=0.0))
        self.pos_emb_columnq = AxialPosition(keys)
        self.pos_emb_columnk = AxialPosition(keys)
        joined = 2 * keys + values
        self.dwconv = ConvBN(joined, joined, 3, groups=joined)
        self.pwconv = ConvBN(joined, width)

    def _along(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attention along one axis: q, k [B,keys,n], v [B,values,n] -> [B,values,n]."""
        batch, length = int(q.shape[0]), size_of(q)[1]
        heads = self.heads
        keys, values = int(q.shape[1]) // heads, int(v.shape[1]) // heads
        q = q.reshape(batch, heads, keys, length).transpose(2, 3)
        k = k.reshape(batch, heads, keys, length)
        v = v.reshape(batch, heads, values, length).transpose(2, 3)
        out = (q @ k * self.scale).softmax(-1) @ v
        return out.transpose(2, 3).reshape(batch, heads * values, length)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.to_q(x), self.to_k(x), self.to_v(x)
        detail = self.pwconv(F.relu6(self.dwconv(torch.cat([q, k, v], dim=1))))
        row = self._along(self.pos_emb_rowq(q.mean(-1)), self.pos_emb_rowk(k.mean(-1)), v.mean(-1))
        column = self._along(self.pos_emb_columnq(q.mean(-2)), self.pos_emb_columnk(k.mean(-2)),
                             v.mean(-2))
        gate = (v + self.proj_encode_row(row.unsqueeze(-1))
                + self.proj_encode_column(column.unsqueeze(-2)))
        return F.hardsigmoid(self.proj(gate)) * detail


class SeaFormer(Backbone):
    """Backbone: [B,3,H,W] normalised RGB to X3 (1/8), X4 (1/16), X5 (1/32), X6 (1/64).

    size: 'tiny', 'small' or 'base'. X3 and X4 are the second and third stage, X5 and X6 the two
    transformer stages.
    """

    def __init__(self, size: str = 'base', drop_path: float = 0.1) -> None:
        super().__init__()
        chosen = SIZES[size]
        inputs = STEM
        widths = []
        for i, blocks in enumerate(chosen.stages, start=1):
            self.add_module(f'smb{i}', MobileStage(blocks, inputs, stem=i == 1))
            inputs = blocks[-1][2]
            widths.append(inputs)
        for i, (width, key_dim, ratio) in enumerate(
                zip(widths[3:], KEY_DIMS, MLP_RATIOS, strict=True), start=1):
            self.add_module(f'trans{i}', BlockStack(
                chosen.depth, width,
                lambda w=width, k=key_dim: SqueezeAxialAttention(w, k, chosen.heads),  # type: ignore[misc]
                ratio, drop_path))
        self.out_channels = (widths[1], widths[2], widths[3], widths[4])
        init_convolutions(self)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        maps = []
        for names in (('smb1', 'smb2'), ('smb3',), ('smb4', 'trans1'), ('smb5', 'trans2')):
            for name in names:
                x = self.get_submodule(name)(x)
            maps.append(x)
        return maps[0], maps[1], maps[2], maps[3]
