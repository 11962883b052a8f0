# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""PyTorch networks to ONNX graphs, and MobileInst to a model package.

MobileInst's graphs name the sides of the image, `height` and `width`: whoever loads them says
which size is meant, and onnxruntime then folds every shape to a constant, as if the size had been
fixed here.  So one file serves all the input sizes of a latency budget.  A graph of one size, for
tools that want that, is exported on request.  Batch norms are folded and constants computed.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import copy
from pathlib import Path
from typing import Any
import warnings

import numpy as np
import onnx
from onnx import helper
from onnx import numpy_helper
from onnx import TensorProto
import onnxruntime
from safetensors.torch import save_file
import torch
from torch import nn
from torch import Tensor

from vos_ros.models.mobileinst.efficientnet_lite import IMAGENET_MEAN
from vos_ros.models.mobileinst.efficientnet_lite import IMAGENET_STD
from vos_ros.models.mobileinst.guide import enlarge
from vos_ros.models.mobileinst.layers import size_of
from vos_ros.models.mobileinst.network import Followed
from vos_ros.models.mobileinst.network import MobileInst
from vos_ros.models.mobileinst.network import product
from vos_ros.runtime.package import whole_package
from vos_ros.runtime.package import write_package

OPSET = 17
STRIDE = 64
LARGE = 1024                    # elements from which a tensor is worth storing as float16
NORM_FUSIONS = ('ConvBNFusion', 'BatchNormalizationFusion', 'MatMulBNFusion')
_EVALUATE: Any = torch.onnx.TrainingMode.EVAL          # folds norms
_PRESERVE: Any = torch.onnx.TrainingMode.PRESERVE      # evaluates too, but leaves them
STORAGES = ('float32', 'float16')


