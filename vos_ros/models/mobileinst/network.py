# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MobileInst: configuration and the whole network."""

from collections.abc import Callable
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import fields
from typing import Any
from typing import NamedTuple

import torch
from torch import nn
from torch import Tensor

from vos_ros.models.mobileinst.box_window import CONSTANT
from vos_ros.models.mobileinst.efficientnet_lite import EfficientNetLite0
from vos_ros.models.mobileinst.guide import Guide
from vos_ros.models.mobileinst.instance_decoder import fourier_position
from vos_ros.models.mobileinst.instance_decoder import InstanceDecoder
from vos_ros.models.mobileinst.layers import Backbone
from vos_ros.models.mobileinst.layers import half
from vos_ros.models.mobileinst.layers import pointwise
from vos_ros.models.mobileinst.layers import pool_to
from vos_ros.models.mobileinst.layers import size_of
from vos_ros.models.mobileinst.mask_decoder import MaskDecoder
from vos_ros.models.mobileinst.seaformer import SeaFormer
from vos_ros.models.mobileinst.topformer import TopFormer

BACKBONES: dict[str, Callable[['MobileInstConfig'], Backbone]] = {
    'efficientnet_lite0': lambda config: EfficientNetLite0(drop_path=config.drop_path),
    'topformer_tiny': lambda config: TopFormer('tiny', config.inject, config.drop_path),
    'topformer_small': lambda config: TopFormer('small', config.inject, config.drop_path),
    'topformer_base': lambda config: TopFormer('base', config.inject, config.drop_path),
    'seaformer_tiny': lambda config: SeaFormer('tiny', config.drop_path),
    'seaformer_small': lambda config: SeaFormer('small', config.drop_path),
    'seaformer_base': lambda config: SeaFormer('base', config.drop_path),
}


