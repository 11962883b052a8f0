# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The exported graphs against PyTorch, and what they may contain."""

from collections import Counter

import numpy as np
import onnx
from onnx import TensorProto
import onnxruntime
import pytest
from safetensors.torch import load_file
import torch

from vos_ros.models.export import export_mobileinst
from vos_ros.models.export import Normalise
from vos_ros.models.mobileinst import build
from vos_ros.runtime.package import load_package

SIZE = (128, 192)
CLASSES = ['thing', 'animal', 'vehicle']
BACKBONES = ['efficientnet_lite0', 'topformer_tiny', 'seaformer_tiny']


def images(count, seed):
    """Blurred noise: uint8 [count, H, W, 3] with structure at several scales."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, SIZE[0] // 16, SIZE[1] // 16, 3))
    fine = rng.integers(-40, 41, (count, *SIZE, 3))
    return np.clip(coarse.repeat(16, 1).repeat(16, 2) + fine, 0, 255).astype(np.uint8)


def calibrated(**settings):
    """A network whose norms have seen data: activations are of the size of trained ones."""
    torch.manual_seed(0)
    model = build({'num_classes': 3, 'num_queries': 20, 'mask_dim': 32, 'kernel_dim': 24,
                   **settings})
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            if not module.weight.any():     # branches that start as the identity must take part
                torch.nn.init.uniform_(module.weight, 0.5, 1.0)
    batch = torch.cat([Normalise()(torch.from_numpy(i[None])) for i in images(4, 0)])
    with torch.no_grad():
        for _ in range(2):
            model.train()(batch)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # channels that noise hardly moves would be blown up, rounding errors with them
            module.running_var.clamp_(min=float(module.running_var.median()))
    torch.nn.init.normal_(model.instance_decoder.kernel_head.weight, std=0.05)
    return model.eval()


def options_for(size):
    options = onnxruntime.SessionOptions()
    for name, side in zip(('height', 'width'), size, strict=True):
        options.add_free_dimension_override_by_name(name, side)
    return options


def run(path, **inputs):
    options = options_for(inputs['image'].shape[1:3]) if 'image' in inputs else None
    session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


@pytest.fixture(scope='module', params=[*BACKBONES, 'separable', 'grid', 'boxes'])
def exported(request, tmp_path_factory):
    settings = {
        'separable': {'backbone': 'topformer_tiny', 'separable': True, 'inject': False},
        'grid': {'backbone': 'efficientnet_lite0', 'query_rows': 4, 'window_bands': 4,
                 'position_bands': 0, 'local_stride': 16},
        # Its grid of 4 x 6 is just half of X_L at the size of export, and is not at others.
        'boxes': {'backbone': 'efficientnet_lite0', 'num_queries': 24, 'query_rows': 4,
                  'window_bands': 4, 'position_bands': 0, 'local_stride': 16,
                  'box_windows': True, 'tower': 2},
    }.get(request.param, {'backbone': request.param})
    model = calibrated(**settings)
    folder = tmp_path_factory.mktemp(request.param)
    export_mobileinst(model, folder, SIZE, CLASSES, 'test', 'Apache-2.0', 'noise',
                      {'ap': 0.5})
    return model, folder


def test_key_graph_agrees_with_torch(exported):
    model, folder = exported
    for image in images(3, 1):
        found = run(folder / 'key.onnx', image=image[None])
        with torch.no_grad():
            expected = model(Normalise()(torch.from_numpy(image[None])))
        cached = {'context'} if model.caches_context else set()
        assert set(found) == {'logits', 'objectness', 'kernels', 'mask_features', 'masks'} | cached
        for name, value in found.items():
            if name == 'context':
                continue        # compared where it is used
            reference = expected[name][0].numpy()
            assert value.dtype == np.float32 and value.shape == reference.shape
            assert np.abs(reference).max() > 0.05, name
            assert np.abs(value - reference).max() <= 1e-4 * max(1.0, np.abs(reference).max())


def test_reuse_graph_with_the_keys_kernels_gives_the_keys_masks(exported):
    _, folder = exported
    image = images(1, 2)
    key = run(folder / 'key.onnx', image=image)
    reuse = run(folder / 'reuse.onnx', image=image, kernels=key['kernels'])
    scale = max(1.0, np.abs(key['masks']).max())
    np.testing.assert_allclose(reuse['masks'], key['masks'], atol=1e-5 * scale, rtol=0)
    np.testing.assert_allclose(reuse['mask_features'], key['mask_features'], atol=1e-5 * scale,
                               rtol=0)


@pytest.mark.parametrize('count', [0, 1, 7, 20])
def test_reuse_takes_any_number_of_kernels(exported, count):
    model, folder = exported
    image = images(1, 3)
    kernels = np.random.default_rng(4).standard_normal((count, 24)).astype(np.float32)
    masks = run(folder / 'reuse.onnx', image=image, kernels=kernels)['masks']
    with torch.no_grad():
        features = model(Normalise()(torch.from_numpy(image)))['mask_features'][0].numpy()
    assert masks.shape == (count, SIZE[0] // 8, SIZE[1] // 8)
    expected = np.einsum('nd,dhw->nhw', kernels, features)
    np.testing.assert_allclose(masks, expected, rtol=1e-4,
                               atol=1e-4 * max(1.0, np.abs(features).max()))


@pytest.mark.parametrize('size', [(64, 192), (256, 320)])
def test_graphs_agree_with_torch_at_other_sizes(exported, size):
    model, folder = exported
    image = np.random.default_rng(5).integers(0, 256, (1, *size, 3), np.uint8)
    image = np.repeat(np.repeat(image[:, ::8, ::8], 8, 1), 8, 2)
    found = run(folder / 'key.onnx', image=image)
    with torch.no_grad():
        expected = model(Normalise()(torch.from_numpy(image)))
    found.pop('context', None)
    for name, value in found.items():
        reference = expected[name][0].numpy()
        assert value.shape == reference.shape
        assert np.abs(value - reference).max() <= 1e-4 * max(1.0, np.abs(reference).max()), name


def test_cached_reuse_takes_the_deep_stages_of_another_frame(exported):
    model, folder = exported
    path = folder / 'reuse_cached.onnx'
    assert path.is_file() == model.caches_context
    assert ('reuse_cached' in load_package(folder).graphs) == model.caches_context
    if not model.caches_context:
        with pytest.raises(ValueError, match='cannot run without its deep stages'):
            model.encode_between(torch.zeros(1, 3, *SIZE), torch.zeros(1, 64, 4, 6))
        return
    before, now = images(2, 7)
    key = run(folder / 'key.onnx', image=before[None])
    same = run(path, image=before[None], kernels=key['kernels'], context=key['context'])
    scale = max(1.0, np.abs(key['masks']).max())
    np.testing.assert_allclose(same['masks'], key['masks'], atol=1e-4 * scale, rtol=0)
    later = run(path, image=now[None], kernels=key['kernels'], context=key['context'])
    with torch.no_grad():
        context = model.encode_keyframe(Normalise()(torch.from_numpy(before[None])))[3]
        later_image = Normalise()(torch.from_numpy(now[None]))
        expected = model.encode_between(later_image, context).features[0]
    scale = max(1.0, float(expected.abs().max()))
    np.testing.assert_allclose(later['mask_features'], expected.numpy(), atol=1e-4 * scale, rtol=0)
    fresh = run(folder / 'reuse.onnx', image=now[None], kernels=key['kernels'])
    assert np.abs(fresh['mask_features'] - later['mask_features']).max() > 1e-2 * scale
    cached, full = (onnx.load(folder / name) for name in ('reuse_cached.onnx', 'reuse.onnx'))
    assert len(cached.graph.node) < 0.6 * len(full.graph.node)


@pytest.fixture(scope='module', params=[*BACKBONES, 'separable'])
def fixed(request, tmp_path_factory):
    settings = ({'backbone': 'topformer_tiny', 'separable': True, 'inject': False}
                if request.param == 'separable' else {'backbone': request.param})
    model = calibrated(**settings)
    folder = tmp_path_factory.mktemp(f'fixed_{request.param}')
    export_mobileinst(model, folder, SIZE, CLASSES, 'test', 'Apache-2.0', 'noise',
                      free_size=False)
    return model, folder


@pytest.mark.parametrize('name', ['key.onnx', 'reuse.onnx', 'reuse_cached.onnx'])
def test_graphs_of_one_size_are_static_folded_and_standard(fixed, name):
    network, folder = fixed
    if name == 'reuse_cached.onnx' and not network.caches_context:
        pytest.skip('this backbone has no such graph')
    model = onnx.load(folder / name)
    ops = Counter(node.op_type for node in model.graph.node)
    assert {node.domain for node in model.graph.node} <= {'', 'ai.onnx'}
    assert next(o.version for o in model.opset_import if o.domain in ('', 'ai.onnx')) == 17
    # shapes are constants, norms are folded, padding belongs to the convolutions, pools are plain
    for op in ('Shape', 'Gather', 'Slice', 'Pad', 'BatchNormalization', 'Identity', 'Constant',
               'GlobalAveragePool', 'Loop', 'If', 'Expand', 'Where', 'ConstantOfShape'):
        assert op not in ops, op
    image = model.graph.input[0]
    assert image.name == 'image' and image.type.tensor_type.elem_type == TensorProto.UINT8
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, *SIZE, 3]
    used = {i for node in model.graph.node for i in node.input}
    assert all(t.name in used for t in model.graph.initializer)


def test_reuse_graph_has_no_instance_decoder(exported):
    _, folder = exported
    key, reuse = (onnx.load(folder / n) for n in ('key.onnx', 'reuse.onnx'))
    assert not any(n.op_type == 'LayerNormalization' for n in reuse.graph.node)
    assert len(reuse.graph.node) < len(key.graph.node)


def test_package_says_what_it_is_and_restores_the_network(exported):
    model, folder = exported
    package = load_package(folder)
    assert (package.kind, package.name, package.licence) == ('mobileinst', 'test', 'Apache-2.0')
    assert package.input_size == SIZE and list(package.classes) == CLASSES
    assert package.training_data == 'noise' and package.figures == {'ap': 0.5}
    twin = build(dict(package.network))
    twin.load_state_dict(load_file(str(package.weights)), strict=True)
    x = Normalise()(torch.from_numpy(images(1, 5)))
    with torch.no_grad():
        torch.testing.assert_close(twin.eval()(x)['masks'], model(x)['masks'])
    assert not list(folder.glob('*.part'))


@pytest.fixture(scope='module')
def halved(tmp_path_factory):
    model = calibrated(backbone='efficientnet_lite0')
    folders = {s: tmp_path_factory.mktemp(s) for s in ('float32', 'float16')}
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for storage, folder in folders.items():
        export_mobileinst(model, folder, SIZE, CLASSES, 'test', 'Apache-2.0', 'noise',
                          storage=storage)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    return folders


def test_half_storage_halves_the_files(halved):
    for name in ('key.onnx', 'reuse.onnx', 'model.safetensors'):
        sizes = [(halved[s] / name).stat().st_size for s in ('float16', 'float32')]
        assert sizes[0] < 0.56 * sizes[1], name


def test_half_storage_is_exact_between_torch_and_onnx(halved):
    package = load_package(halved['float16'])
    twin = build(dict(package.network))
    twin.load_state_dict(load_file(str(package.weights)), strict=True)
    image = images(1, 6)
    with torch.no_grad():
        expected = twin.eval()(Normalise()(torch.from_numpy(image)))
    found = run(package.graphs['key'], image=image)
    plain = run(halved['float32'] / 'key.onnx', image=image)
    del found['context']    # torch does not give it; what is made of it is compared above
    for name, value in found.items():
        reference = expected[name][0].numpy()
        scale = max(1.0, np.abs(reference).max())
        assert np.abs(value - reference).max() <= 1e-4 * scale, name
        # and near what was not rounded
        assert 0 < np.abs(value - plain[name]).mean() <= 5e-3 * scale, name


def test_half_storage_is_undone_when_a_graph_is_loaded(halved, tmp_path):
    # Casts of weights and norms cost nothing at run time: the runtime folds both once
    options = options_for(SIZE)
    options.optimized_model_filepath = str(tmp_path / 'loaded.onnx')
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(halved['float16'] / 'key.onnx'), options,
                                 providers=['CPUExecutionProvider'])
    stored = Counter(n.op_type for n in onnx.load(halved['float16'] / 'key.onnx').graph.node)
    loaded = Counter(n.op_type for n in onnx.load(tmp_path / 'loaded.onnx').graph.node)
    assert stored['BatchNormalization'] > 50 and stored['Cast'] > 50
    assert loaded['BatchNormalization'] == 0 and loaded['Cast'] == 1     # the image's


def test_weights_beyond_half_precision_are_refused(tmp_path):
    model = build({'backbone': 'topformer_tiny', 'num_classes': 3})
    with torch.no_grad():
        model.mask_features.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match=r'mask_features\.weight does not fit float16'):
        export_mobileinst(model, tmp_path, (64, 64), CLASSES, 'test', 'Apache-2.0', 'noise',
                          storage='float16')
    with pytest.raises(ValueError, match="storage 'int3'"):
        export_mobileinst(model, tmp_path, (64, 64), CLASSES, 'test', 'Apache-2.0', 'noise',
                          storage='int3')


def test_export_leaves_the_network_as_it_was(tmp_path):
    model = calibrated(backbone='topformer_tiny').train()
    model.backbone.tpm.eval()               # as someone who freezes norms has it
    before = {k: v.clone() for k, v in model.state_dict().items()}
    export_mobileinst(model, tmp_path, (64, 64), CLASSES, 'test', 'Apache-2.0', 'noise')
    assert model.training and model.mask_decoder.training and not model.backbone.tpm.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_normalise_is_imagenets():
    pixel = torch.tensor([[[[255, 0, 128]]]], dtype=torch.uint8)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (128 / 255 - 0.406) / 0.225]
    assert Normalise()(pixel).flatten().tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize('size', [(100, 128), (128, 0), (64, 96)])
def test_sizes_that_are_not_multiples_of_64_are_refused(tmp_path, size):
    with pytest.raises(ValueError, match='multiple of 64'):
        export_mobileinst(build({'backbone': 'topformer_tiny', 'num_classes': 3}), tmp_path,
                          size, CLASSES, 'test', 'Apache-2.0', 'noise')
    assert list(tmp_path.iterdir()) == []


def test_wrong_number_of_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match='3 class names for a model of 4'):
        export_mobileinst(build({'backbone': 'topformer_tiny', 'num_classes': 4}), tmp_path,
                          SIZE, CLASSES, 'test', 'Apache-2.0', 'noise')
