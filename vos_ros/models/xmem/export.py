# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""An XMem network to a model package: its ONNX graphs and the weights."""

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
import torch
from torch import Tensor

from vos_ros.models.export import export_onnx
from vos_ros.models.xmem.graphs import DecodeGraph
from vos_ros.models.xmem.graphs import FinishGraph
from vos_ros.models.xmem.graphs import folded
from vos_ros.models.xmem.graphs import FuseGraph
from vos_ros.models.xmem.graphs import GraphModule
from vos_ros.models.xmem.graphs import KeyGraph
from vos_ros.models.xmem.graphs import ValueGraph
from vos_ros.models.xmem.network import XMem
from vos_ros.runtime.package import whole_package
from vos_ros.runtime.package import write_package

# Any size would do to trace; small and oblong, so that a mixed-up axis would show.
_TRACED = (64, 96)
STRIDE = 16
# Channels at stride 4 from which the CPU decodes faster by Winograd's convolutions than by the
# decode graph: at 256 they take 0.42 of its time, at XMem-Lite's 48 as long as it.
WIDE = 128


def export_xmem(network: XMem, out_dir: str | Path, input_size: Sequence[int], name: str,
                licence: str, training_data: str, figures: Mapping[str, Any] | None = None,
                keep_weights: bool = True) -> Path:
    """Write a model package of kind xmem; returns its folder.

    input_size: (height, width) that the package is meant for, multiples of 16; the graphs take
    any other too.  keep_weights: also write model.safetensors, which the torch runtime and
    training need.  A package that is there already is replaced when all of the new one is made.
    """
    height, width = (int(side) for side in input_size)
    for which, side in (('height', height), ('width', width)):
        if side < STRIDE or side % STRIDE:
            raise ValueError(f'input {which} {side} is not a positive multiple of {STRIDE}')
    out = Path(out_dir)
    with whole_package(out) as part:
        graphs = export_graphs(network, part)
        weights = None
        if keep_weights:
            weights = part / 'model.safetensors'
            save_file({k: v.contiguous() for k, v in network.state_dict().items()}, weights)
        write_package(
            part, kind='xmem', name=name, licence=licence, input_size=(height, width), classes=[],
            graphs=graphs, network=network.config.to_dict(), weights=weights,
            training_data=training_data, figures=dict(figures or {}))
    return out


def export_graphs(network: XMem, out: Path) -> dict[str, Path]:
    """Write the graphs into a folder; returns their paths by name.

    key, value and decode are the network.  A wide decoder is written in parts too, fuse and
    finish, between which `vos_ros.runtime.xmem_decoder` computes.
    """
    config = network.config
    plain = folded(network)
    height, width = _TRACED
    image = torch.zeros(1, 3, height, width)
    with torch.no_grad():
        encoded = plain.encode_key(image)
    f16, f8, f4 = encoded.features
    h, w = f16.shape[2:]
    hidden = {'hidden': torch.zeros(2, config.hidden_dim, h, w)} if config.hidden_dim else {}
    masks = torch.zeros(2, height, width)
    readout = torch.zeros(2, h * w, config.value_dim)
    plan: dict[str, tuple[GraphModule, dict[str, Tensor]]] = {
        'key': (KeyGraph(plain), {'image': image}),
        'value': (ValueGraph(plain), {'image': image, 'f16': f16, 'masks': masks, **hidden}),
        'decode': (DecodeGraph(plain),
                   {'f16': f16, 'f8': f8, 'f4': f4, 'readout': readout, **hidden})}
    if config.up4_dim >= WIDE:
        plan['fuse'] = FuseGraph(plain), {'f16': f16, 'readout': readout, **hidden}
        logits = {'logits': torch.zeros(2, 4 * h, 4 * w)}
        widths = {'g16': config.fuse_dim, 'pooled8': config.up8_dim, 'pooled4': config.up4_dim + 1}
        pooled = {name: torch.zeros(2, h, w, width) for name, width in widths.items()}
        plan['finish'] = FinishGraph(plain), {**logits, **(pooled if hidden else {}), **hidden}
    paths = {}
    for name, (module, inputs) in plan.items():
        known = {*inputs, *module.outputs}
        dynamic = {k: v for k, v in module.dynamic.items() if k in known}
        paths[name] = export_onnx(module, inputs, module.outputs, out / f'{name}.onnx', dynamic)
    return paths
