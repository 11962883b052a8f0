# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Small data sets in the layouts of the official ones, drawn by the tests."""

import json

import cv2
import numpy as np

CATEGORIES = [
    {'id': 1, 'name': 'person', 'supercategory': 'person'},
    {'id': 18, 'name': 'dog', 'supercategory': 'animal'},
]


def draw_disc(shape, centre, radius):
    """A disc as a mask uint8 [H, W]."""
    return cv2.circle(np.zeros(shape, np.uint8), centre, radius, 1, -1)


def texture(rng, shape, base):
    """A coloured, grainy surface uint8 [H, W, 3]."""
    noise = rng.integers(-25, 25, (*shape, 3))
    return np.clip(np.asarray(base) + noise, 0, 255).astype(np.uint8)


def polygon(mask):
    """A mask's outline in COCO's form."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return [outline.reshape(-1).tolist() for outline in outlines]


def coco_folder(root, count=6, seed=0, shape=(96, 128)):
    """Write `count` images of a red disc (person) and a blue disc (dog); return both paths."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    (root / 'images').mkdir(parents=True)
    for i in range(count):
        rgb = texture(rng, shape, (90, 120, 90))
        for category, colour, centre in (
                (1, (200, 40, 40), (32, 48)), (18, (40, 40, 200), (92, 48))):
            middle = tuple(int(c) for c in np.asarray(centre) + rng.integers(-8, 9, 2))
            mask = draw_disc(shape, middle, int(rng.integers(16, 24)))
            rgb[mask > 0] = texture(rng, shape, colour)[mask > 0]
            ys, xs = np.nonzero(mask)
            annotations.append({
                'id': len(annotations) + 1, 'image_id': i + 1, 'category_id': category,
                'iscrowd': 0, 'area': int(mask.sum()), 'segmentation': polygon(mask),
                'bbox': [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]})
        name = f'{i + 1:012d}.png'
        cv2.imwrite(str(root / 'images' / name), rgb[..., ::-1])
        images.append({'id': i + 1, 'file_name': name, 'height': shape[0], 'width': shape[1]})
    path = root / 'instances.json'
    path.write_text(json.dumps(
        {'images': images, 'annotations': annotations, 'categories': CATEGORIES}))
    return root / 'images', path


def ytvis_folder(root, frames=4, shape=(64, 96)):
    """Write one video in which a disc moves right and a second one is gone after two frames."""
    rng = np.random.default_rng(3)
    names, tracks = [], [[], []]
    (root / 'JPEGImages' / 'clip').mkdir(parents=True)
    for t in range(frames):
        rgb = texture(rng, shape, (90, 120, 90))
        first = draw_disc(shape, (20 + 6 * t, 32), 12)
        second = draw_disc(shape, (76, 32), 10) if t < 2 else None
        rgb[first > 0] = (200, 40, 40)
        if second is not None:
            rgb[second > 0] = (40, 40, 200)
        names.append(f'clip/{t:05d}.png')
        cv2.imwrite(str(root / 'JPEGImages' / names[-1]), rgb[..., ::-1])
        tracks[0].append(polygon(first))
        # Official files hold uncompressed run lengths; one track of each form here.
        tracks[1].append(None if second is None else run_lengths(second))
    path = root / 'instances.json'
    path.write_text(json.dumps({
        'categories': [{'id': 1, 'name': 'person'}, {'id': 26, 'name': 'dog'}],
        'videos': [{'id': 7, 'file_names': names, 'height': shape[0], 'width': shape[1],
                    'length': frames}],
        'annotations': [
            {'id': i + 1, 'video_id': 7, 'category_id': category, 'iscrowd': 0,
             'segmentations': tracks[i]} for i, category in enumerate((26, 1))]}))
    return root / 'JPEGImages', path


def run_lengths(mask):
    """COCO's uncompressed run lengths of a mask."""
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    if flat[0]:
        counts = [0, *counts]
    return {'counts': counts, 'size': list(mask.shape)}


def halve(path):
    """Leave half of a file, as an interrupted copy does."""
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
