# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The network's names, shapes and arithmetic, its variants, and its ONNX graphs."""

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.torch import save_file
import torch
from torch import nn
from xmem_cases import ABSENT
from xmem_cases import GOLDEN
from xmem_cases import SHIPPED
from xmem_cases import TINY
from xmem_cases import trained_norms

from vos_ros.models.xmem.blocks import GroupResBlock
from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.export import export_xmem
from vos_ros.models.xmem.graphs import folded
from vos_ros.models.xmem.network import aggregate
from vos_ros.models.xmem.network import XMem
from vos_ros.models.xmem.runtime import load_torch
from vos_ros.models.xmem.runtime import TorchXMem
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import ModelPackage
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.xmem import load_network
from vos_ros.runtime.xmem import OnnxXMem
from vos_ros.tracking import xmem_step


def test_official_names_and_shapes() -> None:
    manifest = GOLDEN / 'weights_manifest.json'
    if not manifest.is_file():
        pytest.skip(ABSENT)
    want = {name: tuple(entry['shape'])
            for name, entry in json.loads(manifest.read_text())['tensors'].items()}
    with torch.device('meta'):
        have = {name: tuple(t.shape) for name, t in XMem().state_dict().items()}
    assert have == want


@pytest.mark.parametrize(('config', 'tensors', 'parameters'), [
    (XMemConfig(), 412, 62_185_224), (XMemConfig(hidden_dim=0), 402, 59_783_560),
    (XMemConfig(single_object=True), 412, 62_182_088)])
def test_sizes_of_the_variants(config: XMemConfig, tensors: int, parameters: int) -> None:
    with torch.device('meta'):
        network = XMem(config)
    assert len(network.state_dict()) == tensors
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_a_joint_block_is_the_block_of_the_concatenation() -> None:
    torch.manual_seed(0)
    x, g = torch.randn(2, 6, 5, 7), torch.randn(2, 3, 4, 5, 7)
    whole = torch.cat([x[:, None].expand(-1, 3, -1, -1, -1), g], 2)
    for outputs in (8, 10):
        block = GroupResBlock(10, outputs)
        with torch.no_grad():
            assert torch.allclose(block.joint(x, g), block(whole), atol=1e-5)


def test_aggregation_is_odds_over_all_odds() -> None:
    p = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    p[0, 0] = 0
    p[1, 0, 0] = 1
    found = xmem_step.aggregate(p)
    want = aggregate(torch.from_numpy(p), 0)[1].numpy()
    assert np.allclose(found, want, atol=1e-6)
    assert np.allclose(found.sum(0), 1, atol=1e-6)
    every = np.concatenate([np.prod(1 - p, 0, keepdims=True), p]).clip(1e-7, 1 - 1e-7)
    odds = every / (1 - every)
    assert np.allclose(found, odds / odds.sum(0), atol=1e-6)


def test_objects_do_not_depend_on_their_order(tiny_network: XMem) -> None:
    torch.manual_seed(2)
    image, masks = torch.randn(1, 3, 64, 96), torch.rand(1, 3, 64, 96)
    swap = [2, 0, 1]
    with torch.no_grad():
        features = tiny_network.encode_key(image).features
        value = tiny_network.encode_value(image, features.f16, masks)
        assert torch.allclose(
            tiny_network.encode_value(image, features.f16, masks[:, swap]), value[:, swap],
            atol=1e-5)
        hidden = torch.randn(1, 3, TINY.hidden_dim, 4, 6)
        logits, new = tiny_network.decode(features, value, hidden)
        other, moved = tiny_network.decode(features, value[:, swap], hidden[:, swap])
    assert torch.allclose(other, logits[:, swap], atol=1e-5)
    assert torch.allclose(moved, new[:, swap], atol=1e-5)


def test_folding_removes_every_norm_and_changes_nothing(tiny_network: XMem) -> None:
    torch.manual_seed(3)
    plain = folded(tiny_network)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in plain.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in tiny_network.modules())
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        want, found = tiny_network.encode_key(image), plain.encode_key(image)
        assert torch.allclose(found.key, want.key, atol=1e-4)
        masks = torch.rand(1, 2, 64, 96)
        assert torch.allclose(plain.encode_value(image, want.features.f16, masks),
                              tiny_network.encode_value(image, want.features.f16, masks),
                              atol=1e-4)


