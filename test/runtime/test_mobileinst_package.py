# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A package whose graphs and model.yaml contradict each other is refused, by name."""

from dataclasses import replace

import onnx
from onnx import helper
import pytest

from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import PackageError


@pytest.mark.parametrize('bands', [-1, 40, 'x', 1.5])
def test_bands_that_do_not_fit_the_kernels(tiny_package, bands):
    package = load_package(tiny_package)
    with pytest.raises(PackageError, match='window_bands'):
        MobileInst(replace(package, network={**package.network, 'window_bands': bands}))


def test_outputs_of_another_type(tiny_package, tmp_path):
    package = load_package(tiny_package)
    graph = onnx.load(package.graphs['key'])
    for node in graph.graph.node:
        for names in (node.input, node.output):
            names[:] = ['whole' if name == 'masks' else name for name in names]
    graph.graph.node.append(helper.make_node(
        'Cast', ['whole'], ['masks'], to=onnx.TensorProto.FLOAT16))
    for output in graph.graph.output:
        if output.name == 'masks':
            output.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(graph, tmp_path / 'key.onnx')
    with pytest.raises(PackageError, match=r'masks as tensor\(float16\)'):
        MobileInst(replace(package, graphs={**package.graphs, 'key': tmp_path / 'key.onnx'}))
