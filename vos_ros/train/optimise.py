# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Which weights of a MobileInst are trained, and how fast."""

import math

import torch
from torch import nn

from vos_ros.models.mobileinst.network import MobileInst
from vos_ros.train.mobileinst_config import ConfigError
from vos_ros.train.mobileinst_config import Freeze
from vos_ros.train.mobileinst_config import Optimiser

_LITE0 = 'efficientnet_lite0'
# What the ImageNet weights cover: the rest of the backbone starts from scratch.
_IMAGENET = ('backbone._conv_stem', 'backbone._bn0', 'backbone._blocks')


def pretrained_parts(model: MobileInst, weights: bool) -> tuple[str, ...]:
    """Return what the names of the pretrained modules begin with; () when none is.

    weights: whether the backbone starts from a file, as all but EfficientNet-Lite0 must to be
    pretrained: then all of it is but semantic injection, which classifiers lack.
    """
    if model.config.backbone == _LITE0:
        return _IMAGENET
    return tuple(f'backbone.{name}.' for name, _ in model.backbone.named_children()
                 if weights and name != 'SIM')


def freeze(model: MobileInst, pretrained: tuple[str, ...], rule: Freeze) -> None:
    """Take the gradients off what is to stay: of the pretrained parts, or all but what is named.

    ConfigError for a rule that has nothing to hold.
    """
    if rule.blocks >= 0 and model.config.backbone != _LITE0:
        raise ConfigError(f'freeze.blocks: {rule.blocks} is for {_LITE0} alone, not for '
                          f'{model.config.backbone}')
    if rule.depthwise and not pretrained:
        raise ConfigError(f'freeze.depthwise: {model.config.backbone} is not pretrained; '
                          'name its weights')
    if rule.only:
        for part in rule.only:
            if not any(name.startswith(part) for name, _ in model.named_parameters()):
                raise ConfigError(f'freeze.only: the network has no part {part}')
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(rule.only))
        return
    for name, module in model.named_modules():
        if not name.startswith(pretrained):
            continue
        block = int(name.split('.')[2]) if name.startswith('backbone._blocks.') else -1
        whole = rule.blocks >= 0 and block < rule.blocks
        if isinstance(module, nn.BatchNorm2d):
            stays = whole or rule.norms
        elif isinstance(module, nn.Conv2d):
            stays = whole or (rule.depthwise and module.groups > 1)
        else:
            continue
        for parameter in module.parameters():
            parameter.requires_grad_(not stays)


def train_mode(model: MobileInst, pretrained: tuple[str, ...], rule: Freeze) -> None:
    """Switch to training, the pretrained norms staying in evaluation where they are frozen."""
    model.train(not rule.only)
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d) and name.startswith(pretrained):
            block = int(name.split('.')[2]) if name.startswith('backbone._blocks.') else -1
            if rule.norms or (rule.blocks >= 0 and block < rule.blocks):
                module.eval()


def make_optimiser(modules: dict[str, nn.Module], pretrained: tuple[str, ...],
                   rule: Optimiser) -> torch.optim.AdamW:
    """Group the trained parameters: pretrained or not, decayed or not (norms, biases, queries).

    Each group carries `factor`, its share of the rate.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for prefix, module in modules.items():
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            slow = prefix == 'model' and name.startswith(pretrained)
            plain = parameter.ndim < 2 or name.endswith(('queries', 'query_position'))
            # Not by the settings' values, so that a run goes on with others in the same groups.
            groups.setdefault((slow, plain), []).append(parameter)
    return torch.optim.AdamW(
        [{'params': parameters, 'weight_decay': 0.0 if plain else rule.weight_decay,
          'factor': rule.backbone if slow else 1.0}
         for (slow, plain), parameters in groups.items()], lr=rule.rate, fused=True)


def set_rate(optimiser: torch.optim.Optimizer, rule: Optimiser, iteration: int,
             iterations: int) -> float:
    """Set the rate of an iteration: linear warm-up, then cosine to the floor; return it."""
    if iteration < rule.warmup:
        rate = (iteration + 1) / rule.warmup
    else:
        done = (iteration - rule.warmup) / max(1, iterations - rule.warmup)
        rate = rule.floor + (1 - rule.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    for group in optimiser.param_groups:
        group['lr'] = rule.rate * rate * group['factor']
    return rule.rate * rate
