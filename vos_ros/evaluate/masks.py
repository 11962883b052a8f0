# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""COCO mask AP and AR of anything that gives masks for an image, by pycocotools."""

from collections.abc import Callable
from collections.abc import Sequence
from contextlib import redirect_stdout
import io
import math
from typing import Any
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vos_ros.data.coco import annotation_mask
from vos_ros.data.coco import CocoImages
from vos_ros.runtime.guide import enlarge
from vos_ros.runtime.letterbox import facing
from vos_ros.runtime.letterbox import Letterbox
from vos_ros.tracking.bits import Bits
from vos_ros.tracking.bits import count
from vos_ros.tracking.bits import pack
from vos_ros.tracking.sieve import sigmoid
from vos_ros.tracking.sieve import votes

# SparseInst's inference rule, which MobileInst follows.
MASK_THRESHOLD = 0.45
KEEP_SCORE = 0.005
# Ours: Soft-NMS (Bodla et al. 2017), exp(-iou² / SOFTNESS) for every better mask. The published
# rule has none, for one-to-one matching makes one query answer for one object; of queries on a
# grid up to six do.
SOFTNESS = 1.0
# What the tracker does by its parameter vote_iou; chosen on training images.
VOTE_IOU = 0.6


class Queries(NamedTuple):
    """A network's answer: logits [N, C], objectness [N], mask logits [N, h, w], all float32.

    guide: [9 f f, h, w], what enlarges the masks, from a network that has such a part.
    """

    logits: NDArray[np.float32]
    objectness: NDArray[np.float32]
    masks: NDArray[np.float32]
    guide: NDArray[np.float32] | None = None


# Takes a letterboxed image uint8 [H, W, 3].
Network = Callable[[NDArray[np.uint8]], Queries]


class Detection(NamedTuple):
    """A mask as a run length code, its class index and its score."""

    code: dict[str, Any]
    class_id: int
    score: float


def detect(network: Network, rgb: NDArray[np.uint8], input_size: tuple[int, int],
           limit: int = 100, turns: bool = True) -> list[Detection]:
    """Find the instances of an image [H, W, 3]; at most `limit`, the best first.

    turns: whether the network takes its input turned, too, for pictures that stand.

    score = sqrt(class · objectness) · mean mask probability inside the mask, softened by overlap
    with better ones (see `soften`).  Masks that overlap one vote on it, as in the tracker.
    """
    size = (rgb.shape[0], rgb.shape[1])
    box = Letterbox(size, facing(input_size, size) if turns else input_size)
    found = network(box.apply(np.ascontiguousarray(rgb)))
    classes = sigmoid(found.logits)
    scores = np.sqrt(classes.max(1) * sigmoid(found.objectness))
    probability = sigmoid(found.masks)
    inside = probability > MASK_THRESHOLD
    areas = inside.sum((1, 2))
    scores = scores * (probability * inside).sum((1, 2)) / np.maximum(areas, 1)
    order = np.argsort(-scores, kind='stable')
    order = order[(scores[order] >= KEEP_SCORE) & (areas[order] > 0)]
    bits = pack(inside[order].reshape(len(order), inside[0].size))
    rows, softened = soften(bits, scores[order], limit)
    # Chosen ones vote, too: of copies of one object all but the best are chosen, and ranked low.
    weights = votes(bits, scores[order], rows, VOTE_IOU, on_each_other=True)
    masks = np.tensordot(weights, found.masks[order], 1)
    if found.guide is not None:
        masks = enlarge(masks, found.guide)
    out = []
    for row, voted, score in zip(order[rows], masks, softened, strict=True):
        # Logits, not probabilities, are interpolated: the border lies where it is sharpest.
        frame = box.mask_to_frame(voted, cv2.INTER_LINEAR)
        mask = frame > np.log(MASK_THRESHOLD / (1 - MASK_THRESHOLD))
        code = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        out.append(Detection(code, int(classes[row].argmax()), float(score)))
    return out


