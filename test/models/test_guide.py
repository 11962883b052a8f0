# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Masks enlarged by the weights that a network gives with a frame."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from tiny_model import export_tiny
import torch

from vos_ros import cli
from vos_ros.models.mobileinst.guide import bilinear
from vos_ros.models.mobileinst.guide import enlarge
from vos_ros.models.mobileinst.guide import Guide
from vos_ros.models.mobileinst.network import MobileInstConfig
from vos_ros.runtime import guide as runtime_guide
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.native import compiled
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import PackageError


def weights(height=6, width=8, seed=0):
    """Return the weights of a frame from a part whose last layer is random, [36, h, w]."""
    torch.manual_seed(seed)
    part = Guide(5, 8)
    torch.nn.init.normal_(part.weigh.weight)
    with torch.no_grad():
        return part(torch.randn(1, 3, 8 * height, 8 * width),
                    torch.randn(1, 5, height, width))[0]


def test_it_begins_as_interpolation():
    torch.manual_seed(0)
    with torch.no_grad():
        found = Guide(5, 8)(torch.randn(2, 3, 48, 64), torch.randn(2, 5, 6, 8))
        masks = torch.randn(3, 6, 8)
        fine = enlarge(masks, found[1])
    assert found.shape == (2, 36, 6, 8)
    want = torch.nn.functional.interpolate(masks[None], scale_factor=2.0, mode='bilinear')[0]
    assert fine.shape == (3, 12, 16)
    assert (fine - want).abs().max() < 0.02
    exact = bilinear().flatten()[:, None, None].expand(-1, 6, 8)
    assert torch.allclose(enlarge(masks, exact), want, atol=1e-5)
    np.testing.assert_allclose(
        runtime_guide.interpolated(masks.numpy(), 2), want.numpy(), atol=1e-5)


