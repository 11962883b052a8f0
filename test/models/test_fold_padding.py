# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Padding nodes that become part of the convolutions that read them."""

import numpy as np
import onnx
from onnx import helper
from onnx import numpy_helper
from onnx import TensorProto
import onnxruntime
import pytest

from vos_ros.models.export import fold_padding


def run(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return session.run(None, {'x': x})[0]


def padded(value, mode_pads, readers=1):
    """A graph Pad -> Conv, as a model, and the weights that make it run."""
    rng = np.random.default_rng(0)
    tensors = [
        numpy_helper.from_array(np.array(mode_pads, np.int64), 'pads'),
        numpy_helper.from_array(np.array(value, np.float32), 'value'),
        numpy_helper.from_array(rng.standard_normal((2, 3, 3, 3)).astype(np.float32), 'w'),
    ]
    nodes = [helper.make_node('Pad', ['x', 'pads', 'value'], ['p'])]
    outs = []
    for i in range(readers):
        nodes.append(helper.make_node('Conv', ['p', 'w'], [f'y{i}'], pads=[1, 1, 1, 1],
                                      strides=[2, 2], kernel_shape=[3, 3]))
        outs.append(helper.make_tensor_value_info(f'y{i}', TensorProto.FLOAT, [1, 2, None, None]))
    graph = helper.make_graph(nodes, 'g', [helper.make_tensor_value_info(
        'x', TensorProto.FLOAT, [1, 3, 9, 12])], outs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def test_padding_is_folded_exactly(tmp_path):
    model = padded(0.0, [0, 0, 0, 1, 0, 0, 2, 3])
    x = np.random.default_rng(1).standard_normal((1, 3, 9, 12)).astype(np.float32)
    onnx.save(model, tmp_path / 'a.onnx')
    assert fold_padding(model) == 1
    assert [n.op_type for n in model.graph.node] == ['Conv']
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / 'b.onnx')
    np.testing.assert_allclose(run(tmp_path / 'b.onnx', x), run(tmp_path / 'a.onnx', x),
                               atol=1e-5)


@pytest.mark.parametrize('case', [
    {'value': 1.0, 'mode_pads': [0, 0, 0, 1, 0, 0, 1, 1]},          # not zeros
    {'value': 0.0, 'mode_pads': [0, 1, 0, 1, 0, 0, 1, 1]},          # pads channels
    {'value': 0.0, 'mode_pads': [0, 0, 0, 1, 0, 0, 1, 1], 'readers': 2},
])
def test_padding_that_a_convolution_cannot_do_is_left(case):
    model = padded(**case)
    assert fold_padding(model) == 0
    assert model.graph.node[0].op_type == 'Pad'
