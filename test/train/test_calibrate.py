# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scores that are made to mean something after training."""

import pytest
import torch

from vos_ros.models.mobileinst import build
from vos_ros.train.calibrate import best_overlap
from vos_ros.train.calibrate import calibrate
from vos_ros.train.calibrate import fit_logistic
from vos_ros.train.matching import Target
from vos_ros.train.mobileinst_data import Batch
from vos_ros.train.mobileinst_data import to_network

TINY = {'backbone': 'efficientnet_lite0', 'num_queries': 30, 'hidden_dim': 32, 'mask_dim': 16,
        'kernel_dim': 16, 'ffn_dim': 32, 'heads': 4, 'num_classes': 3}


def test_fit_finds_the_scale_and_shift_that_made_the_targets():
    logits = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 2
    scale, shift = fit_logistic(logits, (0.6 * logits - 1.5).sigmoid())
    assert scale == pytest.approx(0.6, abs=0.02)
    assert shift == pytest.approx(-1.5, abs=0.02)


def test_overlap_is_with_the_nearest_object():
    truth = torch.zeros(2, 16, 16)
    truth[0, :8, :8] = 1
    truth[1, 8:, 8:] = 1
    masks = torch.full((3, 8, 8), -5.0)
    masks[0, 4:, 4:] = 5       # the second object exactly
    masks[1, :4, :2] = 5       # half of the first
    iou, nearest = best_overlap(masks, truth)
    assert iou.tolist() == pytest.approx([1.0, 0.5, 0.0], abs=1e-4)
    assert nearest[:2].tolist() == [1, 0]
    assert best_overlap(masks, truth[:0])[0].tolist() == [0, 0, 0]


def test_calibrated_objectness_predicts_the_overlap():
    torch.manual_seed(2)
    model = build(TINY)
    # Large kernels of either sign: among thirty random masks some cover half of the picture well.
    torch.nn.init.normal_(model.instance_decoder.kernel_head.weight, std=1.0)
    torch.nn.init.normal_(model.instance_decoder.objectness_head.weight, std=0.5)
    images = torch.randint(0, 255, (4, 128, 192, 3), dtype=torch.uint8)
    targets = [Target(torch.tensor([1]), torch.full((1, 32, 48), 255, dtype=torch.uint8))
               for _ in range(4)]
    before = model.instance_decoder.objectness_head.weight.clone()
    fitted = calibrate(model, [Batch(images, targets)], torch.device('cpu'), torch.bfloat16)
    assert fitted['objectness_scale'] > 0 and fitted['class_scale'] > 0
    torch.testing.assert_close(model.instance_decoder.objectness_head.weight,
                               before * fitted['objectness_scale'])

    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        out = model(to_network(images, torch.device('cpu')))
    iou = torch.stack([best_overlap(m.float(), torch.ones(1, 32, 48))[0] for m in out['masks']])
    # A fitted logistic has the right mean by construction of its optimum.
    assert float(out['objectness'].float().sigmoid().mean()) == pytest.approx(
        float(iou.mean()), abs=0.02)
    classes = out['logits'].float().sigmoid()[iou >= 0.5].mean(0)
    assert float(classes.sum()) == pytest.approx(1.0, abs=0.1)


def test_a_network_that_finds_nothing_cannot_be_calibrated():
    model = build(TINY)
    torch.nn.init.zeros_(model.instance_decoder.kernel_head.weight)
    torch.nn.init.zeros_(model.instance_decoder.kernel_head.bias)
    images = torch.zeros((1, 128, 192, 3), dtype=torch.uint8)
    masks = torch.zeros((1, 32, 48), dtype=torch.uint8)
    masks[:, :4, :4] = 255
    with pytest.raises(ValueError, match='train for longer'):
        calibrate(model, [Batch(images, [Target(torch.tensor([0]), masks)])],
                  torch.device('cpu'), torch.bfloat16)
