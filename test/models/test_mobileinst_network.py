# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""MobileInst as a whole: shapes, cost, configuration, query passing."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vos_ros.models.mobileinst import build
from vos_ros.models.mobileinst import MobileInstConfig
from vos_ros.models.mobileinst.instance_decoder import Attention
from vos_ros.models.mobileinst.instance_decoder import fourier_position
from vos_ros.models.mobileinst.instance_decoder import sine_position
from vos_ros.models.mobileinst.network import pool_local

SMALL = {'backbone': 'topformer_tiny', 'num_classes': 5, 'num_queries': 11, 'mask_dim': 32,
         'kernel_dim': 16, 'hidden_dim': 64, 'ffn_dim': 96}
SIZES = ((320, 320), (256, 448), (384, 640), (512, 512), (640, 640), (640, 864))
# Specification section 9: TopFormer-Base, 80 classes; parameters in M and GMAC at SIZES.
FIGURES = {
    256: (10.4, (3.3, 3.7, 7.9, 8.4, 13.0, 17.6)),
    128: (7.5, (1.4, 1.5, 3.2, 3.4, 5.2, 7.0)),
    64: (6.7, (0.9, 1.0, 1.9, 2.0, 3.1, 4.2)),
}


@pytest.mark.parametrize('width', FIGURES)
def test_parameters_and_cost_are_those_of_the_specification(width):
    model = build({'backbone': 'topformer_base', 'num_classes': 80, 'mask_dim': width,
                   'position_bands': 0}).eval().requires_grad_(False)
    parameters, costs = FIGURES[width]
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(parameters, rel=0.04)
    for size, cost in zip(SIZES, costs, strict=True):
        with torch.device('meta'):
            image = torch.empty(1, 3, *size)
        with FlopCounterMode(display=False) as counter:
            model.to('meta')(image)
        # the table has one decimal
        assert counter.get_total_flops() / 2e9 == pytest.approx(cost, rel=0.03, abs=0.06), size


