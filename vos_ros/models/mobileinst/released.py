# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reading the weights that TopFormer's and SeaFormer's authors released."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
import torch
from torch import nn
from torch import Tensor

_WRAPPERS = ('state_dict_ema', 'state_dict', 'model')
_PREFIXES = ('module.', 'backbone.')
# Classification checkpoints have no semantic injection: it is trained with the task.
_MAY_LACK = ('SIM.',)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a .pth or .safetensors file, unwrapped, prefixes of wrappers removed.

    Nothing is unpickled but tensors (weights_only). Raises ValueError when the file holds none.
    """
    path = Path(path)
    content: Any
    if path.suffix == '.safetensors':
        content = load_file(str(path))
    else:
        content = torch.load(path, map_location='cpu', weights_only=True)
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    state = {}
    for name, tensor in content.items() if isinstance(content, dict) else ():
        if isinstance(tensor, Tensor):
            for prefix in _PREFIXES:
                name = name.removeprefix(prefix)
            state[name] = tensor
    if not state:
        raise ValueError(f'{path}: holds no tensors')
    return state


def load_released(backbone: nn.Module, path: str | Path) -> list[str]:
    """Load released weights into a TopFormer or SeaFormer; return the tensors left as they were.

    Classifiers and segmentation heads in the file are passed over. Only semantic injection may be
    missing from it; anything else missing or of another shape raises ValueError by name.
    """
    state = read_state(path)
    left = []
    for name, tensor in backbone.state_dict().items():
        if name.endswith('num_batches_tracked'):
            continue
        if name not in state:
            if name.startswith(_MAY_LACK):
                left.append(name)
                continue
            raise ValueError(f'{path}: no tensor {name!r}: weights of another network or size')
        if state[name].shape != tensor.shape:
            raise ValueError(f'{path}: {name} is {tuple(state[name].shape)}, expected '
                             f'{tuple(tensor.shape)}')
    own = backbone.state_dict()
    backbone.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)
    return left