class Normalise(nn.Module):
    """uint8 [1,H,W,3] RGB to float32 [1,3,H,W] with ImageNet mean and standard deviation."""

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1) * 255.0
        scale = 1.0 / (torch.tensor(IMAGENET_STD).view(1, 3, 1, 1) * 255.0)
        self.register_buffer('mean', mean, persistent=False)
        self.register_buffer('scale', scale, persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return (image.permute(0, 3, 1, 2).float() - self.mean) * self.scale


class KeyGraph(nn.Module):
    """Everything for a keyframe: image uint8 [1,H,W,3] to the outputs of key.onnx."""

    outputs: tuple[str, ...] = ('logits', 'objectness', 'kernels', 'mask_features', 'masks')

    def __init__(self, model: MobileInst) -> None:
        super().__init__()
        if model.caches_context:
            self.outputs = (*self.outputs, 'context')
        if model.guide is not None:
            self.outputs = (*self.outputs, 'guide')
        self.normalise = Normalise()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        frame = self.model.encode_keyframe(self.normalise(image))
        found = self.model.instance_decoder.decode_local(*self.model.begin(frame))
        masks = product(found.kernels, frame.features)
        # flatten, not [0]: a reshape is free where an index is a copy
        found_maps = {'logits': found.logits, 'objectness': found.objectness,
                      'kernels': found.kernels, 'mask_features': frame.features, 'masks': masks,
                      'context': frame.context, 'guide': frame.guide}
        chosen = [found_maps[name] for name in self.outputs]
        return tuple(x.flatten(0, 1) for x in chosen if x is not None)


class ReuseGraph(nn.Module):
    """A frame between keyframes: image uint8 [1,H,W,3] and kernels [n,D] to masks [n,H/8,W/8].

    The masks of a network with a guide are [n,H/4,W/4].
    """

    outputs = ('mask_features', 'masks')

    def __init__(self, model: MobileInst) -> None:
        super().__init__()
        self.normalise = Normalise()
        self.model = model

    def forward(self, image: Tensor, kernels: Tensor) -> tuple[Tensor, Tensor]:
        frame = self.model.encode_keyframe(self.normalise(image))
        return follow(kernels, Followed(frame.features, frame.guide))


class CachedReuseGraph(ReuseGraph):
    """The same with a keyframe's context [2 C,H/32,W/32] in place of the deep stages."""

    def forward(self, image: Tensor, kernels: Tensor,  # type: ignore[override]
                context: Tensor) -> tuple[Tensor, Tensor]:
        return follow(kernels, self.model.encode_between(
            self.normalise(image), context.unsqueeze(0)))


def follow(kernels: Tensor, frame: Followed) -> tuple[Tensor, Tensor]:
    """Mask features [D,h,w] of a frame, a batch of one, and masks [n,h,w] of kernels [n,D]."""
    features = frame.features
    dim, (h, w) = int(features.shape[1]), size_of(features)
    masks = (kernels @ features.reshape(dim, h * w)).reshape(-1, h, w)
    if frame.guide is not None:
        masks = enlarge(masks, frame.guide.flatten(0, 1))
    return features.flatten(0, 1), masks


def export_onnx(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str],
                path: str | Path, dynamic: Mapping[str, Mapping[int, str]] | None = None,
                opset: int = OPSET, half_weights: bool = False) -> Path:
    """Trace `module` in evaluation mode, write a checked ONNX graph, return its path.

    inputs: name to example tensor, in the order of forward().  dynamic: name to {axis: name}.
    The graph is put in place only when complete. Padding in front of a convolution becomes the
    convolution's own. Norms are folded into convolutions; not so with half_weights, which stores
    the weights that half precision holds exactly as such (see `round_weights`): folding would
    make numbers that it does not hold, and runtimes fold when they load.
    """
    path = Path(path)
    temporary = path.with_name(path.name + '.part')
    modes = [(child, child.training) for child in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # Shapes are meant to be constants, which is what the tracer warns of.
            warnings.simplefilter('ignore')
            torch.onnx.export(
                module, tuple(inputs.values()), str(temporary), dynamo=False,
                input_names=list(inputs), output_names=list(outputs), opset_version=opset,
                training=_PRESERVE if half_weights else _EVALUATE, do_constant_folding=True,
                dynamic_axes={k: dict(v) for k, v in (dynamic or {}).items()})
        simplify(temporary, keep=NORM_FUSIONS if half_weights else ())
        graph = onnx.load(str(temporary))
        fold_padding(graph)
        if half_weights:
            halve_weights(graph)
        domains = {node.domain for node in graph.graph.node} | {''}
        for entry in [e for e in graph.opset_import if e.domain not in domains]:
            graph.opset_import.remove(entry)
        onnx.checker.check_model(graph, full_check=True)
        onnx.save(graph, str(temporary))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
        for child, mode in modes:
            child.training = mode
    return path


def simplify(path: Path, keep: Sequence[str] = ()) -> None:
    """Fold constants and drop no-ops in place with onnxruntime's standard-operator passes.

    keep: names of passes that are not run.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(path.read_bytes(), options, providers=['CPUExecutionProvider'],
                                 disabled_optimizers=list(keep))


def halve_weights(model: onnx.ModelProto) -> int:
    """Store as float16 every large float32 tensor that it holds exactly; return how many.

    A Cast gives the float32 tensor back; runtimes compute it once, when they load the graph.
    """
    graph = model.graph
    halved = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        value = numpy_helper.to_array(tensor)
        if value.size < LARGE:
            continue
        with np.errstate(over='ignore'):
            half = value.astype(np.float16)
        if np.array_equal(half.astype(np.float32), value):
            halved.append((tensor, half))
    casts = []
    for tensor, half in halved:
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f'{name}_half'))
        casts.append(helper.make_node('Cast', [f'{name}_half'], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return len(halved)


def round_weights(model: nn.Module) -> set[str]:
    """Round large parameters in place to what float16 holds; return their names.

    Raises ValueError for one that float16 cannot hold at all.
    """
    names = set()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.numel() >= LARGE:
                parameter.copy_(parameter.half().float())
                if not torch.isfinite(parameter).all():
                    raise ValueError(f'{name} does not fit float16 (or is not finite)')
                names.add(name)
    return names


def fold_padding(model: onnx.ModelProto) -> int:
    """Merge constant zero Pad nodes into the Conv that alone reads them; return how many."""
    graph = model.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    for node in graph.node:
        if node.op_type == 'Constant':
            value = helper.get_node_attr_value(node, 'value')
            constants[node.output[0]] = numpy_helper.to_array(value)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    merged = []
    for node in graph.node:
        users = readers.get(node.output[0], []) if node.op_type == 'Pad' else []
        if len(users) != 1 or users[0].op_type != 'Conv' or node.input[1] not in constants:
            continue
        pads = constants[node.input[1]]
        value = constants.get(node.input[2], np.zeros(())) if len(node.input) > 2 else np.zeros(())
        if pads[:2].any() or pads[4:6].any() or np.any(value):
            continue
        attribute = next(a for a in users[0].attribute if a.name == 'pads')
        extra = [*pads[2:4], *pads[6:8]]
        attribute.ints[:] = [int(a + b) for a, b in zip(attribute.ints, extra, strict=True)]
        users[0].input[0] = node.input[0]
        merged.append(node)
    for node in merged:
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
    return len(merged)


def check_input_size(size: Sequence[int]) -> tuple[int, int]:
    """(height, width) as integers; ValueError unless both are positive multiples of 64."""
    height, width = (int(s) for s in size)
    for name, value in (('height', height), ('width', width)):
        if value < STRIDE or value % STRIDE:
            raise ValueError(f'input {name} {value} is not a positive multiple of {STRIDE}')
    return height, width


def export_mobileinst(model: MobileInst, out_dir: str | Path, input_size: Sequence[int],
                      classes: Sequence[str], name: str, licence: str, training_data: str,
                      figures: Mapping[str, Any] | None = None,
                      storage: str = 'float32', free_size: bool = True) -> Path:
    """Write the graphs key, reuse and reuse_cached, model.safetensors and model.yaml.

    reuse_cached is left out for a backbone that cannot stop at 1/16 (`caches_context`).

    input_size: (height, width), multiples of 64; the size to run at unless a budget takes another.
    free_size: False makes graphs of this size alone.  classes: one name for each class logit.
    training_data: what the weights were trained on, in words.  figures: measured results.
    storage: 'float16' rounds the weights to half precision and halves the files; graphs and
    model.safetensors hold the same rounded numbers, and everything computes in float32 as before.

    A package that is there already is replaced when all of the new one is made. Returns
    `out_dir`; `model` stays as it is. Raises ValueError for a bad size or storage, or when
    the classes do not match the model.
    """
    if storage not in STORAGES:
        raise ValueError(f'storage {storage!r} is not one of {list(STORAGES)}')
    height, width = check_input_size(input_size)
    if len(classes) != model.config.num_classes:
        raise ValueError(f'{len(classes)} class names for a model of '
                         f'{model.config.num_classes} classes')
    half = storage == 'float16'
    rounded: set[str] = set()
    if half:
        model = copy.deepcopy(model)
        rounded = round_weights(model)
    image = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    inputs = {'image': image, 'kernels': torch.zeros(5, model.config.kernel_dim)}
    free: dict[str, dict[int, str]] = {'image': {1: 'height', 2: 'width'}} if free_size else {}
    any_number = {**free, 'kernels': {0: 'n'}, 'masks': {0: 'n'}}
    out = Path(out_dir)
    with whole_package(out) as part:
        key = KeyGraph(model)
        graphs = {
            'key': export_onnx(key, {'image': image}, key.outputs, part / 'key.onnx', dynamic=free,
                               half_weights=half),
            'reuse': export_onnx(ReuseGraph(model), inputs, ReuseGraph.outputs,
                                 part / 'reuse.onnx', dynamic=any_number, half_weights=half),
        }
        if model.caches_context:
            inputs['context'] = torch.zeros(2 * model.config.mask_dim, height // 32, width // 32)
            if free_size:
                any_number['context'] = {1: 'context_height', 2: 'context_width'}
            graphs['reuse_cached'] = export_onnx(
                CachedReuseGraph(model), inputs, ReuseGraph.outputs, part / 'reuse_cached.onnx',
                dynamic=any_number, half_weights=half)
        weights = part / 'model.safetensors'
        state = {key: (value.half() if key in rounded else value).detach().cpu().contiguous()
                 for key, value in model.state_dict().items()}
        save_file(state, str(weights))
        write_package(part, kind='mobileinst', name=name, licence=licence,
                      input_size=(height, width), classes=list(classes), graphs=graphs,
                      network=model.config.to_mapping(), weights=weights,
                      training_data=training_data, figures=dict(figures or {}))
    return out
