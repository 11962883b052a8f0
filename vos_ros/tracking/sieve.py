# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The loops over a key frame's masks: what they cover, which repeat another, what they agree on.

Twice: compiled (native/candidates.c), where the ROS 2 package was built, and with numpy for
everywhere else, which takes several times as long.  A mask is a row of `masks`, logits of cells,
float32 [queries, h, w], of which `rows` are looked at.
"""

from typing import NamedTuple
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.native import address
from vos_ros.runtime.native import compiled
from vos_ros.tracking.bits import Bits
from vos_ros.tracking.bits import count
from vos_ros.tracking.bits import pack

FloatArray = NDArray[np.float32]
Rows = NDArray[np.intp]

# A score of nothing must not leave a mask without any vote.
_LEAST_SCORE = np.float32(1e-3)
# What has at least this share of a mask is no detail of it.
_MAIN_PART = np.float32(0.2)


class Outlines(NamedTuple):
    """What n masks cover.

    bits: [n, words], the cells above the threshold.  areas: int64 [n], how many.  sums: float32
    [n], the sum of the probabilities there.
    """

    bits: Bits
    areas: NDArray[np.int64]
    sums: FloatArray

    def of(self, rows: Rows) -> 'Outlines':
        """Return some of them."""
        return Outlines(self.bits[rows], self.areas[rows], self.sums[rows])


class Ranking(NamedTuple):
    """What a key frame's queries are worth.

    probs: float32 [N, C], class probabilities.  scores: float32 [N], sqrt(class · objectness).
    rows: int [n], the queries to look at.
    """

    probs: FloatArray
    scores: FloatArray
    rows: Rows


class Sieve(Protocol):
    """Looks at the queries and the masks of one key frame."""

    def rank(self, logits: FloatArray, objectness: FloatArray, least: float, most: int) -> Ranking:
        """Score queries, logits [N, C] and [N]; rows: those from `least` on, the best `most`."""

    def outline(self, masks: FloatArray, rows: Rows, threshold: float) -> Outlines:
        """Say what masks cover; threshold: a logit."""

    def distinct(self, outlines: Outlines, iou: float, cover: float) -> Rows:
        """Return which of n outlines repeat no earlier one kept: see `distinct`."""

    def vote(self, masks: FloatArray, rows: Rows, outlines: Outlines, scores: FloatArray,
             kept: Rows, vote_iou: float) -> tuple[FloatArray, FloatArray]:
        """Let n masks vote on those kept: weights [k, n], see `votes`, and logits [k, h, w]."""


class PlainSieve:
    """By numpy."""

    def rank(self, logits: FloatArray, objectness: FloatArray, least: float, most: int) -> Ranking:
        """Score queries."""
        probs = sigmoid(logits)
        scores = np.sqrt(probs.max(axis=1) * sigmoid(objectness))
        rows = np.flatnonzero(scores >= least)
        if len(rows) > most:
            rows = np.sort(rows[np.argsort(-scores[rows], kind='stable')[:most]])
        return Ranking(probs, scores, rows)

    def outline(self, masks: FloatArray, rows: Rows, threshold: float) -> Outlines:
        """Say what masks cover."""
        cells = masks[rows].reshape(len(rows), masks.shape[1] * masks.shape[2])
        inside = cells > threshold
        bits = pack(inside)
        areas = count(bits)
        # The cells inside all masks in one row, so that the others are never computed.
        values = sigmoid(cells[inside])
        sums = np.zeros(len(rows), np.float32)
        filled = np.flatnonzero(areas)
        if len(filled):
            sums[filled] = np.add.reduceat(values, (np.cumsum(areas) - areas)[filled])
        return Outlines(bits, areas, sums)

    def distinct(self, outlines: Outlines, iou: float, cover: float) -> Rows:
        """Return which outlines repeat no earlier one."""
        return distinct(outlines.bits, iou, cover)

    def vote(self, masks: FloatArray, rows: Rows, outlines: Outlines, scores: FloatArray,
             kept: Rows, vote_iou: float) -> tuple[FloatArray, FloatArray]:
        """Let masks vote on those kept."""
        weights = votes(outlines.bits, scores, kept, vote_iou)
        voters = np.flatnonzero(weights.any(axis=0))
        height, width = masks.shape[1:]
        cells = masks[rows[voters]].reshape(len(voters), height * width)
        return weights, (weights[:, voters] @ cells).reshape(len(kept), height, width)


class NativeSieve:
    """The compiled loops; only where ``compiled()`` is not None."""

    def __init__(self) -> None:
        """Look the functions up."""
        self._compiled = compiled()

    def rank(self, logits: FloatArray, objectness: FloatArray, least: float, most: int) -> Ranking:
        """Score queries."""
        logits, objectness = np.ascontiguousarray(logits), np.ascontiguousarray(objectness)
        probs, scores = np.empty_like(logits), np.empty(len(logits), np.float32)
        rows = np.empty(len(logits), np.int32)
        count = self._compiled.vos_ros_rank(
            address(logits), address(objectness), *logits.shape, least,
            most, address(probs), address(scores), address(rows))
        return Ranking(probs, scores, rows[:count].astype(np.intp))

    def outline(self, masks: FloatArray, rows: Rows, threshold: float) -> Outlines:
        """Say what masks cover."""
        n, (_, height, width) = len(rows), masks.shape
        bits = np.empty((n, -(-height * width // 64)), np.uint64)
        areas, sums = np.empty(n, np.int32), np.empty(n, np.float32)
        chosen, line = rows.astype(np.int32), np.empty(height * width + 8, np.float32)
        self._compiled.vos_ros_outline(
            *_laid_out(masks), address(chosen), n, threshold, 8 * bits.shape[1], address(bits),
            address(areas), address(sums), address(line))
        return Outlines(bits, areas.astype(np.int64), sums)

    def distinct(self, outlines: Outlines, iou: float, cover: float) -> Rows:
        """Return which outlines repeat no earlier one."""
        bits = np.ascontiguousarray(outlines.bits)
        areas = outlines.areas.astype(np.int32)
        kept, dropped = np.empty(len(bits), np.int32), np.zeros(len(bits), np.uint8)
        length = self._compiled.vos_ros_distinct(
            address(bits), address(areas), *bits.shape, iou, cover, address(kept),
            address(dropped))
        return kept[:length].astype(np.intp)

    def vote(self, masks: FloatArray, rows: Rows, outlines: Outlines, scores: FloatArray,
             kept: Rows, vote_iou: float) -> tuple[FloatArray, FloatArray]:
        """Let masks vote on those kept."""
        bits, chosen = np.ascontiguousarray(outlines.bits), rows.astype(np.int32)
        areas, winners = outlines.areas.astype(np.int32), kept.astype(np.int32)
        strengths = np.maximum(scores, _LEAST_SCORE) ** 2
        weights = np.empty((len(kept), len(rows)), np.float32)
        logits = np.empty((len(kept), *masks.shape[1:]), np.float32)
        self._compiled.vos_ros_vote(
            *_laid_out(masks), address(chosen), len(rows), address(bits), address(areas),
            bits.shape[1], address(strengths), address(winners), len(kept), vote_iou,
            address(weights), address(logits))
        return weights, logits


def sigmoid(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(-x)), without overflow for any float32."""
    return np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1))


