# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training images from few: scale jitter, flips, turns, heavy copy-paste, colour."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vos_ros.data.compose import blend
from vos_ros.data.compose import MEAN_COLOUR
from vos_ros.data.compose import place
from vos_ros.data.compose import similarity
from vos_ros.data.compose import warp_image
from vos_ros.data.cutouts import Cutout
from vos_ros.data.instances import ImageSample
from vos_ros.data.instances import Instance
from vos_ros.data.instances import MaskedImage
from vos_ros.data.photometry import degrade
from vos_ros.data.photometry import Look


@dataclass(frozen=True)
class AugmentConfig:
    """How much of what.

    height, width: size of the sample, pixels.
    scale: range of the image's size relative to just fitting into the sample.
    turn: largest rotation in degrees.
    pastes: at most so many cut-outs; their number is drawn evenly from 0 to this.
    paste_size: range of the square root of a cut-out's box area, as a share of the short side.
    colour: strength of the photometric changes.
    min_area: objects with fewer visible pixels are not asked for.
    min_visible: nor those of which a smaller share than this is inside and uncovered.
    """

    height: int = 320
    width: int = 448
    scale: tuple[float, float] = (0.7, 2.0)
    turn: float = 8.0
    pastes: int = 6
    paste_size: tuple[float, float] = (0.08, 0.7)
    colour: float = 1.0
    min_area: int = 100
    min_visible: float = 0.15

    def __post_init__(self) -> None:
        """Check; raises ValueError naming the setting and its range."""
        check_ranges(self, ('scale', 'paste_size'))
        check_least(self, ('turn', 'pastes', 'colour', 'min_area', 'min_visible'))


def check_ranges(config: object, names: Sequence[str]) -> None:
    """Raise ValueError naming a setting that is not two numbers above 0, the smaller first."""
    for name in names:
        low, high = getattr(config, name)
        if not 0 < low <= high < np.inf:
            raise ValueError(f'{name} [{low}, {high}]: two numbers above 0, the smaller first')


def check_least(config: object, names: Sequence[str]) -> None:
    """Raise ValueError naming a setting that is less than 0 or no number."""
    for name in names:
        if not 0 <= getattr(config, name) < np.inf:
            raise ValueError(f'{name} {getattr(config, name)}: a number of at least 0')


class CutoutChooser:
    """Draws cut-outs so that rare classes come up, without letting them take over."""

    def __init__(self, cutouts: Sequence[Cutout]) -> None:
        """Weigh each cut-out by one over the square root of its class's count."""
        self.cutouts = list(cutouts)
        classes = np.array([c.class_id for c in self.cutouts], int)
        if len(classes):
            weights = 1 / np.sqrt(np.bincount(classes))[classes]
            self._cumulative = np.cumsum(weights / weights.sum())

    def __bool__(self) -> bool:
        """Tell whether there is anything to draw."""
        return bool(self.cutouts)

    def draw(self, rng: np.random.Generator) -> Cutout:
        """Return one of the cut-outs."""
        index = int(np.searchsorted(self._cumulative, rng.random(), side='right'))
        return self.cutouts[min(index, len(self.cutouts) - 1)]


