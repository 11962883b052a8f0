# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The ONNX graphs of an XMem package as modules, one image, any number of objects.

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
from vos_ros.models.xmem.network import enlarged
from vos_ros.models.xmem.network import XMem

Axes = Mapping[str, Mapping[int, str]]

_IMAGE = {2: 'height', 3: 'width'}
_MAPS = {'f16': {2: 'h16', 3: 'w16'}, 'f8': {2: 'h8', 3: 'w8'}, 'f4': {2: 'h4', 3: 'w4'}}
_HIDDEN = {0: 'objects', 2: 'h16', 3: 'w16'}
_ROWS = {0: 'objects', 1: 'h16', 2: 'w16'}


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
        logits, new = self.network.decode(Features(f16, f8, f4), as_maps(readout, f16)[None],
                                          None if hidden is None else hidden[None])
        probabilities = compete(torch.sigmoid(logits[0]))
        return (probabilities,) if new is None else (probabilities, new[0])


class FuseGraph(GraphModule):
    """The decoder's part at stride 16: f16, readout, hidden to g16 [n, h16, w16, C]."""

    outputs = ('g16',)
    dynamic = {'f16': _MAPS['f16'], 'readout': {0: 'objects', 1: 'cells'}, 'hidden': _HIDDEN,
               'g16': _ROWS}

    def __init__(self, network: XMem) -> None:
        super().__init__()
        self.network = network

    def forward(self, f16: Tensor, readout: Tensor,
                hidden: Tensor | None = None) -> tuple[Tensor, ...]:
        g16 = self.network.decoder.fuse(f16, as_maps(readout, f16)[None],
                                        None if hidden is None else hidden[None])
        return (g16[0].permute(0, 2, 3, 1),)


class FinishGraph(GraphModule):
    """What follows the decoder's logits [n, h4, w4]: probabilities [n + 1, H, W], new hidden.

    g16, pooled8, pooled4: [n, h16, w16, C], the latter two pooled to stride 16 and pooled4 with
    the logits as its last channel.
    """

    dynamic = {'logits': {0: 'objects', 1: 'h4', 2: 'w4'},
               'g16': _ROWS, 'pooled8': _ROWS, 'pooled4': _ROWS,
               'hidden': _HIDDEN, 'new_hidden': _HIDDEN,
               'probabilities': {0: 'channels', 1: 'height', 2: 'width'}}

    def __init__(self, network: XMem) -> None:
        super().__init__()
        self.network = network
        self.outputs = ('probabilities', 'new_hidden') if network.config.hidden_dim \
            else ('probabilities',)

    def forward(self, logits: Tensor, g16: Tensor | None = None, pooled8: Tensor | None = None,
                pooled4: Tensor | None = None,
                hidden: Tensor | None = None) -> tuple[Tensor, ...]:
        probabilities = compete(torch.sigmoid(enlarged(logits[None])[0]))
        update = self.network.decoder.hidden_update
        if update is None or g16 is None or pooled8 is None or pooled4 is None or hidden is None:
            return (probabilities,)
        a, b, c = (maps.permute(0, 3, 1, 2) for maps in (g16, pooled8, pooled4))
        return probabilities, update.from_pooled(a[None], b, c, hidden[None])[0]


def as_maps(readout: Tensor, f16: Tensor) -> Tensor:
    """[n, h w, C] to [n, C, h, w] of the grid of f16."""
    return readout.transpose(1, 2).reshape(-1, readout.shape[2], f16.shape[2], f16.shape[3])


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
