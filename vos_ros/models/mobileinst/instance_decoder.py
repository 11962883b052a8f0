# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Dual transformer instance decoder (MobileInst section 3.2, figure 3).

Learnt object queries attend to the global map X_G (from X6) and then to the local map X_L (X_mask
max-pooled to 1/64). One feed-forward network follows, then the class, objectness and kernel heads.
"""

from functools import lru_cache
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.mobileinst.box_window import BoxWindow
from vos_ros.models.mobileinst.layers import pointwise
from vos_ros.models.mobileinst.layers import size_of
from vos_ros.models.mobileinst.layers import to_grid
from vos_ros.models.mobileinst.mask_decoder import ConvBNReLU
from vos_ros.models.mobileinst.query_tower import QueryTower

CLASS_PRIOR = 0.01


@lru_cache(maxsize=64)
def _sine_table(height: int, width: int, dim: int) -> np.ndarray:
    """Sine position embedding, float32 [height * width, dim]: first half y, second half x.

    Coordinates are normalised to (0, 2 pi], temperature 10000, sine and cosine interleaved.
    """
    half = dim // 2
    frequency = 10000.0 ** (2 * (np.arange(half) // 2) / half)
    parts = []
    for length in (height, width):
        angle = (np.arange(length) + 1) / length * 2 * math.pi
        angle = angle[:, None] / frequency
        parts.append(np.where(np.arange(half) % 2 == 0, np.sin(angle), np.cos(angle)))
    table = np.concatenate([
        np.broadcast_to(parts[0][:, None], (height, width, half)),
        np.broadcast_to(parts[1][None], (height, width, half))], axis=-1)
    return table.reshape(height * width, dim).astype(np.float32)


def sine_position(height: int, width: int, dim: int, like: Tensor) -> Tensor:
    """Sine position embedding [height * width, dim] as `like` is.

    While a graph is exported it is computed of the symbolic sides: see `size_of`.
    """
    if not torch.onnx.is_in_onnx_export():
        return torch.from_numpy(_sine_table(height, width, dim)).to(like)
    half = dim // 2
    exponent = 2 * (np.arange(half) // 2) / half
    frequency = torch.from_numpy((2 * math.pi / 10000.0 ** exponent).astype(np.float32))
    even = torch.from_numpy(np.arange(half) % 2 == 0)
    parts = []
    for length in (height, width):
        angle = ((torch.arange(length) + 1) / length)[:, None] * frequency
        parts.append(torch.where(even, angle.sin(), angle.cos()))
    table = torch.cat([parts[0][:, None].expand(height, width, half),
                       parts[1][None].expand(height, width, half)], -1)
    return table.reshape(height * width, dim)


@lru_cache(maxsize=64)
def _fourier_table(height: int, width: int, bands: int) -> np.ndarray:
    waves = []
    for axis, length in ((1, height), (2, width)):
        place = (np.arange(length) + 0.5) / length
        angle = np.pi * np.arange(1, bands + 1)[:, None] * place
        wave = np.concatenate([np.cos(angle), np.sin(angle)])
        wave = wave[:, :, None] if axis == 1 else wave[:, None, :]
        waves.append(np.broadcast_to(wave, (2 * bands, height, width)))
    return np.concatenate(waves)[None].astype(np.float32)


def fourier_position(height: int, width: int, bands: int, like: Tensor) -> Tensor:
    """Cos and sin of k pi y and k pi x, k = 1..bands: [1, 4 * bands, height, width].

    y and x are pixel centres in 0..1. Device and dtype of `like`.  While a graph is exported it is
    computed of the symbolic sides: see `size_of`.
    """
    if not torch.onnx.is_in_onnx_export():
        return torch.from_numpy(_fourier_table(height, width, bands)).to(like)
    frequency = torch.arange(1, bands + 1)[:, None] * math.pi
    waves = []
    for length, shape in ((height, (2 * bands, height, 1)), (width, (2 * bands, 1, width))):
        angle = frequency * ((torch.arange(length) + 0.5) / length)
        wave = torch.cat([angle.cos(), angle.sin()])
        waves.append(wave.reshape(shape).expand(2 * bands, height, width))
    return torch.cat(waves)[None]


class Attention(nn.Module):
    """Multi-head attention, batch first: query [B,N,D], key [B,M,D], value [B,M,D] -> [B,N,D]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        for layer in (self.query, self.key, self.value, self.out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def _split(self, x: Tensor) -> Tensor:
        batch, dim = int(x.shape[0]), int(x.shape[2])
        return x.reshape(batch, -1, self.heads, dim // self.heads).transpose(1, 2)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q = self._split(self.query(query))
        k = self._split(self.key(key))
        v = self._split(self.value(value))
        q = q * (q.shape[-1] ** -0.5)
        out = (q @ k.transpose(2, 3)).softmax(-1) @ v
        return self.out(out.transpose(1, 2).reshape(query.shape))


class DecoderStage(nn.Module):
    """Cross-attention to a map, then self-attention; pre-norm, no FFN, no dropout.

    queries [B,N,D], query_position [N,D], memory [B,C,h,w] -> [B,N,D].
    """

    def __init__(self, channels: int, dim: int, heads: int) -> None:
        super().__init__()
        self.project = pointwise(channels, dim)
        self.cross_norm = nn.LayerNorm(dim)
        self.cross = Attention(dim, heads)
        self.self_norm = nn.LayerNorm(dim)
        self.self_attention = Attention(dim, heads)

    def forward(self, queries: Tensor, query_position: Tensor, memory: Tensor) -> Tensor:
        h, w = size_of(memory)
        value = self.project(memory).flatten(2).transpose(1, 2)
        key = value + sine_position(h, w, int(value.shape[-1]), value)
        normed = self.cross_norm(queries)
        queries = queries + self.cross(normed + query_position, key, value)
        normed = self.self_norm(queries)
        placed = normed + query_position
        return queries + self.self_attention(placed, placed, normed)


class Instances(NamedTuple):
    """Heads of the decoder: logits [B,N,C], objectness [B,N] (logit), kernels [B,N,K].

    boxes: float32 [B,N,4] as `BoxWindow` gives them; None without.
    """

    logits: Tensor
    objectness: Tensor
    kernels: Tensor
    boxes: Tensor | None


class InstanceDecoder(nn.Module):
    """Global then local decoding of `num_queries` queries, and the heads.

    rows: 0 has learnt queries, as the paper.  Above 0 the queries lie on a grid of so many rows:
    each begins as what the local map holds at its place, so that all places learn alike from
    every object, and its position embedding is that of its place.
    bands: the last 4 * bands numbers of a kernel are the coefficients of a window over the Fourier
    waves of the position (see `fourier_position`), given relative to the query's place.
    boxes: each query says the box of its object too, and its kernel, which has a coefficient of
    the constant feature before the waves', is that box's window plus what the kernel head adds.
    tower: queries on a grid begin with what so many convolutions on X_L and X4 say, too.
    """

    query_position: Tensor
    turn: Tensor

    def __init__(self, global_channels: int, local_channels: int, num_classes: int,
                 num_queries: int, dim: int, heads: int, ffn_dim: int, kernel_dim: int,
                 rows: int = 0, bands: int = 0, boxes: bool = False, tower: int = 0,
                 x4_channels: int = 0) -> None:
        super().__init__()
        self.grid = (rows, num_queries // rows) if rows else None
        self.bands = bands
        if self.grid is None:
            self.queries = nn.Parameter(torch.randn(num_queries, dim))
            self.query_position = nn.Parameter(torch.randn(num_queries, dim))
        else:
            self.queries = nn.Parameter(torch.zeros(1, dim))
            self.register_buffer('query_position', grid_position(*self.grid, dim), False)
            self.near = ConvBNReLU(local_channels, local_channels, 3)
            self.content = nn.Conv2d(local_channels, dim, 3, 1, 1)
        self.tower: QueryTower | None = None
        if tower and self.grid is not None:
            self.tower = QueryTower(local_channels, x4_channels, dim, tower)
        self.global_stage = DecoderStage(global_channels, dim, heads)
        self.local_stage = DecoderStage(local_channels, dim, heads)
        self.ffn_norm = nn.LayerNorm(dim)
        self.ffn1 = nn.Linear(dim, ffn_dim)
        self.ffn2 = nn.Linear(ffn_dim, dim)
        self.out_norm = nn.LayerNorm(dim)
        self.class_head = nn.Linear(dim, num_classes)
        self.objectness_head = nn.Linear(dim, 1)
        self.kernel_head = nn.Linear(dim, kernel_dim)
        for layer in (self.ffn1, self.ffn2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.class_head.weight, std=0.01)
        nn.init.constant_(self.class_head.bias, -math.log((1 - CLASS_PRIOR) / CLASS_PRIOR))
        nn.init.normal_(self.objectness_head.weight, std=0.01)
        nn.init.zeros_(self.objectness_head.bias)
        nn.init.normal_(self.kernel_head.weight, std=0.01)
        nn.init.zeros_(self.kernel_head.bias)
        self.box: BoxWindow | None = None
        if bands and self.grid is not None:
            self.register_buffer('turn', grid_waves(*self.grid, bands), False)
        if boxes and self.grid is not None:
            self.box = BoxWindow(dim, self.grid, bands)
        elif bands:
            with torch.no_grad():
                # A bump at the query's place, about a sixth of the picture wide, to begin with.
                order = torch.arange(1, bands + 1) * math.pi * 0.12
                bump = 0.7 * (-0.5 * order.square()).exp()
                self.kernel_head.bias[-4 * bands:] = torch.cat([bump, 0 * bump] * 2)

    def decode_global(self, x_global: Tensor, x_local: Tensor | None = None,
                      x4: Tensor | None = None) -> Tensor:
        """Q_G [B,N,D]: the queries after attending to X_G [B,C,H/64,W/64].

        x_local: X_L as in `decode_local`; queries on a grid begin with it.  x4: [B,C4,H/16,W/16],
        read by a tower. Raises ValueError where one of them is needed and not given.
        """
        queries = self.queries.unsqueeze(0).expand(int(x_global.shape[0]), -1, -1)
        if self.grid is not None:
            if x_local is None:
                raise ValueError('queries on a grid need x_local')
            content = self.content(to_grid(self.near(x_local), self.grid))
            if self.tower is not None:
                if x4 is None:
                    raise ValueError('queries with a tower need x4')
                content = content + self.tower(x_local, x4, self.grid)
            queries = queries + content.flatten(2).transpose(1, 2)
        return self.global_stage(queries, self.query_position, x_global)

    def decode_local(self, queries: Tensor, x_local: Tensor) -> Instances:
        """Heads of queries [B,N,D] after attending to X_L [B,C,h,w].

        Query passing (section 3.3 of the paper) calls this with another frame's Q_G.
        """
        queries = self.local_stage(queries, self.query_position, x_local)
        queries = queries + self.ffn2(F.relu(self.ffn1(self.ffn_norm(queries))))
        queries = self.out_norm(queries)
        kernels = self._place(self.kernel_head(queries))
        boxes = None
        if self.box is not None:
            boxes = self.box(queries)
            window = self.box.window(boxes)
            look = int(kernels.shape[-1]) - int(window.shape[-1])
            kernels = torch.cat([kernels[..., :look], kernels[..., look:] + window], -1)
        return Instances(self.class_head(queries), self.objectness_head(queries).squeeze(-1),
                         kernels, boxes)

    def _place(self, kernels: Tensor) -> Tensor:
        """Shift the window of each kernel [B,N,D] from the origin to the query's place.

        cos k(y - q) and sin k(y - q) by cos ky and sin ky: the addition theorems.
        """
        if not self.bands:
            return kernels
        look, window = kernels[..., :-4 * self.bands], kernels[..., -4 * self.bands:]
        parts = [look]
        cosine_y, sine_y, cosine_x, sine_x = window.chunk(4, -1)
        for cosine, sine, turn in ((cosine_y, sine_y, self.turn[0]),
                                   (cosine_x, sine_x, self.turn[1])):
            c, s = turn[0].to(kernels), turn[1].to(kernels)
            parts += [cosine * c - sine * s, cosine * s + sine * c]
        return torch.cat(parts, -1)


def grid_position(rows: int, columns: int, dim: int) -> Tensor:
    """Sine position embedding float32 [rows * columns, dim] of the centres of a grid's cells."""
    # The table's last row and column lie on the far border; half a cell back centres the grid.
    fine = _sine_table(2 * rows, 2 * columns, dim).reshape(2 * rows, 2 * columns, dim)
    return torch.from_numpy(fine[::2, ::2].reshape(rows * columns, dim).copy())


def grid_waves(rows: int, columns: int, bands: int) -> Tensor:
    """Cos and sin of k pi times y and x of a grid's centres: float32 [2, 2, N, bands]."""
    y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns,
                       indexing='ij')
    angle = np.pi * np.arange(1, bands + 1) * np.stack([y.ravel(), x.ravel()])[..., None]
    return torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32))
