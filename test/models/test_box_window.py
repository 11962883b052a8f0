# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Boxes of queries, and the windows over the position that they open."""

import pytest
import torch

from vos_ros.models.mobileinst import build
from vos_ros.models.mobileinst.box_window import BoxWindow
from vos_ros.models.mobileinst.box_window import CONSTANT
from vos_ros.models.mobileinst.instance_decoder import fourier_position

GRID = {'backbone': 'efficientnet_lite0', 'num_classes': 3, 'num_queries': 24, 'query_rows': 4,
        'window_bands': 24, 'kernel_dim': 105, 'box_windows': True, 'position_bands': 0,
        'local_stride': 16, 'hidden_dim': 64, 'mask_dim': 16, 'ffn_dim': 96}
H, W = 40, 56


def shown(window, boxes):
    """Windows [n, H, W] of boxes [n, 4], in units of their depth."""
    waves = fourier_position(H, W, 24, boxes)[0]
    features = torch.cat([torch.full((1, H, W), CONSTANT), waves]).flatten(1)
    with torch.no_grad():
        return (window.window(boxes[None])[0] @ features).reshape(-1, H, W) / window.depth


def test_a_window_is_open_in_its_box_and_closed_around_it():
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.15], [0.2, 0.7, 0.08, 0.1], [0.9, 0.1, 0.3, 0.2],
                          [0.5, 0.5, 0.5, 0.5], [0.5, 0.4, 0.03, 0.02]])
    maps = shown(BoxWindow(64, (4, 6), 24), boxes)
    y = ((torch.arange(H) + 0.5) / H)[:, None].expand(H, W)
    x = ((torch.arange(W) + 0.5) / W)[None].expand(H, W)
    for (cy, cx, hy, hx), found in zip(boxes, maps, strict=True):
        inside = ((y - cy).abs() < 0.8 * hy) & ((x - cx).abs() < 0.8 * hx)
        beside = ((y - cy).abs() > 1.3 * hy + 0.05) & ((x - cx).abs() < 0.8 * hx)
        corner = ((y - cy).abs() > 1.3 * hy + 0.05) & ((x - cx).abs() > 1.3 * hx + 0.05)
        assert inside.any() and found[inside].min() > -0.3 and found[inside].max() < 0.15
        if beside.any():
            assert -1.2 < found[beside].min() and found[beside].max() < -0.7
        if corner.any():
            assert -2.2 < found[corner].min() and found[corner].max() < -1.7


def test_boxes_begin_at_their_queries_and_a_kernel_holds_their_window():
    torch.manual_seed(0)
    model = build(GRID).eval()
    with torch.no_grad():
        out = model(torch.randn(2, 3, 64, 96))
        decoder = model.instance_decoder
        boxes = out['boxes']
        window = decoder.box.window(boxes)
        decoder.box.depth.zero_()
        closed = model.eval()(torch.zeros(2, 3, 64, 96))
    assert boxes.shape == (2, 24, 4) and boxes.dtype == torch.float32
    y, x = divmod(9, 6)
    torch.testing.assert_close(boxes[0, 9, :2], torch.tensor([(y + .5) / 4, (x + .5) / 6]),
                               atol=0.06, rtol=0)
    assert (boxes[..., 2:] > 0.05).all() and (boxes[..., 2:] < 0.2).all()
    assert out['mask_features'].shape[1] == out['kernels'].shape[2] == 105
    assert (out['mask_features'][:, 8] == CONSTANT).all()
    # What is not the window is the small start of the kernel head.
    assert (out['kernels'][..., 8:] - window).abs().max() < 0.2 < window.abs().max()
    assert closed['kernels'][..., 8:].abs().max() < 0.2


def test_masks_keep_to_boxes_from_the_start():
    torch.manual_seed(1)
    model = build(GRID).eval()
    with torch.no_grad():
        out = model(torch.randn(1, 3, 320, 448))
    masks = out['masks'][0].sigmoid()
    y = ((torch.arange(40) + 0.5) / 40)[:, None]
    for query in (0, 9, 23):
        mass = masks[query]
        centre = (mass * y).sum() / mass.sum()
        assert abs(float(centre - out['boxes'][0, query, 0])) < 0.08


@pytest.mark.parametrize(('change', 'words'), [
    ({'window_bands': 0}, 'box_windows needs window_bands'),
    ({'kernel_dim': 97}, 'kernel_dim 97 must exceed 4 . window_bands 96 and one'),
    ({'box_windows': 1}, 'box_windows must be true or false'),
])
def test_bad_settings_are_named(change, words):
    with pytest.raises(ValueError, match=words):
        build({**GRID, **change})
