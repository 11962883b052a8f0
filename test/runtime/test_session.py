# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Graphs and MobileInst on real exported packages: results, faults by name, fallback."""

import logging
import shutil

import numpy as np
import onnxruntime
import pytest
from tiny_model import export_tiny
import yaml

from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.package import REUSE_FEATURES
from vos_ros.runtime.package import write_package
from vos_ros.runtime.session import choose_providers
from vos_ros.runtime.session import Graph
from vos_ros.runtime.session import GraphError
from vos_ros.runtime.session import has_vnni
from vos_ros.runtime.session import keep_int8_exact


@pytest.fixture(scope='module')
def network(tiny_package):
    return MobileInst(load_package(tiny_package))


@pytest.fixture(scope='module')
def image():
    return np.random.default_rng(5).integers(0, 255, (128, 192, 3), dtype=np.uint8)


def test_key_frame(network, image):
    output = network.key(image)
    assert output.logits.shape == (12, 3) and output.logits.dtype == np.float32
    assert output.objectness.shape == (12,)
    assert output.kernels.shape == (12, network.kernel_dim)
    assert output.mask_features.shape == (network.kernel_dim, *network.mask_size)
    assert network.mask_size == (16, 24)
    product = np.tensordot(output.kernels, output.mask_features, 1)
    assert np.abs(product - output.masks).max() < 1e-4


def test_reuse_frame_gives_the_key_frames_masks_on_the_same_image(network, image):
    output = network.key(image)
    for rows in ([0], [3, 7, 1], list(range(12))):
        masks = network.reuse(image, output.kernels[rows], output.context)
        assert np.abs(masks - output.masks[rows]).max() < 1e-4


@pytest.mark.parametrize('way', REUSE_FEATURES)
def test_every_way_to_compute_reuse_frames(tiny_package, image, way):
    network = MobileInst(load_package(tiny_package), reuse_features=way)
    assert network.reuse_features == way and network.messages == ()
    output = network.key(image)
    masks = network.reuse(image, output.kernels[[3, 7]], output.context)
    scale = np.abs(output.masks).max()
    assert masks.shape == (2, 16, 24) and masks.dtype == np.float32
    error = np.abs(masks - output.masks[[3, 7]])
    assert (error.mean() < 2e-2 * scale) if way == 'motion' else (error.max() < 1e-4 * scale)
    if way != 'full':
        with pytest.raises(ValueError, match=f"'{way}' needs the context of a keyframe"):
            network.reuse(image, output.kernels)


def test_package_without_the_cached_graph_runs_in_full(tmp_path, tiny_package, image):
    folder = shutil.copytree(tiny_package, tmp_path / 'old')
    manifest = yaml.safe_load((folder / 'model.yaml').read_text())
    del manifest['graphs']['reuse_cached']
    (folder / 'model.yaml').write_text(yaml.safe_dump(manifest))
    network = MobileInst(load_package(folder))
    assert network.reuse_features == 'full'
    assert network.messages == ('tiny has no graph reuse_cached: the frames between keyframes '
                                'run in full',)
    output = network.key(image)
    assert output.context is None and len(network.reuse(image, output.kernels)) == 12


def test_unknown_way_to_compute_reuse_frames(tiny_package):
    with pytest.raises(ValueError, match="reuse_features is 'none', must be one of cached, full"):
        MobileInst(load_package(tiny_package), reuse_features='none')


def test_no_kernels_cost_no_run(network, image, monkeypatch):
    monkeypatch.setattr(network, '_reuse', None)
    assert network.reuse(image, np.zeros((0, network.kernel_dim), np.float32)).shape == (0, 16, 24)


def test_images_differ_in_result(network, image):
    assert np.abs(network.key(image).masks - network.key(255 - image).masks).max() > 1e-3


def test_two_threads_and_no_arena_agree(tiny_package, network, image):
    other = MobileInst(load_package(tiny_package), threads=2, spinning=True, arena=False)
    assert np.abs(other.key(image).masks - network.key(image).masks).max() < 1e-4