class Augmenter:
    """Makes training samples; the same generator state, the same sample."""

    def __init__(self, cutouts: Sequence[Cutout], config: AugmentConfig) -> None:
        """Take the cut-outs to paste (may be none)."""
        self.config = config
        self.chooser = CutoutChooser(cutouts)

    def sample(self, rng: np.random.Generator, image: MaskedImage) -> ImageSample:
        """Turn a masked image into a training sample of the configured size."""
        config = self.config
        height, width = config.height, config.width
        matrix = self._view(rng, image)
        rgb = Look(rng, config.colour).apply(warp_image(image.rgb, matrix, height, width))
        # The padding keeps its colour, as the letterbox at run time has it.
        inside = np.full(image.rgb.shape[:2], 255, np.uint8)
        rgb[cv2.warpAffine(inside, matrix, (width, height), flags=cv2.INTER_NEAREST) == 0] = (
            MEAN_COLOUR)
        masks, classes, areas = [], [], []
        for instance in image.instances:
            masks.append(self._warped(instance, matrix))
            classes.append(instance.class_id)
            # What share is inside is judged against the area the whole object would have.
            areas.append(instance.mask.sum() * abs(np.linalg.det(matrix[:, :2])))
        void = np.zeros((height, width), np.bool_) if image.crowds else None
        for crowd in image.crowds:
            void |= self._warped(crowd, matrix) != 0
        count = int(rng.integers(config.pastes + 1)) if self.chooser else 0
        for _ in range(count):
            placed = self._paste(rng, rgb)
            if placed is None:
                continue
            mask, class_id, area = placed
            for lower in masks:
                lower[mask != 0] = 0
            if void is not None:
                void[mask != 0] = False
            masks.append(mask)
            classes.append(class_id)
            areas.append(area)
        rgb = degrade(rng, rgb, config.colour)
        keep = [i for i, mask in enumerate(masks)
                if int(mask.sum()) >= max(config.min_area, config.min_visible * areas[i])]
        stack = np.zeros((len(keep), height, width), np.uint8)
        for row, i in enumerate(keep):
            stack[row] = masks[i]
        return ImageSample(rgb, stack, np.array([classes[i] for i in keep], np.int64), void)

    def _warped(self, instance: Instance, matrix: np.ndarray) -> np.ndarray:
        """Return an instance's mask where the map [2, 3] of its image takes it."""
        offset = matrix.copy()
        offset[:, 2] += offset[:, :2] @ np.asarray(instance.corner, np.float32)
        return cv2.warpAffine(instance.mask, offset, (self.config.width, self.config.height),
                              flags=cv2.INTER_NEAREST)

    def _view(self, rng: np.random.Generator, image: MaskedImage) -> np.ndarray:
        """Draw the crop: scaled around a random point, an instance's middle half of the time."""
        config = self.config
        h, w = image.rgb.shape[:2]
        fit = min(config.height / h, config.width / w)
        scale = fit * float(np.exp(rng.uniform(*np.log(config.scale))))
        # Where the scaled image is larger than the sample it is cropped, else it is placed.
        target = np.array([config.width / 2, config.height / 2])
        slack = np.abs(np.array([w, h]) * scale - (config.width, config.height)) / 2
        source = np.array([w / 2, h / 2])
        if scale > fit and image.instances and rng.random() < 0.5:
            chosen = image.instances[int(rng.integers(len(image.instances)))]
            middle = (np.array(chosen.corner)
                      + np.array(chosen.mask.shape[::-1]) / 2 + rng.normal(0, 20, 2))
            shift = np.clip((middle - source) * scale, -slack, slack)
            source = source + shift / scale
        else:
            target = target + rng.uniform(-slack, slack)
        angle = np.deg2rad(config.turn) * rng.uniform(-1, 1) * (rng.random() < 0.5)
        return similarity(scale, float(angle), bool(rng.random() < 0.5),
                          (source[0], source[1]), (target[0], target[1]))

    def _paste(self, rng: np.random.Generator, rgb: np.ndarray,
               ) -> tuple[np.ndarray, int, float] | None:
        config = self.config
        height, width = config.height, config.width
        cutout = self.chooser.draw(rng)
        h, w = cutout.alpha.shape
        side = min(height, width) * float(np.exp(rng.uniform(*np.log(config.paste_size))))
        scale = min(side / np.sqrt(h * w), 2.5)
        matrix = similarity(
            scale, float(rng.normal(0, 0.15)), bool(rng.random() < 0.5), (w / 2, h / 2),
            (float(rng.uniform(0, width)), float(rng.uniform(0, height))))
        placed = place(cutout, matrix, height, width)
        if placed is None:
            return None
        colour, alpha, (x, y) = placed
        colour = Look(rng, 0.7 * config.colour).apply(colour)
        if rng.random() < 0.15:
            alpha = (alpha * rng.uniform(0.75, 1)).astype(np.uint8)
        blend(rgb, colour, alpha, (x, y))
        mask = np.zeros((height, width), np.uint8)
        mask[y:y + alpha.shape[0], x:x + alpha.shape[1]] = alpha > 100
        return mask, cutout.class_id, float((cutout.alpha > 127).sum()) * scale * scale
