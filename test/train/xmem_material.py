# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A tiny XMem, and pictures to train it on."""

import json

import cv2
import numpy as np

TINY = {'base': 'lite', 'value_dim': 16, 'hidden_dim': 8, 'value_stem': 8,
        'value_widths': [8, 8, 16], 'fuse_dim': 16, 'up8_dim': 16, 'up4_dim': 8, 'update_dim': 8}


def write_coco(folder, ids):
    """Write small pictures with one rectangle each in COCO's format."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for i in ids:
        image = cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (160, 120))
        cv2.imwrite(str(folder / f'{i}.jpg'), image)
        images.append({'id': i, 'file_name': f'{i}.jpg', 'height': 120, 'width': 160})
        annotations.append({
            'id': i, 'image_id': i, 'category_id': 1, 'iscrowd': 0, 'area': 3000,
            'bbox': [40, 30, 60, 50], 'segmentation': [[40, 30, 100, 30, 100, 80, 40, 80]]})
    (folder / 'instances.json').write_text(json.dumps({
        'images': images, 'annotations': annotations,
        'categories': [{'id': 1, 'name': 'thing', 'supercategory': 'thing'}]}))