@dataclass(frozen=True)
class MobileInstConfig:
    """What a MobileInst is made of; `network:` of a model package is this as a mapping.

    backbone: a key of BACKBONES.  num_classes: C.  num_queries: N.  hidden_dim: width of the
    queries.  mask_dim: width of the mask decoder.  kernel_dim: D, length of a kernel and channels
    of the mask features.  ffn_dim: hidden width of the one FFN.  heads: attention heads.
    separable: depthwise-separable 3x3 convolutions in the mask decoder.  drop_path: stochastic
    depth of the backbone's transformer, training only.  position_bands: Fourier bands of the
    position added to X_mask; 0 adds none, as the paper draws it.  inject: TopFormer only, feed
    the mask decoder the SIM outputs rather than the raw tokens.  local_stride: of the local map
    X_L, 64 in the paper; at 16 the queries can tell apart what shares a cell of 64 pixels, for 40
    million more operations at 320 x 448.  query_rows: 0 has learnt queries, as the paper; above 0
    the queries lie on a grid of so many rows and num_queries / query_rows columns, begin as what
    the local map holds at their place, and learn from few pictures.  window_bands: Fourier bands
    of the position appended to the mask features (the last 4 * window_bands of kernel_dim), so
    that a kernel can say where its object lies; needs query_rows.  box_windows: each query says
    its object's box, which opens its window (see `box_window`); a constant feature comes before
    the waves, so kernel_dim counts one more; needs window_bands.  tower: so many convolutions at
    1/16, over X_L and X4, read what queries on a grid begin with; needs query_rows.  guide_dim:
    channels of the part that enlarges masks to 1/4 along edges (see `guide`); 0, the paper: none.

    Raises ValueError naming the field when a value cannot work.
    """

    backbone: str = 'efficientnet_lite0'
    num_classes: int = 80
    num_queries: int = 100
    hidden_dim: int = 256
    mask_dim: int = 128
    kernel_dim: int = 128
    ffn_dim: int = 512
    heads: int = 8
    separable: bool = False
    drop_path: float = 0.1
    position_bands: int = 8
    inject: bool = True
    local_stride: int = 64
    query_rows: int = 0
    window_bands: int = 0
    box_windows: bool = False
    tower: int = 0
    guide_dim: int = 0

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(f'backbone {self.backbone!r} is not one of {sorted(BACKBONES)}')
        for name in ('num_classes', 'num_queries', 'hidden_dim', 'mask_dim', 'kernel_dim',
                     'ffn_dim', 'heads'):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} must be a positive integer, got {value!r}')
        if self.hidden_dim % 4 or self.hidden_dim % self.heads:
            raise ValueError(f'hidden_dim {self.hidden_dim} must be a multiple of 4 (position '
                             f'embedding) and of heads {self.heads}')
        for name in ('separable', 'inject', 'box_windows'):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f'{name} must be true or false, got {getattr(self, name)!r}')
        for name in ('position_bands', 'window_bands', 'query_rows', 'tower'):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 64:
                raise ValueError(f'{name} must be an integer in 0..64, got {value!r}')
        if isinstance(self.guide_dim, bool) or not isinstance(self.guide_dim, int) \
                or self.guide_dim < 0 or self.guide_dim % 4:
            raise ValueError(f'guide_dim must be a multiple of 4, got {self.guide_dim!r}')
        if self.query_rows and self.num_queries % self.query_rows:
            raise ValueError(f'query_rows {self.query_rows} must divide num_queries '
                             f'{self.num_queries}')
        for name in ('window_bands', 'tower'):
            if getattr(self, name) and not self.query_rows:
                raise ValueError(f'{name} needs query_rows')
        if self.box_windows and not self.window_bands:
            raise ValueError('box_windows needs window_bands')
        if self.kernel_dim <= self.placed_dim:
            raise ValueError(f'kernel_dim {self.kernel_dim} must exceed 4 * window_bands '
                             f'{4 * self.window_bands}'
                             + (' and one for the constant' if self.box_windows else ''))
        if self.local_stride not in (8, 16, 32, 64):
            raise ValueError(f'local_stride must be 8, 16, 32 or 64, got {self.local_stride!r}')
        if not 0.0 <= self.drop_path < 1.0:
            raise ValueError(f'drop_path must be in [0, 1), got {self.drop_path!r}')

    @property
    def placed_dim(self) -> int:
        """Return how many of a kernel's numbers are about the position, not the look."""
        return 4 * self.window_bands + self.box_windows

    @classmethod
    def from_mapping(cls, mapping: dict[str, Any]) -> 'MobileInstConfig':
        """Read a mapping such as `network:` in model.yaml; ValueError names an unknown key."""
        unknown = sorted(set(mapping) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f'unknown network setting {unknown[0]!r}; known: '
                             f'{[field.name for field in fields(cls)]}')
        return cls(**mapping)

    def to_mapping(self) -> dict[str, Any]:
        """Return the plain mapping that `from_mapping` reads."""
        return asdict(self)


class Keyframe(NamedTuple):
    """What the backbone and the mask decoder make of a batch of frames.

    x_global: X_G [B,C6,H/64,W/64].  x_mask: X_mask [B,mask_dim,H/8,W/8].  features: mask features
    [B,D,H/8,W/8].  context: [B, 2 mask_dim, H/32, W/32], for the frames after it.
    x4: the backbone's [B,C4,H/16,W/16].  guide: [B,36,H/8,W/8], None in a network without.
    """

    x_global: Tensor
    x_mask: Tensor
    features: Tensor
    context: Tensor
    x4: Tensor
    guide: Tensor | None = None


class Followed(NamedTuple):
    """Of a frame between keyframes: mask features [B,D,H/8,W/8]; guide as of a keyframe."""

    features: Tensor
    guide: Tensor | None