def agree(a: Any, b: Any) -> None:
    assert np.allclose(np.asarray(a), np.asarray(b), atol=2e-4, rtol=1e-3)


def compare(package: Path, network: XMem, size: tuple[int, int], count: int) -> None:
    """Run every graph on random input against PyTorch."""
    ours, theirs = OnnxXMem(load_package(package)), TorchXMem(network)
    rng = np.random.default_rng(count)
    image = rng.standard_normal((3, *size)).astype(np.float32)
    a, b = ours.encode_key(image), theirs.encode_key(image)
    for name in ('key', 'shrinkage', 'selection'):
        agree(getattr(a, name), getattr(b, name))
    assert a.grid == b.grid == (size[0] // 16, size[1] // 16)
    masks = rng.random((count, *size)).astype(np.float32)
    hidden = rng.standard_normal((count, ours.hidden_dim, *a.grid)).astype(np.float32)
    states = (hidden, torch.from_numpy(hidden)) if ours.hidden_dim else (None, None)
    (value, deep), (want, want_deep) = (ours.encode_value(a, masks, states[0]),
                                        theirs.encode_value(b, masks, states[1]))
    agree(value, want)
    readout = rng.standard_normal(value.shape).astype(np.float32)
    (p, new), (want_p, want_new) = (ours.decode(a, readout, states[0]),
                                    theirs.decode(b, torch.from_numpy(readout), states[1]))
    agree(p, want_p)
    assert p.shape == (count + 1, *size)
    if ours.hidden_dim:
        agree(deep, want_deep)
        agree(new, want_new)
    else:
        assert deep is None
        assert new is None


@pytest.mark.parametrize('size', [(64, 96), (96, 64), (16, 16), (112, 208)])
@pytest.mark.parametrize('count', [1, 2, 5])
def test_onnx_agrees_with_torch(size: tuple[int, int], count: int, tiny_package: Path,
                                tiny_network: XMem) -> None:
    compare(tiny_package, tiny_network, size, count)


@pytest.mark.parametrize('change', [{'hidden_dim': 0}, {'single_object': True}])
def test_onnx_agrees_with_torch_for_the_variants(change: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = XMem(XMemConfig(**{**TINY.to_dict(), **change})).eval()
    package = export_xmem(network, tmp_path / 'p', (64, 96), 'p', 'none', 'random numbers')
    compare(package, network, (64, 96), 2)


@pytest.mark.parametrize('size', [(64, 96), (112, 208), (16, 16)])
@pytest.mark.parametrize('change', [{}, {'hidden_dim': 0}, {'up8_dim': 128}, {'fuse_dim': 24}])
def test_a_wide_decoder_in_strips_agrees_with_torch(change: dict[str, Any], size: tuple[int, int],
                                                    tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = XMem(XMemConfig(**{**TINY.to_dict(), 'up4_dim': 128, **change})).eval()
    export_xmem(network, tmp_path, (64, 96), 'p', 'none', 'random numbers')
    package = load_package(tmp_path)
    assert OnnxXMem(package, threads=2).strips and not OnnxXMem(package, 1, ['cuda']).strips
    assert not OnnxXMem(replace(package, weights=None)).strips
    compare(tmp_path, network, size, 2)


def test_frames_of_changing_size_and_number_in_strips(tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = XMem(XMemConfig(**{**TINY.to_dict(), 'up4_dim': 128})).eval()
    export_xmem(network, tmp_path, (64, 96), 'p', 'none', 'random numbers')
    ours, theirs = OnnxXMem(load_package(tmp_path), threads=2), TorchXMem(network)
    rng = np.random.default_rng(0)
    for size, count in (((64, 96), 1), ((112, 64), 3), ((64, 96), 2)):
        image = rng.standard_normal((3, *size)).astype(np.float32)
        a, b = ours.encode_key(image), theirs.encode_key(image)
        cells = a.grid[0] * a.grid[1]
        readout = rng.standard_normal((count, cells, ours.value_dim)).astype(np.float32)
        hidden = rng.standard_normal((count, ours.hidden_dim, *a.grid)).astype(np.float32)
        want = theirs.decode(b, torch.from_numpy(readout), torch.from_numpy(hidden))
        for found, wanted in zip(ours.decode(a, readout, hidden), want, strict=True):
            agree(found, wanted)


def test_weights_without_the_decoder_are_refused(tmp_path: Path) -> None:
    network = XMem(XMemConfig(**{**TINY.to_dict(), 'up4_dim': 128})).eval()
    export_xmem(network, tmp_path, (64, 96), 'p', 'none', 'random numbers')
    package = load_package(tmp_path)
    save_file({'key_proj.key_proj.weight': torch.zeros(1)}, tmp_path / 'model.safetensors')
    with pytest.raises(PackageError, match=r'model\.safetensors: lacks decoder\.up_16_8\.skip'):
        OnnxXMem(package)


def test_graphs_hold_no_norms(tiny_package: Path) -> None:
    for name in ('key', 'value', 'decode'):
        kinds = {node.op_type for node in onnx.load(tiny_package / f'{name}.onnx').graph.node}
        assert 'BatchNormalization' not in kinds
        assert 'Conv' in kinds


def test_lite_is_light_and_runs(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = XMem(XMemConfig.lite()).eval()
    network.key_encoder.load_imagenet()
    trained_norms(network.value_encoder)
    assert sum(p.numel() for p in network.parameters()) < 5_000_000
    package = export_xmem(network, tmp_path / 'lite', (480, 864), 'lite', 'none', 'ImageNet only')
    assert sum(f.stat().st_size for f in package.glob('*.onnx')) < 25_000_000
    for count in (1, 3):
        compare(package, network, (96, 128), count)


def test_shipped_graphs_are_those_of_the_shipped_weights() -> None:
    package = load_package(SHIPPED)
    compare(SHIPPED, load_torch(package).network, (96, 128), 2)


def test_features_kept_in_the_runtime_outlive_later_runs(tiny: OnnxXMem) -> None:
    rng = np.random.default_rng(0)
    image, other = rng.standard_normal((2, 3, 64, 96)).astype(np.float32)
    first = tiny.encode_key(image)
    hidden = np.zeros((1, tiny.hidden_dim, *first.grid), np.float32)
    readout = rng.standard_normal((1, first.grid[0] * first.grid[1], tiny.value_dim))
    want = [a.copy() for a in tiny.decode(first, readout.astype(np.float32), hidden)]
    key = first.key.copy()
    for _ in range(3):
        tiny.decode(tiny.encode_key(other), readout.astype(np.float32), hidden)
    assert np.array_equal(first.key, key)
    for a, b in zip(tiny.decode(first, readout.astype(np.float32), hidden), want, strict=True):
        assert np.array_equal(a, b)


def test_either_runtime_by_name(tiny_package: Path, tiny_network: XMem) -> None:
    package = load_package(tiny_package)
    image = np.zeros((3, 32, 32), np.float32)
    one, other = (load_network(package, runtime) for runtime in ('onnxruntime', 'torch'))
    agree(one.encode_key(image).key, other.encode_key(image).key)
    assert one.digest == other.digest == package.digest
    assert one.weights_digest == other.weights_digest == package.weights_digest
    with pytest.raises(ValueError, match='tensorflow'):
        load_network(package, 'tensorflow')


def test_packages_that_do_not_fit_are_refused(tiny_package: Path) -> None:
    package = load_package(tiny_package)

    def changed(**values: Any) -> ModelPackage:
        return ModelPackage(**{**package.__dict__, **values})

    with pytest.raises(PackageError, match='kind'):
        OnnxXMem(changed(kind='mobileinst'))
    with pytest.raises(PackageError, match='key_dim'):
        OnnxXMem(changed(network={**package.network, 'key_dim': 0}))
    with pytest.raises(PackageError, match='decode'):
        OnnxXMem(changed(graphs={k: v for k, v in package.graphs.items() if k != 'decode'}))
    with pytest.raises(PackageError, match='weights'):
        load_torch(changed(weights=None))


def test_config_refuses_nonsense() -> None:
    for change in ({'key_dim': 0}, {'key_encoder': 'vgg'}, {'value_widths': (1, 2)},
                   {'hidden_dim': -1}, {'fuse_dim': 2.5}):
        with pytest.raises(ValueError, match=next(iter(change))):
            XMemConfig(**change)
    with pytest.raises(ValueError, match='colour'):
        XMemConfig.from_dict({'colour': 'red'})
    assert XMemConfig.from_dict(XMemConfig.lite().to_dict()) == XMemConfig.lite()
