# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The three ONNX graphs of an XMem package as modules, one image, any number of objects.

Sizes are dynamic: both image sides in multiples of 16, and the number of objects.  Tokens leave
and enter as rows [h w, C], the form in which the memories keep them.
"""

from collections.abc import Mapping
import copy

import torch
from torch import nn
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vos_ros.models.mobileinst.efficientnet_lite import SameConv2d
from vos_ros.models.xmem.key_encoder import Features
from vos_ros.models.xmem.network import compete
from vos_ros.models.xmem.network import XMem

Axes = Mapping[str, Mapping[int, str]]

_IMAGE = {2: 'height', 3: 'width'}
_MAPS = {'f16': {2: 'h16', 3: 'w16'}, 'f8': {2: 'h8', 3: 'w8'}, 'f4': {2: 'h4', 3: 'w4'}}
_HIDDEN = {0: 'objects', 2: 'h16', 3: 'w16'}


def rows(maps: Tensor) -> Tensor:
    """[n, C, h, w] to [n, h w, C]."""
    return maps.flatten(2).transpose(1, 2)


class GraphModule(nn.Module):
    """A module with the names of its outputs and of its dynamic axes."""

    outputs: tuple[str, ...]
    dynamic: Axes


class KeyGraph(GraphModule):
    """image float32 [1, 3, H, W] to key, shrinkage, selection [h w, C] and the features."""

    outputs = ('key', 'shrinkage', 'selection', 'f16', 'f8', 'f4')
    dynamic = {'image': _IMAGE, 'key': {0: 'cells'}, 'shrinkage': {0: 'cells'},
                     'selection': {0: 'cells'}, **_MAPS}

    def __init__(self, network: XMem) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        encoded = self.network.encode_key(image)
        keys = (rows(maps).flatten(0, 1) for maps in encoded[:3])
        return (*keys, *encoded.features)


class ValueGraph(GraphModule):
    """image, f16, masks [n, H, W], hidden to values [n, h w, C^v] and the deep update's hidden."""

    dynamic = {'image': _IMAGE, 'f16': _MAPS['f16'],
                     'masks': {0: 'objects', 1: 'height', 2: 'width'}, 'hidden': _HIDDEN,
                     'value': {0: 'objects', 1: 'cells'}, 'new_hidden': _HIDDEN}

    def __init__(self, network: XMem) -> None:
        super().__init__()
        self.network = network
        self.outputs = ('value', 'new_hidden') if network.config.hidden_dim else ('value',)

    def forward(self, image: Tensor, f16: Tensor, masks: Tensor,
                hidden: Tensor | None = None) -> tuple[Tensor, ...]:
        value = self.network.encode_value(image, f16, masks[None])
        if hidden is None:
            return (rows(value[0]),)
        new = self.network.deep_update(value, hidden[None])
        return (rows(value[0]),) if new is None else (rows(value[0]), new[0])


class DecodeGraph(GraphModule):
    """Features, readout [n, h w, C^v], hidden to probabilities [n + 1, H, W] and new hidden."""

    dynamic = {**_MAPS, 'readout': {0: 'objects', 1: 'cells'}, 'hidden': _HIDDEN,
                     'probabilities': {0: 'channels', 1: 'height', 2: 'width'},
                     'new_hidden': _HIDDEN}

    def __init__(self, network: XMem) -> None:
        super().__init__()
        self.network = network
        self.outputs = ('probabilities', 'new_hidden') if network.config.hidden_dim \
            else ('probabilities',)

    def forward(self, f16: Tensor, f8: Tensor, f4: Tensor, readout: Tensor,
                hidden: Tensor | None = None) -> tuple[Tensor, ...]:
        maps = readout.transpose(1, 2).reshape(-1, readout.shape[2], f16.shape[2], f16.shape[3])
        logits, new = self.network.decode(Features(f16, f8, f4), maps[None],
                                          None if hidden is None else hidden[None])
        probabilities = compete(torch.sigmoid(logits[0]))
        return (probabilities,) if new is None else (probabilities, new[0])


def folded(network: XMem) -> XMem:
    """Return a copy for export: norms merged into convolutions, joint convolutions cut in two."""
    network = copy.deepcopy(network).eval()
    for module in list(network.modules()):
        last: tuple[str, nn.Conv2d] | None = None
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d):
                last = name, child
            elif isinstance(child, nn.BatchNorm2d) and last is not None:
                setattr(module, last[0], _fused(last[1], child))
                setattr(module, name, nn.Identity())
                last = None
    for fuser in (network.decoder.fuser, network.value_encoder.fuser):
        fuser.block1.split(fuser.x_dim)
    return network


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    if not isinstance(conv, SameConv2d):
        return fuse_conv_bn_eval(conv, norm)
    # Its padding depends on the input, so the class stays and only gains a bias.
    fused = copy.deepcopy(conv)
    plain = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.stride[0],
                      groups=conv.groups, bias=False)
    plain.weight = conv.weight
    plain = fuse_conv_bn_eval(plain.eval(), norm)
    fused.weight, fused.bias = plain.weight, plain.bias
    return fused