class MobileInst(nn.Module):
    """Backbone, mask decoder and dual instance decoder (MobileInst figure 3).

    images float32 [B,3,H,W], RGB, ImageNet mean and standard deviation applied. Any size from 64
    pixels trains; export wants multiples of 64.
    """

    def __init__(self, config: MobileInstConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = BACKBONES[config.backbone](config)
        channels = self.backbone.out_channels
        self.mask_decoder = MaskDecoder(channels, config.mask_dim, config.separable)
        self.position: nn.Conv2d | None = None
        if config.position_bands:
            self.position = nn.Conv2d(4 * config.position_bands, config.mask_dim, 1, bias=False)
            nn.init.normal_(self.position.weight, std=0.02)
        self.mask_features = pointwise(
            config.mask_dim, config.kernel_dim - config.placed_dim)
        self.guide = Guide(config.mask_dim, config.guide_dim) if config.guide_dim else None
        self.instance_decoder = InstanceDecoder(
            channels[3], config.mask_dim, config.num_classes, config.num_queries,
            config.hidden_dim, config.heads, config.ffn_dim, config.kernel_dim,
            config.query_rows, config.window_bands, config.box_windows, config.tower,
            channels[1])

    def encode_keyframe(self, images: Tensor | tuple[Tensor, ...]) -> Keyframe:
        """Return what a keyframe and the frames after it need of the backbone and mask decoder.

        Instead of images it takes what `EfficientNetLite0.trunk` or `early` gave for them.
        Raises ValueError when `images` is not [B,3,H,W] or is under 64 pixels.
        """
        if isinstance(images, tuple):
            if not isinstance(self.backbone, EfficientNetLite0):
                raise ValueError(f'trunk maps are known for efficientnet_lite0 only, not for '
                                 f'{self.config.backbone}')
            after = self.backbone.late if len(images) == 3 else self.backbone.finish
            x3, x4, x5, x6 = after(*images)
        else:
            if images.ndim != 4 or int(images.shape[1]) != 3:
                raise ValueError(f'images must be [B, 3, H, W], got {tuple(images.shape)}')
            if min(size_of(images)) < 64:
                raise ValueError(f'images must be at least 64x64, got {size_of(images)}')
            x3, x4, x5, x6 = self.backbone(images)
        x_mask, context = self.mask_decoder(x3, x4, x5, x6)
        x_mask = self._placed(x_mask)
        return Keyframe(x6, x_mask, self._features(x_mask), context, x4,
                        self._guided(images, x_mask))

    def begin(self, frame: Keyframe) -> tuple[Tensor, Tensor]:
        """Q_G [B,N,hidden] and X_L [B,mask_dim,h,w], which `decode_local` takes."""
        x_local = pool_local(frame.x_mask, self.config.local_stride)
        return self.instance_decoder.decode_global(frame.x_global, x_local, frame.x4), x_local

    @property
    def caches_context(self) -> bool:
        """Return whether `encode_between` is possible: the backbone can stop at 1/16."""
        return isinstance(self.backbone, EfficientNetLite0)

    def encode_between(self, images: Tensor | tuple[Tensor, ...], context: Tensor) -> Followed:
        """Return what masks need of a frame that takes an earlier keyframe's context.

        The backbone stops at 1/16: what is deeper says what things are rather than where their
        edges lie, and changes slowly (as in Clockwork Convnets, Shelhamer et al. 2016).
        Raises ValueError for a backbone that cannot stop there.
        """
        if not isinstance(self.backbone, EfficientNetLite0):
            raise ValueError(f'{self.config.backbone} cannot run without its deep stages')
        x3, x4 = images[:2] if isinstance(images, tuple) else self.backbone.shallow(images)
        x_mask = self._placed(self.mask_decoder.between(x3, x4, context))
        return Followed(self._features(x_mask), self._guided(images, x_mask))

    def _guided(self, images: Tensor | tuple[Tensor, ...], x_mask: Tensor) -> Tensor | None:
        if self.guide is None:
            return None
        if isinstance(images, tuple):
            raise ValueError('a network with a guide needs the pictures, not the trunk maps')
        return self.guide(images, x_mask)

    def _features(self, x_mask: Tensor) -> Tensor:
        features = self.mask_features(x_mask)
        if not self.config.window_bands:
            return features
        waves = fourier_position(*size_of(x_mask), self.config.window_bands, features)
        if self.config.box_windows:
            waves = torch.cat([torch.full_like(waves[:, :1], CONSTANT), waves], 1)
        return torch.cat([features, waves.expand(int(features.shape[0]), -1, -1, -1)], 1)

    def _placed(self, x_mask: Tensor) -> Tensor:
        if self.position is None:
            return x_mask
        # Convolutional features hardly know where they are, so one kernel could not tell two
        # look-alike objects apart. Added before the pooling to X_L, so that the queries (whose
        # attention values carry no position embedding) can read it too and answer with it.
        waves = fourier_position(*size_of(x_mask), self.config.position_bands, x_mask)
        return x_mask + self.position(waves)

    def forward(self, images: Tensor | tuple[Tensor, ...],
                passed_queries: Tensor | None = None) -> dict[str, Tensor]:
        """Run a frame: images, or the trunk maps that `encode_keyframe` takes instead.

        passed_queries [B,N,hidden]: Q_G of another frame of the same video; it goes through the
        local decoder with this frame's X_L (query passing).

        Returns logits [B,N,C], objectness [B,N], kernels [B,N,D], mask_features [B,D,H/8,W/8],
        masks [B,N,H/8,W/8] (logits), global_queries [B,N,hidden], context, with box_windows
        boxes [B,N,4], with guide_dim guide [B,36,H/8,W/8], and with passed_queries also
        passed_kernels [B,N,D] and passed_masks [B,N,H/8,W/8].
        """
        frame = self.encode_keyframe(images)
        features = frame.features
        queries, x_local = self.begin(frame)
        instances = self.instance_decoder.decode_local(queries, x_local)
        out = {
            'logits': instances.logits,
            'objectness': instances.objectness,
            'kernels': instances.kernels,
            'mask_features': features,
            'masks': product(instances.kernels, features),
            'global_queries': queries,
            'context': frame.context,
        }
        if frame.guide is not None:
            out['guide'] = frame.guide
        if instances.boxes is not None:
            out['boxes'] = instances.boxes
        if passed_queries is not None:
            if passed_queries.shape != queries.shape:
                raise ValueError(f'passed_queries must be {tuple(queries.shape)}, '
                                 f'got {tuple(passed_queries.shape)}')
            passed = self.instance_decoder.decode_local(passed_queries, x_local)
            out['passed_kernels'] = passed.kernels
            out['passed_masks'] = product(passed.kernels, features)
        return out


def pool_local(x_mask: Tensor, stride: int = 64) -> Tensor:
    """X_L: X_mask max-pooled from 1/8 to 1/stride (max beats average by 0.4 AP in the paper)."""
    size = size_of(x_mask)
    while stride > 8:
        size, stride = half(size), stride // 2
    return pool_to(x_mask, size, 'max')


def product(kernels: Tensor, features: Tensor) -> Tensor:
    """Mask logits [B,N,h,w] = kernels [B,N,D] times features [B,D,h,w] (M = K X_mask)."""
    h, w = size_of(features)
    batch, dim = int(features.shape[0]), int(features.shape[1])
    return (kernels @ features.reshape(batch, dim, h * w)).reshape(batch, -1, h, w)


def build(config: MobileInstConfig | dict[str, Any], imagenet: bool = False) -> MobileInst:
    """Make a MobileInst; `imagenet` loads the backbone's ImageNet weights where we know them.

    Raises ValueError for a bad configuration or a backbone without known weights.
    """
    if isinstance(config, dict):
        config = MobileInstConfig.from_mapping(config)
    model = MobileInst(config)
    if imagenet:
        if not isinstance(model.backbone, EfficientNetLite0):
            raise ValueError(f'no ImageNet weights are known for {config.backbone}; load its '
                             'released weights into model.backbone instead')
        model.backbone.load_imagenet()
    return model
