# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Packages in int8 and float16 against the float one they were made from."""

from collections import Counter
import json

import cv2
import numpy as np
import onnx
from onnx import TensorProto
import pytest

from vos_ros.cli import main
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package


def picture(seed, size=(128, 192)):
    """Blurred noise uint8 [H, W, 3]."""
    noise = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    for seed in range(6):
        cv2.imwrite(str(folder / f'{seed}.png'), picture(seed))
    return folder


@pytest.fixture(scope='module')
def quantised(tiny_package, pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp('packages')

    def make(name, *options):
        assert main(['quantize', '--model', str(tiny_package), '--out', str(folder / name),
                     *options]) == 0
        return load_package(folder / name)

    return {'int8': make('int8', '--images', str(pictures), '--noise', '10', '--groups', '4',
                         '--speed', '0'),
            'careful': make('careful', '--images', str(pictures), '--noise', '1e-9',
                            '--groups', '4', '--speed', '0'),
            'fast': make('fast', '--images', str(pictures), '--noise', '10', '--groups', '4'),
            'float16': make('float16', '--precision', 'float16')}


def convolutions(path):
    """How many convolutions of a graph read a dequantised weight, and how many do not."""
    graph = onnx.load(str(path)).graph
    dequantised = {node.output[0] for node in graph.node if node.op_type == 'DequantizeLinear'}
    return Counter(node.input[1] in dequantised for node in graph.node if node.op_type == 'Conv')


@pytest.mark.parametrize('graph', ['key', 'reuse', 'reuse_cached'])
def test_int8_graphs_hold_int8_weights(quantised, graph):
    counts = convolutions(quantised['int8'].graphs[graph])
    assert counts[True] > 10 and not counts[False]
    kinds = {t.data_type for t in onnx.load(str(quantised['int8'].graphs[graph])).graph.initializer
             if len(t.dims) == 4 and t.dims[0] > 1}
    assert kinds == {TensorProto.INT8}


@pytest.mark.parametrize('graph', ['key', 'reuse', 'reuse_cached'])
def test_a_bound_on_the_noise_leaves_layers_in_float(quantised, graph):
    loose, strict = (quantised[name].figures['quantised']['graphs'][graph]
                     for name in ('int8', 'careful'))
    assert loose['float'] == [] and len(strict['float']) == 3
    assert strict['noise'] < loose['noise']
    assert convolutions(quantised['careful'].graphs[graph])[False] > 5


@pytest.mark.parametrize(('name', 'close'), [('int8', 0.98), ('float16', 0.9999)])
@pytest.mark.parametrize('way', ['cached', 'full'])
def test_masks_stay_close_to_float(tiny_package, quantised, name, close, way):
    image, later = picture(20), picture(20)
    later[:] = np.roll(later, 3, axis=1)
    masks = []
    for package in (load_package(tiny_package), quantised[name]):
        network = MobileInst(package, reuse_features=way)
        output = network.key(image)
        masks.append([output.masks, network.reuse(later, output.kernels, output.context)])
    for exact, found in zip(*masks, strict=True):
        assert exact.dtype == found.dtype == np.float32
        assert np.corrcoef(exact.ravel(), found.ravel())[0, 1] > close
        assert not np.array_equal(exact, found)


@pytest.mark.parametrize('name', ['int8', 'float16'])
def test_other_input_sizes_stay_possible(quantised, name):
    network = MobileInst(quantised[name], input_size=(64, 128))
    output = network.key(picture(1, (64, 128)))
    masks = network.reuse(picture(2, (64, 128)), output.kernels, output.context)
    assert masks.shape[1:] == (8, 16)


def test_a_graph_is_no_slower_than_in_float(tiny_package, quantised):
    # What int8 does not make faster is the float graph itself.
    noted = quantised['fast'].figures['quantised']['graphs']
    for name, graph in quantised['fast'].graphs.items():
        if noted[name].get('precision') == 'float32':
            assert graph.read_bytes() == load_package(tiny_package).graphs[name].read_bytes()
        else:
            assert noted[name]['speed'] >= 1.05 and convolutions(graph)[True]


def test_what_it_cost_and_gained_is_noted(quantised):
    package = quantised['int8']
    measured = package.figures['quantised']['measured']
    assert {f'{kind}_{n}t' for kind in ('key', 'reuse', 'mean') for n in (1, 2)} == set(measured)
    card = (package.path / 'MODEL_CARD.md').read_text()
    assert 'int8' in card and f'{measured["key_1t"]:.2f}' in card


def test_package_says_where_it_comes_from(tiny_package, quantised):
    for name in ('int8', 'float16'):
        package = quantised[name]
        assert package.name == name and package.weights is None
        noted = package.figures['quantised']
        assert noted['from'] == load_package(tiny_package).digest[:12]
        assert noted['precision'] == name


@pytest.mark.parametrize(('options', 'message'), [
    ([], 'no pictures to calibrate with'),
    (['--images', '{pictures}', '--count', '0'], '--count above 0'),
    (['--images', '{pictures}', '--only', '{names}'], '--images has no image 9 9.png'),
    (['--images', '{pictures}', '--except', '{names}'], '--images has no image 9 9.png'),
    (['--precision', 'float16', '--data', '{pictures}', '--annotations', '{coco}', '--held-out',
      '{names}'], 'coco.json has no image 1.png, 9 9.png'),
    (['--precision', 'float16', '--model', 'nowhere'], 'nowhere: no such model package'),
    (['--precision', 'float16', '--out', '{package}'], 'is the folder of the model itself'),
])
def test_bad_command_lines_are_named(tiny_package, pictures, tmp_path, capsys, options, message):
    names, coco = tmp_path / 'names.txt', tmp_path / 'coco.json'
    names.write_text('1.png\n9 9.png\n')
    coco.write_text(json.dumps({'images': [{'id': 1, 'file_name': '0.png'}], 'annotations': [],
                                'categories': []}))
    options = [option.format(pictures=pictures, package=tiny_package, names=names, coco=coco)
               for option in options]
    model = [] if '--model' in options else ['--model', str(tiny_package)]
    assert main(['quantize', '--out', str(tmp_path / 'x'), *model, *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / 'x').exists()