def soften(bits: Bits, scores: NDArray[np.float32],
           limit: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Choose up to `limit` masks one by one, the best first, lowering the score of what is left.

    bits: packed masks [n, bytes].  scores: [n].  The score of each mask falls by
    exp(-iou² / SOFTNESS) with every mask chosen before it. Returns rows and their scores.
    """
    areas = count(bits).astype(np.float32)
    scores, left = scores.copy(), np.arange(len(bits))
    chosen: list[int] = []
    while len(left) and len(chosen) < limit:
        place = int(scores[left].argmax())
        best = int(left[place])
        chosen.append(best)
        left = np.delete(left, place)
        shared = count(bits[left] & bits[best]).astype(np.float32)
        iou = shared / np.maximum(areas[left] + areas[best] - shared, 1)
        scores[left] *= np.exp(-iou * iou / np.float32(SOFTNESS))
    rows = np.array(chosen, np.intp)
    return rows, scores[rows]


def evaluate_masks(network: Network, data: CocoImages, input_size: tuple[int, int],
                   progress: Callable[[int], None] | None = None,
                   turns: bool = True, agnostic: bool = False) -> dict[str, float]:
    """Run the network over a COCO-style set and return AP and AR in 0..1.

    Keys: AP, AP50, AP75, APs, APm, APl, AR@1, AR@10, AR@100 with classes, and the same with
    `agnostic_` before it, where a mask of any class counts; images, instances, detections.
    NaN where there is nothing to be found, as APs in a set without small objects.
    data.classes must be the network's classes, in its order, unless agnostic is set, which
    leaves out the figures with classes.  turns: see `detect`.
    """
    detections: list[dict[str, Any]] = []
    ids = [entry['id'] for entry in data.images]
    for number, image in enumerate(data):
        for found in detect(network, image.rgb, input_size, turns=turns):
            detections.append({'image_id': ids[number], 'category_id': found.class_id + 1,
                               'segmentation': found.code, 'score': found.score})
        if progress is not None:
            progress(number + 1)
    return score_detections(data, ids, detections, agnostic)


def score_detections(data: CocoImages, ids: Sequence[int],
                     detections: list[dict[str, Any]],
                     agnostic: bool = False) -> dict[str, float]:
    """Compare detections (COCO results, category_id = class index + 1) with the annotations.

    Returns the figures of `evaluate_masks`.
    """
    truth = COCO()
    wanted = set(ids)
    with redirect_stdout(io.StringIO()):
        truth.dataset = {
            'info': {},
            'images': [e for e in data.images if e['id'] in wanted],
            'categories': [{'id': i + 1, 'name': n} for i, n in enumerate(data.classes)],
            # Numbered anew: pycocotools takes a match with an annotation of id 0 for none.
            'annotations': [_complete(a, number, data.class_of[a['category_id']] + 1, mask)
                            for number, a in enumerate(data.coco.dataset['annotations'], 1)
                            if a['image_id'] in wanted
                            for mask in [annotation_mask(data.coco, a)] if mask is not None]}
        truth.createIndex()
    figures = {}
    for prefix in ('agnostic_',) if agnostic else ('', 'agnostic_'):
        for key, value in _coco_eval(truth, ids, detections, bool(prefix)).items():
            figures[prefix + key] = value
    number = sum(not a.get('iscrowd') for a in truth.dataset['annotations'])
    return figures | {'images': float(len(ids)), 'instances': float(number),
                      'detections': float(len(detections))}


def _complete(annotation: dict[str, Any], number: int, category: int,
              mask: NDArray[np.uint8]) -> dict[str, Any]:
    """Return an annotation with what pycocotools needs and files may lack."""
    return {'iscrowd': 0, 'area': float(mask.sum()), **annotation, 'id': number,
            'category_id': category, 'segmentation': coco_mask.encode(np.asfortranarray(mask))}


def _coco_eval(truth: COCO, ids: Sequence[int], detections: list[dict[str, Any]],
               agnostic: bool) -> dict[str, float]:
    names = ('AP', 'AP50', 'AP75', 'APs', 'APm', 'APl', 'AR@1', 'AR@10', 'AR@100')
    with redirect_stdout(io.StringIO()):
        if detections:
            results = truth.loadRes([dict(d) for d in detections])
        else:       # which loadRes does not take
            results = COCO()
            results.dataset = {**truth.dataset, 'annotations': []}
            results.createIndex()
        run = COCOeval(truth, results, 'segm')
        run.params.imgIds = list(ids)
        run.params.useCats = 0 if agnostic else 1
        if agnostic:
            # Even then it takes only what is of one of these: the file's may be others than the
            # network's, and fewer.
            run.params.catIds = sorted({a['category_id'] for side in (truth, results)
                                        for a in side.dataset['annotations']})
        run.evaluate()
        run.accumulate()
        run.summarize()
    # COCO's -1: there is nothing to be found.
    return {name: float(value) if value >= 0 else math.nan
            for name, value in zip(names, run.stats, strict=False)}
