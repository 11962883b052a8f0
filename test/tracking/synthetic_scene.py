# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Scenes of discs, in the form that a network would give them to the tracker.

Each disc has a kernel of its own; the mask features of a frame are made so that this kernel,
multiplied with them, gives the disc's mask logits there.  Everything behind the network's output
is the real code.
"""

from dataclasses import dataclass
from dataclasses import field

import numpy as np

from vos_ros.runtime.mobileinst import KeyOutput
from vos_ros.tracking.tracks import TrackState

MASK_SIZE = (24, 32)
INPUT_SIZE = (192, 256)
DIM = 48
QUERIES = 20
ABSENT = -8.0


@dataclass
class Disc:
    """at: frame → (row, column) of the centre in mask cells, or None while it is not there.

    Of two discs the later in the list lies in front.  seen: frame → whether a keyframe's decoder
    finds it (its kernel works in any case).  repeats: queries that answer for it.
    """

    kernel: np.ndarray
    at: object
    radius: float = 4.0
    score: float = 0.9
    class_id: int = 0
    seen: object = lambda frame: True
    repeats: int = 1


@dataclass
class Scene:
    """A network whose frames show discs; ``frame`` counts the calls."""

    discs: list
    noise: float = 0.05
    input_size: tuple = INPUT_SIZE
    mask_size: tuple = MASK_SIZE
    enlargement: int = 1
    classes: tuple = ('disc', 'ring')
    frame: int = -1
    key_frames: list = field(default_factory=list)
    reused: list = field(default_factory=list)

    def __post_init__(self):
        self.rng = np.random.default_rng(7)

    def masks(self):
        """Return each disc's mask logits in the current frame, [n, h, w]."""
        rows, columns = np.mgrid[:self.mask_size[0], :self.mask_size[1]]
        logits = np.full((len(self.discs), *self.mask_size), ABSENT, np.float32)
        for index, disc in enumerate(self.discs):
            centre = disc.at(self.frame)
            if centre is None:
                continue
            logits[index] = 2 * (disc.radius - np.hypot(rows - centre[0], columns - centre[1]))
            logits[:index, logits[index] > 0] = ABSENT
        return logits.clip(ABSENT, -ABSENT)

    def features(self):
        kernels = np.stack([disc.kernel for disc in self.discs])
        flat = np.linalg.pinv(kernels) @ self.masks().reshape(len(self.discs), -1)
        return flat.astype(np.float32).reshape(DIM, *self.mask_size)

    def key(self, image):
        assert image.shape == (*self.input_size, 3)
        self.frame += 1
        self.key_frames.append(self.frame)
        features = self.features()
        logits = np.full((QUERIES, len(self.classes)), -6, np.float32)
        objectness = np.full(QUERIES, -6, np.float32)
        kernels = 0.01 * self.rng.normal(size=(QUERIES, DIM)).astype(np.float32)
        rows = iter(self.rng.permutation(QUERIES))
        for disc in self.discs:
            if disc.at(self.frame) is None or not disc.seen(self.frame):
                continue
            for _ in range(disc.repeats):
                row = next(rows)
                logits[row, disc.class_id] = np.log(disc.score / (1 - disc.score))
                objectness[row] = np.log(disc.score / (1 - disc.score))
                shake = self.rng.normal(size=DIM) * np.linalg.norm(disc.kernel) / DIM ** 0.5
                kernels[row] = disc.kernel + self.noise * shake
        masks = np.tensordot(kernels, features, 1)
        return KeyOutput(logits, objectness, kernels, masks, features)

    def reuse(self, image, kernels, context=None):
        assert image.shape == (*self.input_size, 3)
        self.frame += 1
        self.reused.append(len(kernels))
        if not len(kernels):
            return np.zeros((0, *self.mask_size), np.float32)
        return np.tensordot(kernels, self.features(), 1)


class Apart(Scene):
    """Discs that do not hide each other."""

    def masks(self):
        rows, columns = np.mgrid[:self.mask_size[0], :self.mask_size[1]]
        return np.array([np.clip(2 * (disc.radius - np.hypot(
            rows - disc.at(self.frame)[0], columns - disc.at(self.frame)[1])), ABSENT, -ABSENT)
            for disc in self.discs], np.float32)


def kernels(count, alike=0.0):
    """Return unit kernels [count, DIM] that have about the cosine ``alike`` with each other."""
    rng = np.random.default_rng(count)
    basis = np.linalg.qr(rng.normal(size=(DIM, count + 1)))[0].T
    mixed = alike ** 0.5 * basis[0] + (1 - alike) ** 0.5 * basis[1:]
    return mixed.astype(np.float32)


def blank(height=192, width=256):
    return np.zeros((height, width, 3), np.uint8)


def id_at(result, row, column):
    """Return the id shown at a mask cell, frames being as large as the network's input."""
    return int(result.label_map[int(row * 8 + 4), int(column * 8 + 4)])


def still(row, column):
    """Return a place in mask cells where a disc stays."""
    return lambda frame: (row, column)


def states(result):
    """Return the states of a result's tracks by id."""
    return {int(i): TrackState(s)
            for i, s in zip(result.tracks.ids, result.tracks.states, strict=True)}


def run(tracker, count):
    """Return the results of so many frames."""
    return [tracker.step(blank()) for _ in range(count)]
