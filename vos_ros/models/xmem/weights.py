# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A published state_dict into a network: sizes read from shapes, every mismatch named."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.network import XMem

_SHOWN = 12


class WeightsError(Exception):
    """Weights that are not those of an XMem network; the message lists what is wrong."""


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a .pth file that holds nothing but named tensors; nothing in it is executed.

    Raises WeightsError when the file is absent, needs unpickling of anything else, or holds
    something other than a flat mapping of names to tensors.
    """
    try:
        state = torch.load(Path(path), map_location='cpu', weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f'{path}: no such file') from error
    except Exception as error:  # whatever its restricted unpickler stumbles over
        # The first sentence alone: torch goes on to advise to load it without restriction.
        reason = (str(error).splitlines() or [''])[0].split('. ')[0]
        raise WeightsError(f'{path}: not a file of plain tensors: '
                           f'{type(error).__name__} {reason}'.rstrip()) from error
    if not isinstance(state, Mapping) or not state:
        raise WeightsError(f'{path}: holds a {type(state).__name__}, not named tensors')
    odd = [str(k) for k, v in state.items() if not isinstance(v, Tensor)]
    if odd:
        raise WeightsError(f'{path}: these entries are no tensors: {_some(odd)}')
    return dict(state)


def config_of(state: Mapping[str, Tensor]) -> XMemConfig:
    """Return the official network's config with C^k, C^v and C^h read from the tensors' shapes.

    Raises WeightsError that names a tensor which must be there and is not.
    """
    def rows(name: str) -> int:
        if name not in state:
            raise WeightsError(f'no tensor {name}: not the weights of an XMem network')
        if not state[name].ndim:
            raise WeightsError(f'{name} has no dimensions')
        return int(state[name].shape[0])

    update = 'decoder.hidden_update.transform.weight'
    return XMemConfig(
        key_dim=rows('key_proj.key_proj.weight'),
        value_dim=rows('value_encoder.fuser.block2.conv2.weight'),
        hidden_dim=rows(update) // 3 if update in state else 0)


def load_weights(network: XMem, state: Mapping[str, Tensor], source: str = 'weights') -> None:
    """Fill a network; raises WeightsError listing missing, unexpected and wrong-shaped tensors.

    Weights of a single-object network have no input channel for the other objects' mask; it is
    appended as zeros, which ignores those masks.
    """
    state = dict(state)
    first = 'value_encoder.conv1.weight'
    own = network.state_dict()
    conv = state.get(first)
    if conv is not None and conv.ndim == 4 and own[first].shape[1] == 5 and conv.shape[1] == 4:
        state[first] = torch.cat([conv, conv.new_zeros(conv.shape[0], 1, *conv.shape[2:])], 1)
    faults = []
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    shapes = [f'{k} is {tuple(state[k].shape)}, must be {tuple(own[k].shape)}'
              for k in sorted(own.keys() & state.keys()) if state[k].shape != own[k].shape]
    bad = [k for k in sorted(own.keys() & state.keys())
           if state[k].is_floating_point() and not bool(torch.isfinite(state[k]).all())]
    for title, names in (('missing', missing), ('unexpected', unexpected),
                         ('wrong shape', shapes), ('not finite', bad)):
        if names:
            faults.append(f'{len(names)} {title}: {_some(names)}')
    if faults:
        raise WeightsError(f'{source}: ' + '; '.join(faults))
    network.load_state_dict(state)


def network_from(state: Mapping[str, Any], source: str = 'weights',
                 config: XMemConfig | None = None) -> XMem:
    """Return a network in evaluation mode filled with `state`; see config_of, load_weights."""
    try:
        network = XMem(config or config_of(state))
    except (WeightsError, ValueError) as error:
        raise WeightsError(f'{source}: {error}') from error
    load_weights(network, state, source)
    return network.eval()


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ', '.join(names[:_SHOWN]) + (f' and {more} more' if more > 0 else '')
