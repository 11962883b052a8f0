# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The label map against a plain full-size reference, and its boxes and areas against itself."""

import cv2
import numpy as np
import pytest

from vos_ros.runtime.letterbox import Letterbox
from vos_ros.runtime.native import compiled
from vos_ros.tracking.drawing import contact_sheet
from vos_ros.tracking.drawing import draw_tracks
from vos_ros.tracking.drawing import track_colour
from vos_ros.tracking.labels import LabelPainter
from vos_ros.tracking.raster import NativeRaster
from vos_ros.tracking.raster import PlainRaster
from vos_ros.tracking.tracks import Tracks

INPUT, MASK = (384, 640), (48, 80)
RASTERS = [PlainRaster, pytest.param(NativeRaster, marks=pytest.mark.skipif(
    compiled() is None, reason='the ROS 2 package is not built'))]
SIZES = [(1080, 1920), (480, 640), (384, 640), (97, 211), (200, 120), (720, 1281), (2, 3)]


def blobs(cells, count, seed):
    """Return smooth random logits, [count, h, w]: shapes with holes, parts and borders."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, *cells)).astype(np.float32)
    return [8 * cv2.GaussianBlur(layer, (0, 0), 3) - 0.2 for layer in noise]


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('threshold', [0.0, -0.2])
@pytest.mark.parametrize('raster', RASTERS)
def test_equals_the_plain_way(size, threshold, raster):
    letterbox = Letterbox(size, INPUT)
    painter = LabelPainter(letterbox, MASK, raster)
    ids = [3, 900, 65534, 17]
    logits = blobs(painter.cells, len(ids), seed=size[0])
    result = painter.paint(ids, logits, threshold)
    assert result.label_map.shape == size and result.label_map.dtype == np.uint16

    rows, columns = letterbox.content_size
    whole = (painter.cells[1] * 8, painter.cells[0] * 8)
    fine = np.stack([cv2.resize(layer, whole)[:rows, :columns] for layer in logits])
    small = np.where(fine.max(0) > threshold, np.array(ids, np.uint16)[fine.argmax(0)], 0)
    y = ((np.arange(size[0]) + 0.5) * rows / size[0]).astype(int)
    x = ((np.arange(size[1]) + 0.5) * columns / size[1]).astype(int)
    expected = small[y][:, x]
    assert np.mean(result.label_map != expected) < 1e-4
    if min(size) > 50:
        assert set(np.unique(result.label_map)) >= set(ids)


@pytest.mark.parametrize('raster', RASTERS)
@pytest.mark.parametrize(('network_input', 'mask'), [
    (INPUT, MASK), ((66, 108), (11, 18)), ((60, 100), (12, 20)), ((64, 96), (64, 96))])
def test_any_stride_and_a_single_mask_up_to_every_border(network_input, mask, raster):
    painter = LabelPainter(Letterbox((150, 200), network_input), mask, raster)
    logits = np.full(painter.cells, -1, np.float32)
    logits[:, -1] = logits[0] = logits[-1] = logits[:, 0] = 1
    result = painter.paint([7], [logits], 0.0)
    stride = network_input[0] // mask[0]
    rows, columns = painter.cells
    fine = cv2.resize(logits, (columns * stride, rows * stride))
    height, width = Letterbox((150, 200), network_input).content_size
    y = ((np.arange(150) + 0.5) * height / 150).astype(int)
    x = ((np.arange(200) + 0.5) * width / 200).astype(int)
    expected = np.where(fine[y][:, x] > 1e-6, 7, 0)
    assert np.mean(result.label_map != expected) < 1e-3
    assert result.areas[0] == np.count_nonzero(result.label_map)
    assert tuple(result.boxes[0]) == (0, 0, 200, 150)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('raster', RASTERS)
def test_boxes_and_areas_are_those_of_the_label_map(size, raster):
    painter = LabelPainter(Letterbox(size, INPUT), MASK, raster)
    ids = [1, 2, 3, 4, 5]
    logits = blobs(painter.cells, 4, seed=9) + [np.full(painter.cells, -5, np.float32)]
    canvas = np.full(size, 7, np.uint16)
    result = painter.paint(ids, logits, 0.0, canvas=lambda height, width: canvas)
    assert result.label_map is canvas
    assert result.areas[4] == 0 and not result.boxes[4].any()
    for row, track in enumerate(ids):
        there = result.label_map == track
        assert result.areas[row] == there.sum()
        if there.any():
            y, x = np.nonzero(there)
            assert tuple(result.boxes[row]) == (x.min(), y.min(), x.max() + 1, y.max() + 1)


def test_each_frame_is_its_own():
    painter = LabelPainter(Letterbox((480, 640), INPUT), MASK)
    first = painter.paint([1], blobs(painter.cells, 1, seed=1), 0.0).label_map
    kept = first.copy()
    second = painter.paint([], [], 0.0)
    assert np.array_equal(first, kept) and not second.label_map.any()
    assert second.areas.shape == (0,) and second.boxes.shape == (0, 4)


@pytest.mark.parametrize('raster', RASTERS)
def test_crumbs_are_swept_and_halves_are_kept(raster):
    painter = LabelPainter(Letterbox((480, 640), INPUT), MASK, raster)
    mask = np.full(painter.cells, -4, np.float32)
    mask[5:15, 5:15] = mask[5:15, 20:28] = 4        # an object behind a pole: 100 and 80 cells
    mask[30:33, 30:33] = 4                          # a crumb
    kept = mask.copy()
    swept = painter.paint([3], [mask], 0.0, min_part=0.25).label_map
    whole = painter.paint([3], [mask], 0.0).label_map
    assert np.array_equal(mask, kept)
    assert (whole[308:322, 308:322] == 3).all() and not swept[280:350, 280:350].any()
    assert np.array_equal(swept[:200], whole[:200]) and (swept[60:140, 210:270] == 3).all()


@pytest.mark.skipif(compiled() is None, reason='the ROS 2 package is not built')
@pytest.mark.parametrize('min_part', [0.0, 0.1, 1.0])
def test_both_loops_sweep_and_paint_the_same(min_part):
    results = []
    for raster in (PlainRaster, NativeRaster):
        painter = LabelPainter(Letterbox((480, 640), INPUT), MASK, raster)
        logits = [*blobs(painter.cells, 6, seed=11), np.full(painter.cells, 9, np.float32)]
        logits[2] = np.where(np.arange(logits[2].size).reshape(logits[2].shape) % 2, 3, -3)
        results.append(painter.paint(list(range(1, 8)), logits, 0.1, min_part))
    plain, native = results
    assert np.mean(plain.label_map != native.label_map) < 1e-4
    assert np.abs(plain.areas.astype(int) - native.areas).max() < 30


@pytest.mark.parametrize('make', [
    lambda h, w: np.empty((h, 2 * w), np.uint16)[:, w:], lambda h, w: np.empty((h, w), np.uint8),
    lambda h, w: np.empty((h, w), np.uint16)[::-1], lambda h, w: np.empty((w, h), np.uint16)])
def test_a_canvas_that_cannot_be_painted_in_is_refused(make):
    painter = LabelPainter(Letterbox((480, 640), INPUT), MASK)
    with pytest.raises(ValueError, match='canvas'):
        painter.paint([1], blobs(painter.cells, 1, seed=3), 0.0, canvas=make)


@pytest.mark.parametrize('raster', [
    PlainRaster, pytest.param(NativeRaster, marks=pytest.mark.skipif(
        compiled() is None, reason='the ROS 2 package is not built'))])
def test_a_part_of_just_the_least_share_stays(raster):
    painter = LabelPainter(Letterbox((480, 640), INPUT), MASK, raster)
    mask = np.full((1, *painter.cells), -1, np.float32)
    mask[0, :10, :10] = mask[0, 20, 20:27] = 1
    spans = painter._raster.sweep(mask, 0.0, 0.07)
    assert (mask > 0).sum() == 107 and spans.tolist() == [[0, 0, 20, 26]]


def test_padding_is_no_part_of_a_frame():
    painter = LabelPainter(Letterbox((1080, 1920), INPUT), MASK)
    assert painter.cells == (45, 80)
    assert LabelPainter(Letterbox((480, 640), INPUT), MASK).cells == (48, 64)


def test_masks_that_do_not_divide_the_input():
    with pytest.raises(ValueError, match='no multiple'):
        LabelPainter(Letterbox((480, 640), INPUT), (50, 80))


def tracks_of(labelling, ids):
    n = len(ids)
    return Tracks(
        ids=np.array(ids, np.uint32), class_ids=np.zeros(n, np.int32), labels=('thing',) * n,
        scores=np.full(n, 0.5, np.float32), states=np.ones(n, np.uint8),
        ages=np.zeros(n, np.uint32), boxes=labelling.boxes, areas=labelling.areas)


def test_drawing_touches_masks_and_not_the_image():
    painter = LabelPainter(Letterbox((480, 640), INPUT), MASK)
    labelling = painter.paint([7, 8], blobs(painter.cells, 2, seed=4), 0.0)
    image = np.full((480, 640, 3), 90, np.uint8)
    picture = draw_tracks(image, labelling.label_map, tracks_of(labelling, [7, 8]))
    assert (image == 90).all() and picture.shape == image.shape
    changed = (picture != 90).any(axis=2)
    inside = labelling.label_map > 0
    assert changed[inside].mean() > 0.99
    assert changed[~inside].mean() < 0.05    # only the texts
    with pytest.raises(ValueError, match='label map'):
        draw_tracks(image[:100], labelling.label_map, tracks_of(labelling, [7, 8]))
    assert np.array_equal(draw_tracks(image, np.zeros((480, 640), np.uint16), Tracks.empty()),
                          image)


def test_colours_are_stable_and_apart():
    colours = [np.array(track_colour(track)) for track in range(1, 13)]
    assert track_colour(5) == track_colour(5)
    gaps = [np.abs(a - b).max() for i, a in enumerate(colours) for b in colours[:i]]
    assert min(gaps) > 25


def test_contact_sheet():
    sheet = contact_sheet([np.full((100, 200, 3), 40 * i, np.uint8) for i in range(1, 6)],
                          columns=3, width=60)
    assert sheet.shape == (60, 180, 3)
    assert sheet[15, 90].tolist() == [80, 80, 80] and sheet[45, 150].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match='at least one'):
        contact_sheet([])