def test_fine_pixels_are_means_of_the_cells_around():
    found = weights()
    assert torch.allclose(found.reshape(9, 4, 6, 8).sum(0), torch.ones(4, 6, 8), atol=1e-5)
    masks = torch.randn(2, 6, 8)
    fine = enlarge(masks, found)
    # Row 5, column 12 is the second row and first column of cell (2, 6).
    by_hand = sum(float(found[4 * place + 2, 2, 6]) * masks[1, 1 + place // 3, 5 + place % 3]
                  for place in range(9))
    assert float(fine[1, 5, 12]) == pytest.approx(float(by_hand), abs=1e-5)
    # Beyond the border the nearest cell counts: what is one is one everywhere.
    assert torch.allclose(enlarge(torch.ones(1, 6, 8), found), torch.ones(1, 12, 16), atol=1e-5)
    np.testing.assert_allclose(
        runtime_guide.enlarge(masks.numpy(), found.numpy()), fine.numpy(), atol=1e-5)
    assert runtime_guide.enlarge(np.zeros((0, 6, 8), np.float32), found.numpy()).shape == \
        (0, 12, 16)


@pytest.mark.skipif(compiled() is None, reason='the compiled loops are not built here')
@pytest.mark.parametrize('factor', [1, 2, 3])
@pytest.mark.parametrize('cells', [(1, 1), (5, 7), (6, 8), (9, 21)])
def test_the_compiled_loop_is_numpys(factor, cells, monkeypatch):
    generator = np.random.default_rng(1)
    whole = generator.random((9 * factor ** 2, cells[0] + 2, cells[1] + 3), np.float32)
    guide = whole[:, :cells[0], :cells[1]]
    masks = generator.normal(size=(4, *cells)).astype(np.float32)
    last = np.ascontiguousarray(guide.transpose(1, 2, 0)).transpose(2, 0, 1)
    for some, weigh in ((masks, guide), (masks[:, :, ::-1], guide), (masks[:0], guide),
                        (masks, last), (masks, guide.astype(np.float64))):
        found = runtime_guide.enlarge(some, weigh)
        with monkeypatch.context() as patch:
            patch.setattr(runtime_guide, 'compiled', lambda: None)
            plain = runtime_guide.enlarge(some, weigh)
        assert found.shape == (len(some), factor * cells[0], factor * cells[1])
        np.testing.assert_allclose(found, plain, atol=1e-5)


def test_shrinking_gives_the_mean_of_each_cell():
    fine = np.arange(2 * 5 * 8, dtype=np.float32).reshape(2, 5, 8)
    found = runtime_guide.shrink(fine, (3, 4), 2)
    assert found.shape == (2, 3, 4)
    assert found[1, 0, 1] == fine[1, :2, 2:4].mean()
    assert found[0, 2, 3] == fine[0, 4, 6:].mean()       # the last row was cut off
    assert runtime_guide.shrink(fine, (5, 8), 1) is fine


@pytest.mark.parametrize('value', [-4, 3, True, 2.0])
def test_widths_that_cannot_be(value):
    with pytest.raises(ValueError, match='guide_dim must be a multiple of 4'):
        MobileInstConfig(guide_dim=value)


@pytest.fixture(scope='module')
def package(tmp_path_factory):
    """Return a tiny package with a guide that does something."""
    return load_package(export_tiny(tmp_path_factory.mktemp('guided') / 'p', guide_dim=8))


@pytest.fixture(scope='module')
def image():
    return np.random.default_rng(5).integers(0, 255, (128, 192, 3), dtype=np.uint8)


@pytest.mark.parametrize('way', ['cached', 'full'])
def test_reuse_frames_give_what_keyframes_give_enlarged(package, image, way):
    network = MobileInst(package, reuse_features=way)
    assert network.mask_size == (16, 24) and network.enlargement == 2
    output = network.key(image)
    assert output.guide.shape == (36, 16, 24)
    assert np.abs(output.guide - bilinear().numpy().reshape(36, 1, 1)).max() > 0.1
    want = runtime_guide.enlarge(output.masks[[3, 7]], output.guide)
    found = network.reuse(image, output.kernels[[3, 7]], output.context)
    assert found.shape == (2, 32, 48) and found.dtype == np.float32
    assert np.abs(found - want).max() < 1e-4 * np.abs(want).max()
    assert network.reuse(image, output.kernels[:0], output.context).shape == (0, 32, 48)


def test_optical_flow_interpolates(package, image):
    network = MobileInst(package, reuse_features='motion')
    output = network.key(image)
    assert output.guide is not None
    found = network.reuse(image, output.kernels[:2], output.context)
    assert found.shape == (2, 32, 48)
    coarse = runtime_guide.shrink(found, (16, 24), 2)
    assert np.abs(coarse - output.masks[:2]).mean() < 0.05 * np.abs(output.masks[:2]).max()
    moved = MobileInst(package).by_motion()
    assert moved.reuse(image, output.kernels[:2], output.context).shape == (2, 32, 48)
    assert moved.key(image).guide is not None


def test_another_input_size(package):
    network = MobileInst(package, input_size=(64, 128))
    output = network.key(np.zeros((64, 128, 3), np.uint8))
    assert output.guide.shape == (36, 8, 16)
    assert network.reuse(np.zeros((64, 128, 3), np.uint8), output.kernels[:1],
                         output.context).shape == (1, 16, 32)


def test_a_guide_that_fits_no_masks_is_refused(package, tmp_path):
    model = onnx.load(package.graphs['key'])
    next(n for n in model.graph.node if 'guide' in n.output).output[0] = 'guide_before'
    model.graph.node.append(onnx.helper.make_node('Identity', ['mask_features'], ['guide']))
    outputs = {o.name: o for o in model.graph.output}
    outputs['guide'].type.CopyFrom(outputs['mask_features'].type)
    onnx.save(model, tmp_path / 'key.onnx')
    wrong = replace(package, graphs={**package.graphs, 'key': tmp_path / 'key.onnx'})
    with pytest.raises(PackageError, match=r'key\.onnx: guide is \(16, 16, 24\), must be nine'):
        MobileInst(wrong)


@pytest.mark.parametrize(('way', 'graph'), [('cached', 'reuse_cached'), ('full', 'reuse')])
def test_reuse_frames_without_the_guide_of_keyframes_are_refused(package, tmp_path, way, graph):
    other = load_package(export_tiny(tmp_path / 'without'))
    mixed = replace(package, graphs={**package.graphs, graph: other.graphs[graph]})
    with pytest.raises(PackageError, match=graph + r'\.onnx: gives masks of \(16, 24\), must give '
                       r'\(32, 48\)'):
        MobileInst(mixed, reuse_features=way).warm()


def test_half_precision_holds_the_weights(package, image, tmp_path):
    out = tmp_path / 'half'
    assert cli.main(['quantize', '--model', str(package.path), '--precision', 'float16', '--out',
                     str(out)]) == 0
    exact, half = (MobileInst(p).key(image).guide for p in (package, load_package(out)))
    assert exact.max() > 0.99           # of logits at the bound
    assert np.isfinite(half).all()
    assert np.abs(half - exact).mean() < 0.01