def test_wrong_image_is_named(network):
    with pytest.raises(GraphError, match=r'input image is uint8\(1, 64, 64, 3\), must be uint8'):
        network.key(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(GraphError, match='input image is float32'):
        network.key(np.zeros((128, 192, 3), np.float32))


def test_wrong_inputs_are_named(tiny_package):
    graph = Graph(tiny_package / 'key.onnx')
    with pytest.raises(GraphError, match='takes image, was given picture'):
        graph(picture=np.zeros((1, 128, 192, 3), np.uint8))
    assert set(graph.run(['logits'], image=np.zeros((1, 128, 192, 3), np.uint8))) == {'logits'}


def test_not_a_graph(tmp_path):
    (tmp_path / 'key.onnx').write_bytes(b'no graph')
    with pytest.raises(GraphError, match=r'key\.onnx: onnxruntime cannot load'):
        Graph(tmp_path / 'key.onnx')
    with pytest.raises(GraphError, match='threads is 0'):
        Graph(tmp_path / 'key.onnx', threads=0)


def test_missing_provider_falls_back_and_says_so(tiny_package, caplog):
    missing = [name for name, full in (
        ('cuda', 'CUDAExecutionProvider'), ('xnnpack', 'XnnpackExecutionProvider'))
        if full not in onnxruntime.get_available_providers()]
    if not missing:
        pytest.skip('this onnxruntime has both CUDA and XNNPACK')
    with caplog.at_level(logging.WARNING):
        graph = Graph(tiny_package / 'key.onnx', providers=(missing[0], 'cpu'))
    assert graph.providers == ('CPUExecutionProvider',)
    assert len(graph.messages) == 1 and f"'{missing[0]}' is not in this build" in graph.messages[0]
    assert graph.messages[0].endswith("falling back to 'CPUExecutionProvider'")
    assert graph.messages[0] in caplog.text
    assert Graph(tiny_package / 'key.onnx').messages == ()


def test_provider_names():
    assert choose_providers(['CPU']) == (['CPUExecutionProvider'], [])
    assert choose_providers(['CPUExecutionProvider', 'cpu'])[0] == ['CPUExecutionProvider']
    with pytest.raises(GraphError, match="provider 'gpu' is unknown"):
        choose_providers(['gpu'])


def test_package_of_another_kind_is_refused(tmp_path, tiny_package):
    package = write_package(
        tmp_path / 'x', kind='xmem', name='x', licence='l', input_size=(128, 192), classes=[],
        graphs={'key': tiny_package / 'key.onnx'}, network={}, training_data='t')
    with pytest.raises(PackageError, match="kind 'xmem', not mobileinst"):
        MobileInst(package)


@pytest.mark.parametrize(('change', 'message'), [
    ({'classes': ['a', 'b']}, 'logits for 3 classes, model.yaml names 2'),
])
def test_graphs_that_contradict_the_manifest_are_refused(tmp_path, tiny_package, change, message):
    folder = tmp_path / 'changed'
    shutil.copytree(tiny_package, folder)
    content = yaml.safe_load((folder / 'model.yaml').read_text())
    (folder / 'model.yaml').write_text(yaml.safe_dump({**content, **change}))
    with pytest.raises(PackageError, match=message):
        MobileInst(load_package(folder))


def test_a_graph_of_one_size_takes_no_other(tmp_path):
    package = load_package(export_tiny(tmp_path / 'fixed', free_size=False))
    assert MobileInst(package).mask_size == (16, 24)
    with pytest.raises(PackageError, match=r'must take tensor\(uint8\)\(1, 64, 128'):
        MobileInst(package, input_size=(64, 128))


@pytest.mark.parametrize('size', [(64, 128), (192, 256)])
def test_a_free_graph_runs_at_any_size_as_one_exported_for_it(tmp_path, tiny_package, size):
    image = np.random.default_rng(6).integers(0, 255, (*size, 3), dtype=np.uint8)
    free = MobileInst(load_package(tiny_package), input_size=size)
    fixed = MobileInst(load_package(export_tiny(tmp_path / 'fixed', size, free_size=False)))
    found, expected = free.key(image), fixed.key(image)
    assert free.mask_size == fixed.mask_size == (size[0] // 8, size[1] // 8)
    for name in ('logits', 'objectness', 'kernels', 'masks', 'mask_features'):
        assert np.abs(getattr(found, name) - getattr(expected, name)).max() < 1e-4, name
    kernels = expected.kernels[:3]
    masks = [network.reuse(image, kernels, expected.context) for network in (free, fixed)]
    assert np.abs(masks[0] - masks[1]).max() < 1e-4


def test_exchanged_roles_are_refused(tmp_path, tiny_package):
    package = write_package(
        tmp_path / 'swapped', kind='mobileinst', name='s', licence='l', input_size=(128, 192),
        classes=['a', 'b', 'c'], network={}, training_data='t',
        graphs={'key': tiny_package / 'reuse.onnx', 'reuse': tiny_package / 'key.onnx'})
    with pytest.raises(PackageError, match='graph key takes image, kernels, must take image'):
        MobileInst(package)


@pytest.mark.parametrize(('cpuinfo', 'expected'), [
    ('model name\t: a server\nflags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16\n', True),
    ('flags\t\t: fpu avx2 avx_vnni\nbugs\t\t: none\n', True),
    ('flags\t\t: fpu avx2 fma avx512f\n', False),
    ('flags\t\t: fpu avx_vnni_int16\n', False),
    ('Features\t: fp asimd asimddp\n', False),
    ('flags\t\t: fpu avx2\nvmx flags\t: avx512_vnni\n', False),
])
def test_processors_that_need_no_care_for_int8(cpuinfo, expected):
    assert has_vnni(cpuinfo) is expected


@pytest.mark.parametrize('vnni', [True, False])
def test_int8_is_kept_exact_where_it_would_not_be(monkeypatch, vnni):
    monkeypatch.setattr('vos_ros.runtime.session._this_has_vnni', lambda: vnni)
    options = onnxruntime.SessionOptions()
    keep_int8_exact(options)
    if vnni:
        with pytest.raises(RuntimeError, match='does not have configuration'):
            options.get_session_config_entry('session.x64quantprecision')
    else:
        assert options.get_session_config_entry('session.x64quantprecision') == '1'
