# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Starting point of XMem training: initial weights, what is trained, and how fast."""

from collections.abc import Iterable
from collections.abc import Mapping
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch import Tensor

from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.key_encoder import EfficientNetLite0Encoder
from vos_ros.models.xmem.network import XMem
from vos_ros.train.checkpoint import load_checkpoint
from vos_ros.train.xmem_clip import ClipTrainer
from vos_ros.train.xmem_loss import one_hot


def network_config(settings: Mapping[str, Any]) -> XMemConfig:
    """Read the network of a training configuration: `base` (lite or full) and changes to that.

    Raises ValueError naming an unknown entry.
    """
    changes = dict(settings)
    base = changes.pop('base', 'lite')
    if base not in ('lite', 'full'):
        raise ValueError(f'network.base is {base!r}, must be lite or full')
    start = XMemConfig.lite() if base == 'lite' else XMemConfig()
    return XMemConfig.from_dict({**start.to_dict(), **changes})


def build_network(settings: Mapping[str, Any], imagenet: str | bool = True) -> XMem:
    """Make the network of a training configuration (`network_config`) with its first weights.

    imagenet: True for the installed ImageNet weights, a path to a .pth file, or False for random
    ones.  Raises ValueError naming an unknown entry.
    """
    network = XMem(network_config(settings))
    for module in network.value_encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode='fan_in', nonlinearity='relu')
    if network.value_encoder.hidden_reinforce is not None:
        nn.init.xavier_normal_(network.value_encoder.hidden_reinforce.transform.weight)
    # Masks cover a small part of the picture: begin at 'probably not'.
    nn.init.constant_(network.decoder.pred.bias, -0.8)  # type: ignore[arg-type]
    encoder = network.key_encoder
    if imagenet:
        if not isinstance(encoder, EfficientNetLite0Encoder):
            if imagenet is True:
                raise ValueError('ImageNet weights ship for efficientnet_lite0 only: give a '
                                 'path, or imagenet: false')
            load_resnet(encoder, imagenet)
        else:
            encoder.load_imagenet(None if imagenet is True else imagenet)
    return network


def load_resnet(encoder: nn.Module, path: str | bool) -> None:
    """Fill a ResNet-50 key encoder with ImageNet weights under torchvision's names.

    ValueError names the file, and the tensors that it lacks or has in another shape.
    """
    file = Path(str(path)).expanduser()
    # XMem calls the first stage res2, as its authors count strides.
    state = {name.replace('layer1.', 'res2.', 1) if name.startswith('layer1.') else name: value
             for name, value in load_checkpoint(file).items()}
    own = encoder.state_dict()
    wrong = [name for name, value in own.items() if not name.endswith('num_batches_tracked')
             and (name not in state or state[name].shape != value.shape)]
    if wrong:
        raise ValueError(f'{file}: is no ImageNet ResNet-50: missing or of another shape: '
                         f'{", ".join(wrong[:5])}')
    encoder.load_state_dict({name: state.get(name, value) for name, value in own.items()})


@torch.no_grad()
def calibrate(trainer: ClipTrainer, batches: Iterable[tuple[Tensor, Tensor, int]]) -> None:
    """Bring a new network's activations to unit scale, from a few batches under true masks.

    EfficientNet-Lite0's features are linear outputs with a spread of about 7: the convolutions
    that read them are divided by the spread, so that keys are neither all alike nor all apart.
    The value encoder has no ImageNet weights, so the statistics of its norms are set here; like
    all norms they stay frozen afterwards.
    """
    network = trainer.network
    device = trainer.mean.device
    network.freeze_norms()
    norms = [m for m in network.value_encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None        # a plain average over the batches
        norm.train()
    for number, (frames, labels, objects) in enumerate(batches):
        image = trainer.normalise(frames[:, 0].to(device))
        features = network.key_encoder(image)
        if number == 0:
            _scale_readers(network, *(float(f.std()) for f in features))
        masks = one_hot(labels[:, 0].to(device), objects)
        network.encode_value(image, features.f16, masks)
    for norm in norms:
        norm.momentum = 0.1
    network.freeze_norms()


def _scale_readers(network: XMem, f16: float, f8: float, f4: float) -> None:
    """Divide the weights that read a key encoder feature by that feature's spread."""
    projection = network.key_proj
    for conv in (projection.key_proj, projection.e_proj):
        conv.weight.div_(f16)
    projection.d_proj.weight.div_(2 * f16)      # squared: stay near 1
    image = network.key_encoder.channels[0]
    for fuser in (network.value_encoder.fuser, network.decoder.fuser):
        for reader in (fuser.block1.conv1, fuser.block1.downsample):
            if reader is not None:
                reader.get_parameter('weight')[:, :image].div_(f16)
    network.decoder.up_16_8.skip_conv.weight.div_(f8)
    network.decoder.up_8_4.skip_conv.weight.div_(f4)


FREEZE_RULES = ('norms', 'depthwise', 'first_blocks')


def freeze(network: XMem, rules: Mapping[str, Any]) -> None:
    """Keep parts of the key encoder as they are.

    rules: `norms` (scale and shift of all norms), `depthwise` (depthwise filters: their gradient
    costs more on a CPU than all the rest), `first_blocks` (stem and so many blocks of
    EfficientNet-Lite0).
    """
    encoder = network.key_encoder
    norms = {f'{module}.{own}' for module, part in encoder.named_modules()
             if isinstance(part, nn.BatchNorm2d) for own in ('weight', 'bias')}
    for name, parameter in encoder.named_parameters():
        words = name.split('.')
        block = int(words[1]) if words[0] == '_blocks' else -1
        early = isinstance(encoder, EfficientNetLite0Encoder) and \
            block < int(rules.get('first_blocks', 0)) and 'first_blocks' in rules
        if early or (rules.get('depthwise') and '_depthwise_conv' in name) \
                or (rules.get('norms') and name in norms):
            parameter.requires_grad_(False)


def parameter_groups(
    network: XMem, lr: float, encoder_lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Group what is trained: the key encoder at its own rate, vectors without weight decay."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            encoder = name.startswith('key_encoder.')
            groups.setdefault((encoder, parameter.ndim > 1), []).append(parameter)
    return [{'params': members, 'base_lr': encoder_lr if encoder else lr,
             'lr': encoder_lr if encoder else lr, 'weight_decay': weight_decay if decay else 0.0}
            for (encoder, decay), members in sorted(groups.items())]


def rate(progress: float, warmup: float, floor: float) -> float:
    """Give the factor on the learning rate: linear warm-up, then half a cosine to the floor."""
    if progress < warmup:
        return max(progress / warmup, 1e-3)
    done = min((progress - warmup) / max(1 - warmup, 1e-9), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))