def make_sieve() -> Sieve:
    """Return the compiled sieve where it is there."""
    return PlainSieve() if compiled() is None else NativeSieve()


def distinct(bits: Bits, iou: float, cover: float) -> Rows:
    """Return the rows of masks that repeat no earlier row kept: greedy, so sort the best first.

    A mask repeats one whose IoU with it reaches `iou`, or in which a share `cover` of it lies.
    MobileInst's matching makes one query answer for one instance and needs no suppression; weights
    from little data still double up at times.
    """
    kept: list[int] = []
    areas = count(bits).astype(np.float32)
    left = np.arange(len(bits))
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        shared = count(bits[left] & bits[best]).astype(np.float32)
        left = left[~repeats(shared, areas[left], areas[best], iou, cover)]
    return np.array(kept, np.intp)


def votes(bits: Bits, scores: FloatArray, chosen: Rows, vote_iou: float,
          on_each_other: bool = False) -> FloatArray:
    """Return the weights float32 [k, n] by which n masks make up the k that were chosen of them.

    Queries on a grid answer for one object several times, each a little wrong in a way of its own.
    Those whose masks overlap a chosen one by ``vote_iou`` vote on it, by overlap and squared
    score. Masks are kernels times features, so the mean of the kernels is that of the masks.
    on_each_other: whether the chosen ones vote on one another, too.
    """
    areas = count(bits).astype(np.float32)
    shared = count(bits[chosen][:, None] & bits[None]).astype(np.float32)
    iou = shared / (areas[chosen][:, None] + areas - shared).clip(1)
    strength = np.maximum(scores, _LEAST_SCORE) ** 2
    weights = np.where(iou >= vote_iou, iou * strength, np.float32(0))
    if not on_each_other:
        weights[:, chosen] = 0
    weights[np.arange(len(chosen)), chosen] = strength[chosen]
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def repeats(
        shared: FloatArray, area: FloatArray, areas: FloatArray, iou: float, cover: float,
        ) -> NDArray[np.bool_]:
    """Say where a mask of an area is a duplicate of another, from the cells they share."""
    return (shared / (area + areas - shared).clip(1) >= iou) \
        | (shared >= cover * np.maximum(area, 1))


def swallows(
        shared: FloatArray, area: FloatArray, areas: FloatArray, cover: float,
        ) -> NDArray[np.bool_]:
    """Say where a mask of an area covers more than `cover` of another that is a main part of it.

    From the cells they share and the other's areas; no mask does from a cover of 1 on.
    """
    return (shared > cover * areas) & (areas >= _MAIN_PART * area)


def _laid_out(masks: FloatArray) -> tuple[int, int, int, int, int]:
    """Return where masks lie: address, floats from mask to mask and row to row, rows, columns."""
    if masks.dtype != np.float32 or masks.strides[2] != masks.itemsize:
        raise ValueError(f'masks are {masks.dtype} with strides {masks.strides}: must be float32, '
                         'the cells of a row side by side')
    return (address(masks), masks.strides[0] // masks.itemsize,
            masks.strides[1] // masks.itemsize, masks.shape[1], masks.shape[2])