@pytest.mark.parametrize('backbone', ['topformer_tiny', 'seaformer_tiny', 'efficientnet_lite0'])
@pytest.mark.parametrize('size', [(64, 128), (90, 135)])
def test_outputs_have_the_promised_shapes(backbone, size):
    model = build({**SMALL, 'backbone': backbone})
    out = model(torch.randn(2, 3, *size))
    h, w = -(-size[0] // 8), -(-size[1] // 8)
    shapes = {'logits': (2, 11, 5), 'objectness': (2, 11), 'kernels': (2, 11, 16),
              'mask_features': (2, 16, h, w), 'masks': (2, 11, h, w),
              'global_queries': (2, 11, 64),
              'context': (2, 64, -(-h // 4), -(-w // 4))}
    assert {k: tuple(v.shape) for k, v in out.items()} == shapes
    loss = sum(v.float().square().mean() for v in out.values())
    loss.backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_masks_are_kernels_times_features():
    model = build(SMALL).eval()
    with torch.no_grad():
        out = model(torch.randn(1, 3, 64, 128))
    expected = torch.einsum('bnd,bdhw->bnhw', out['kernels'], out['mask_features'])
    torch.testing.assert_close(out['masks'], expected, atol=1e-4, rtol=1e-4)


def test_passed_queries_go_through_this_frames_local_decoder():
    torch.manual_seed(1)
    model = build(SMALL).eval()
    a, b = torch.randn(2, 1, 3, 64, 128)
    with torch.no_grad():
        first = model(a)
        same = model(a, first['global_queries'])
        other = model(b, first['global_queries'])
    torch.testing.assert_close(same['passed_masks'], first['masks'])
    torch.testing.assert_close(same['passed_kernels'], first['kernels'])
    # frame b's own predictions do not change, the passed ones are neither frame's
    torch.testing.assert_close(other['masks'], model(b)['masks'])
    assert not torch.allclose(other['passed_kernels'], first['kernels'], atol=1e-5)
    assert not torch.allclose(other['passed_kernels'], other['kernels'], atol=1e-5)
    with pytest.raises(ValueError, match='passed_queries'):
        model(a, first['global_queries'][:, :3])


def test_query_passing_reaches_the_first_frames_queries_with_its_gradient():
    model = build(SMALL)
    a, b = torch.randn(2, 2, 3, 64, 64)
    queries = model(a)['global_queries']
    queries.retain_grad()
    model(b, queries)['passed_masks'].square().mean().backward()
    assert queries.grad is not None and queries.grad.abs().sum() > 0


def test_heads_start_at_their_priors():
    decoder = build(SMALL).instance_decoder
    assert decoder.class_head.bias.sigmoid().mean().item() == pytest.approx(0.01)
    weight = torch.cat([build(SMALL).instance_decoder.kernel_head.weight for _ in range(20)])
    assert weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_position_is_added_to_the_mask_map_and_seen_by_the_queries():
    torch.manual_seed(2)
    model = build(SMALL).eval()
    image = torch.randn(1, 3, 64, 128)
    with torch.no_grad():
        torch.nn.init.normal_(model.position.weight, std=100.0)
        x_mask = model.encode_keyframe(image).x_mask
        kernels = model(image)['kernels']
        added = model.position(fourier_position(8, 16, 8, image))
        model.position.weight.zero_()
        plain = model.encode_keyframe(image).x_mask
        assert not torch.allclose(model(image)['kernels'], kernels, atol=1e-3)
    torch.testing.assert_close(x_mask - plain, added, atol=1e-2, rtol=1e-4)
    assert build({**SMALL, 'position_bands': 0}).position is None


def test_local_map_is_a_max_pool_to_one_sixty_fourth():
    x = torch.randn(1, 3, 16, 24)
    pooled = pool_local(x)
    assert pooled.shape == (1, 3, 2, 3)
    assert pooled[0, 1, 1, 2] == x[0, 1, 8:, 16:].max()
    assert pool_local(torch.randn(1, 3, 9, 12)).shape == (1, 3, 2, 2)


def test_local_map_can_be_finer():
    x = torch.randn(1, 3, 16, 24)
    assert torch.equal(pool_local(x, 16), torch.nn.functional.max_pool2d(x, 2))
    coarse, fine = (build({**SMALL, 'local_stride': stride}).eval() for stride in (64, 16))
    fine.load_state_dict(coarse.state_dict())
    image = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        assert not torch.allclose(coarse(image)['masks'], fine(image)['masks'])
    with pytest.raises(ValueError, match='local_stride'):
        build({**SMALL, 'local_stride': 24})


def test_sine_position_follows_its_formula():
    table = sine_position(2, 5, 64, torch.zeros(1))
    assert table.shape == (10, 64)
    y, x = 2 / 2 * 2 * math.pi, 3 / 5 * 2 * math.pi         # row 1, column 2, one-based
    row = table[1 * 5 + 2]
    assert row[4].item() == pytest.approx(math.sin(y / 10000 ** (4 / 32)), abs=1e-6)
    assert row[32 + 7].item() == pytest.approx(math.cos(x / 10000 ** (6 / 32)), abs=1e-6)


def test_fourier_position_follows_its_formula():
    waves = fourier_position(4, 6, 3, torch.zeros(1))
    assert waves.shape == (1, 12, 4, 6)
    y, x = 1.5 / 4, 4.5 / 6
    expected = [*(math.cos(k * math.pi * y) for k in (1, 2, 3)),
                *(math.sin(k * math.pi * y) for k in (1, 2, 3)),
                *(math.cos(k * math.pi * x) for k in (1, 2, 3)),
                *(math.sin(k * math.pi * x) for k in (1, 2, 3))]
    assert waves[0, :, 1, 4].tolist() == pytest.approx(expected, abs=1e-6)


def test_attention_agrees_with_torch():
    torch.manual_seed(0)
    ours = Attention(32, 4)
    theirs = torch.nn.MultiheadAttention(32, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight,
                                               ours.value.weight]))
        theirs.out_proj.weight.copy_(ours.out.weight)
    q, k, v = torch.randn(2, 5, 32), torch.randn(2, 7, 32), torch.randn(2, 7, 32)
    torch.testing.assert_close(ours(q, k, v), theirs(q, k, v)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(('change', 'words'), [
    ({'backbone': 'resnet50'}, "backbone 'resnet50'"),
    ({'num_classes': 0}, 'num_classes must be a positive integer'),
    ({'num_queries': 2.5}, 'num_queries must be a positive integer'),
    ({'hidden_dim': 66}, 'hidden_dim 66'),
    ({'heads': 7}, 'heads 7'),
    ({'separable': 'yes'}, 'separable must be true or false'),
    ({'position_bands': -1}, 'position_bands'),
    ({'query_rows': 7}, 'query_rows 7 must divide'),
    ({'window_bands': 2}, 'window_bands needs query_rows'),
    ({'tower': 2}, 'tower needs query_rows'),
    ({'num_queries': 20, 'query_rows': 10, 'window_bands': 32}, 'kernel_dim 16 must exceed'),
    ({'drop_path': 1.0}, 'drop_path'),
    ({'colour': 'red'}, "unknown network setting 'colour'"),
])
def test_bad_configurations_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        MobileInstConfig.from_mapping({**SMALL, **change})


def test_configuration_survives_a_mapping():
    config = MobileInstConfig.from_mapping(SMALL)
    assert MobileInstConfig.from_mapping(config.to_mapping()) == config


@pytest.mark.parametrize('shape', [(3, 64, 64), (1, 4, 64, 64), (1, 3, 32, 64)])
def test_bad_images_are_refused(shape):
    with pytest.raises(ValueError, match='images must be'):
        build(SMALL)(torch.zeros(shape))


def test_imagenet_is_refused_where_no_weights_are_known():
    with pytest.raises(ValueError, match='topformer_tiny'):
        build(SMALL, imagenet=True)


def test_trunk_maps_stand_for_their_images():
    model = build({**SMALL, 'backbone': 'efficientnet_lite0'}).eval()
    image = torch.randn(1, 3, 64, 128)
    with torch.no_grad():
        expected = model(image)
        found = model(model.backbone.trunk(image))
        early = model(model.backbone.early(image))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
        torch.testing.assert_close(early[name], value)
    with pytest.raises(ValueError, match='topformer_tiny'):
        build(SMALL)(model.backbone.trunk(image))


GRID = {**SMALL, 'num_queries': 24, 'query_rows': 4, 'window_bands': 4, 'kernel_dim': 24,
        'position_bands': 0, 'local_stride': 16}


def test_a_window_follows_its_query():
    """The same head output at two queries is the same window at two places."""
    torch.manual_seed(6)
    decoder = build(GRID).instance_decoder
    kernel = torch.randn(24)
    with torch.no_grad():
        placed = decoder._place(kernel.expand(1, 24, 24))[0]
    torch.testing.assert_close(placed[:, :8], kernel[:8].expand(24, 8))
    waves = fourier_position(32, 48, 4, kernel)[0].flatten(1)       # eight cells a grid cell
    windows = (placed[:, 8:] @ waves).reshape(24, 32, 48)
    torch.testing.assert_close(windows[0, :20, :30], windows[7, 8:28, 8:38], rtol=1e-4, atol=1e-4)
    fresh = build(GRID).instance_decoder.kernel_head.bias.detach()
    with torch.no_grad():
        bump = (decoder._place(fresh.expand(1, 24, 24))[0, :, 8:] @ waves).reshape(24, 32, 48)
    for query in (0, 9, 23):
        y, x = divmod(int(bump[query].argmax()), 48)
        assert abs(y - (query // 6) * 8 - 3.5) <= 1 and abs(x - (query % 6) * 8 - 3.5) <= 1


def test_queries_on_a_grid_begin_with_their_place():
    torch.manual_seed(7)
    model = build(GRID).eval()
    decoder = model.instance_decoder
    x_global, x_local = torch.randn(1, 208, 2, 3), torch.randn(1, 32, 4, 6)
    touched = x_local.clone()
    touched[:, :, 0, 0] += 3
    normed = torch.nn.Identity()
    decoder.global_stage = torch.nn.Module()
    decoder.global_stage.forward = lambda q, p, m: normed(q)
    with torch.no_grad():
        moved = (decoder.decode_global(x_global, touched)
                 - decoder.decode_global(x_global, x_local))[0].abs().sum(1)
    # two 3 x 3 convolutions: two cells around, no more
    near = {r * 6 + c for r in range(3) for c in range(3)}
    assert set(moved.nonzero().squeeze(1).tolist()) <= near and moved[0] > 0
    with pytest.raises(ValueError, match='x_local'):
        decoder.decode_global(x_global)
    image = torch.randn(2, 3, 64, 96)
    out = build(GRID).eval()(image)
    assert out['masks'].shape == (2, 24, 8, 12) and out['mask_features'].shape[1] == 24


def test_a_tower_is_added_to_trained_weights_and_reads_further():
    torch.manual_seed(8)
    plain = build(GRID).eval()
    model = build({**GRID, 'tower': 3}).eval()
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.startswith('instance_decoder.tower') for name in missing)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(model(image)['kernels'], plain(image)['kernels'])
        tower = model.instance_decoder.tower
        torch.nn.init.normal_(tower.leave.weight)
        x_local, x4 = torch.randn(1, 32, 4, 6), torch.randn(1, 128, 4, 6)
        touched = x4.clone()
        touched[:, :, 0, 0] += 3
        moved = (tower(x_local, touched, (4, 6)) - tower(x_local, x4, (4, 6))).abs().sum(1)[0]
    # three 3 x 3 convolutions: three cells around, no more
    assert moved[0, 0] > 0 and moved[3, 3] > 0 and not moved[:, 4:].any()
    with pytest.raises(ValueError, match='x4'):
        model.instance_decoder.decode_global(torch.randn(1, 208, 1, 2), x_local)


def test_mask_decoder_is_the_papers_figure():
    torch.manual_seed(3)
    decoder = build(SMALL).mask_decoder.eval()
    x3, x4, x5, x6 = (torch.randn(1, c, 64 // s, 128 // s) for c, s in
                      zip(build(SMALL).backbone.out_channels, (2, 4, 8, 16), strict=True))

    def to(x, like):
        return F.interpolate(x, size=like.shape[-2:], mode='bilinear', align_corners=False)

    def se(block, local, top):
        g = to(block.top(top), local)
        return block.out(block.local(local) * g + g)

    with torch.no_grad():
        l3, l4, l5 = decoder.lateral3(x3), decoder.lateral4(x4), decoder.lateral5(x5)
        p5 = se(decoder.enhance1, l5, x6)
        p4 = l4 + to(p5, l4)
        p3 = l3 + to(p4, l3)
        n3 = decoder.first[0](p3)
        n4 = decoder.first[1](p4) + to(n3, l4)
        n5 = decoder.first[2](p5) + to(n4, l5)
        e5 = se(decoder.enhance2, decoder.second[2](n5), x6)
        e4 = decoder.second[1](n4) + to(e5, l4)
        e3 = decoder.second[0](n3) + to(e4, l3)
        found, context = decoder(x3, x4, x5, x6)
        between = decoder.between(x3, x4, context)
    assert found.shape == (1, 32, 32, 64)
    for given, expected in ((found, e3), (between, e3), (context, torch.cat([p5, e5], dim=1))):
        torch.testing.assert_close(given, expected, rtol=1e-4,
                                   atol=1e-4 * expected.abs().max().item())


def test_queries_see_the_global_map_first_and_only_there():
    torch.manual_seed(4)
    decoder = build(SMALL).instance_decoder.eval()
    x_global, x_local = torch.randn(1, 208, 2, 3), torch.randn(1, 32, 2, 3)
    with torch.no_grad():
        queries = decoder.decode_global(x_global)
        assert not torch.allclose(queries, decoder.decode_global(x_global + 1), atol=1e-4)
        base = decoder.decode_local(queries, x_local)
        moved = decoder.decode_local(queries, x_local.flip(3))
        other = decoder.decode_local(queries, torch.randn(1, 32, 2, 3))
    # keys carry the place: the same contents elsewhere are not the same
    assert not torch.allclose(base.kernels, moved.kernels, atol=1e-6)
    assert not torch.allclose(base.kernels, other.kernels, atol=1e-6)


def test_a_batch_is_its_images_one_by_one():
    torch.manual_seed(5)
    model = build({**SMALL, 'separable': True}).eval()
    images = torch.randn(3, 3, 64, 128)
    with torch.no_grad():
        together = model(images)
        for i in range(3):
            alone = model(images[i:i + 1])
            for name, value in alone.items():
                scale = value.abs().max().item()
                torch.testing.assert_close(together[name][i], value[0], rtol=1e-3,
                                           atol=1e-3 * scale)
