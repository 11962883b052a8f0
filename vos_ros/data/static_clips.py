# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Turn still images into short clips with masks, to train a video object segmentation network.

A clip is one photograph seen by a moving camera, with cut-outs pasted over it that move on
their own and hide each other: every frame has an affine and a thin-plate warp, its own
exposure, blur, noise and compression. Some of the moving things are to be followed, the
others are distractors; a distractor may be a twin of a followed object.
(XMem section 4.2, stage 0, made richer: several objects, occlusion, look-alikes.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.data.clip_looks import develop
from vos_ros.data.clip_looks import tone_table
from vos_ros.data.clip_motion import Motion
from vos_ros.data.clip_motion import thin_plate_basis
from vos_ros.data.cutouts import Cutout
from vos_ros.data.instances import MaskedImage

# Pixels that a warp brings in from outside the picture get the ImageNet mean colour, which is
# zero after normalisation.
FILL = (124, 116, 104)

# Label maps are bytes; the numbers above these are for what is pasted.
MAX_INSTANCES = 239

# A clip that goes back covers half the way, and has to lose sight of things on it.
_RETURN_PACE = 4.0

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Still:
    """A photograph with its instances.

    rgb: uint8 [H, W, 3].
    labels: uint8 [H, W], 0 = no instance, i = instance i.
    """

    rgb: U8
    labels: U8

    @classmethod
    def from_masked(cls, image: MaskedImage, max_side: int = 512) -> 'Still':
        """Take a masked image, reduced so that its longer side is at most max_side pixels.

        Where masks overlap the smaller instance is in front.
        """
        height, width = image.rgb.shape[:2]
        labels = np.zeros((height, width), np.uint8)
        order = sorted(image.instances, key=lambda i: -int(i.mask.sum()))
        for number, instance in enumerate(order[:MAX_INSTANCES], 1):
            x, y = instance.corner
            h, w = instance.mask.shape
            labels[y:y + h, x:x + w][instance.mask > 0] = number
        rgb, scale = image.rgb, max_side / max(height, width)
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            rgb = _scaled(rgb, size, cv2.INTER_AREA)
            labels = _scaled(labels, size, cv2.INTER_NEAREST_EXACT)
        return cls(np.ascontiguousarray(rgb), np.ascontiguousarray(labels))


@dataclass(frozen=True)
class ClipConfig:
    """How clips are made; lengths are fractions of the clip's side.

    size: side of the square frames in pixels.
    frames: frames in a clip.
    sprites: at most so many cut-outs are pasted.
    twins: probability that a pasted cut-out is a twin of another one in the clip.
    motion: factor on all camera and sprite motion.
    warp: strength of the thin-plate warp.
    share: range of the size (square root of the area) at which an instance of the photograph is
        shown; at 1 and above it fills the frame, or more than the frame.
    sprite_share: the same of a pasted cut-out, which is at most 1.1 long and high.
    camouflage: probability that a pasted cut-out takes the colours and the contrast of what is
        behind it, so that only its border and its motion tell it apart.
    returns: probability that a clip of at least 4 frames goes fast and, from its middle on, back
        the way it came: much of what is seen first leaves the picture and comes back.
    """

    size: int = 224
    frames: int = 3
    sprites: int = 3
    twins: float = 0.25
    motion: float = 1.0
    warp: float = 0.03
    share: tuple[float, float] = (0.15, 0.7)
    sprite_share: tuple[float, float] = (0.12, 0.5)
    returns: float = 0.0
    camouflage: float = 0.0

    def __post_init__(self) -> None:
        """Check; raises ValueError naming the setting and its range."""
        for name in ('size', 'frames', 'sprites', 'twins', 'motion', 'warp'):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < np.inf:
                raise ValueError(f'clips.{name} {value!r}: a number of at least 0')
        if self.size < 32 or self.frames < 1:
            raise ValueError(
                f'clip size {self.size} (at least 32) or frames {self.frames} too small')
        for name in ('share', 'sprite_share'):
            value = getattr(self, name)
            if not isinstance(value, Sequence) or len(value) != 2 \
                    or not 0 < value[0] <= value[1] < np.inf:
                raise ValueError(f'clips.{name} {value}: two numbers above 0, the smaller first')
        for name in ('returns', 'camouflage'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'clips.{name} {getattr(self, name)}: from 0 to 1')


@dataclass(frozen=True)
class LabelledClip:
    """frames: uint8 [T, S, S, 3] RGB; labels: uint8 [T, S, S], 0 = background, 1..K = objects.

    void: bool [T, S, S], where there is an object that is not labelled; None = nowhere.
    """

    frames: U8
    labels: U8
    void: NDArray[np.bool_] | None = None


class StaticClips:
    """Make clips at random from photographs and cut-outs; the same generator, the same clip."""

    def __init__(
        self, stills: Sequence[Still], sprites: Sequence[Cutout], config: ClipConfig
    ) -> None:
        """Take the material.

        Raises ValueError when there is no photograph.
        """
        if not stills:
            raise ValueError('static clips need at least one photograph')
        self.stills = list(stills)
        self.sprites = list(sprites)
        self.config = config
        self._coarse = max(8, config.size // 8)
        self._basis = thin_plate_basis(4, self._coarse)
        grid = np.arange(config.size, dtype=np.float32)
        self._grid = np.stack(np.meshgrid(grid, grid), -1)

    def clip(self, rng: np.random.Generator, objects: int = 1, tries: int = 20) -> LabelledClip:
        """Make one clip with up to `objects` objects, at least one of them in the first frame."""
        for _ in range(tries):
            clip = self._attempt(rng, objects)
            if clip is not None:
                return clip
        raise ValueError(f'no object visible in the first frame after {tries} tries')

    def _attempt(self, rng: np.random.Generator, objects: int) -> LabelledClip | None:
        config = self.config
        size = config.size
        still = self._view(rng)
        count = 0
        if self.sprites and config.sprites:
            # Frames with nothing pasted keep the photograph's own objects in play.
            count = int(rng.choice(config.sprites + 1, p=_counts(config.sprites)))
        sprites = self._choose(rng, count)
        times = np.concatenate([[0.0], np.cumsum(rng.uniform(0.3, 1.4, config.frames - 1))])
        pace = config.motion * float(np.exp(rng.normal(0, 0.5)))
        if config.returns and config.frames > 3 and rng.random() < config.returns:
            times = np.minimum(times, times[::-1])
            pace *= _RETURN_PACE
        base = Motion.draw(rng, pace * 0.6, config.warp)
        layers: list[tuple[Cutout, Motion, NDArray[np.float64]]] = []
        for sprite in sprites:
            motion = Motion.draw(rng, pace, config.warp * 1.5)
            middle = rng.uniform(0.1, 0.9, 2) * size
            if layers and rng.random() < 0.4:
                # Start beside an earlier one and cross it: occlusion is the rule, not a rarity.
                other = layers[rng.integers(len(layers))]
                side = rng.normal(size=2)
                side *= rng.uniform(0.2, 0.5) * size / (np.linalg.norm(side) + 1e-6)
                middle = other[2] + side
                motion = replace(motion, velocity=-side / size * rng.uniform(0.3, 1.2))
            if config.camouflage and rng.random() < config.camouflage:
                sprite = _camouflaged(rng, sprite, still.rgb, middle - size / 2)
            layers.append((sprite, motion, middle))
        offset = 255 - len(layers)
        frames = np.empty((config.frames, size, size, 3), np.uint8)
        labels = np.empty((config.frames, size, size), np.uint8)
        for t, time in enumerate(times):
            grid = self._map(rng, base, time, (still.rgb.shape[1], still.rgb.shape[0]),
                             np.full(2, size / 2))
            frame = _sample(still.rgb, grid)
            label = _sample(still.labels, grid, cv2.INTER_NEAREST)
            for i, (sprite, motion, middle) in enumerate(layers):
                height, width = sprite.alpha.shape
                grid = self._map(rng, motion, time, (width, height), middle)
                self._paste(frame, label, sprite, grid, offset + i)
            frames[t], labels[t] = frame, label
        chosen = _choose_objects(rng, labels[0], objects, offset)
        if not len(chosen):
            return None
        table = np.zeros(256, np.uint8)
        table[chosen] = np.arange(1, len(chosen) + 1)
        return LabelledClip(develop(rng, frames), table[labels])

    def _view(self, rng: np.random.Generator) -> Still:
        """Crop a photograph around something, at a scale where it has a useful size."""
        size = self.config.size
        still = self.stills[rng.integers(len(self.stills))]
        height, width = still.labels.shape
        areas = np.bincount(still.labels.ravel())
        ids = np.nonzero(areas[1:] > 150)[0] + 1
        whole = size / min(height, width)
        if len(ids) and rng.random() < 0.85:
            weights = areas[ids] ** 0.5
            target = rng.choice(ids, p=weights / weights.sum())
            ys, xs = np.nonzero(still.labels == target)
            centre = np.array([xs.mean(), ys.mean()]) + rng.normal(0, 0.3, 2) * np.ptp(xs)
            wanted = rng.uniform(*self.config.share) * size / np.sqrt(areas[target])
            scale = float(np.clip(wanted, whole * 0.7, whole * 3.0))
        else:
            centre = rng.uniform(0.3, 0.7, 2) * (width, height)
            scale = whole * rng.uniform(0.8, 1.6)
        # A margin of half a frame round the view, for the camera to move into.
        half = size / scale
        x1, y1 = np.maximum((centre - half).astype(int), 0)
        x2, y2 = np.minimum((centre + half).astype(int), (width, height))
        x2, y2 = max(x2, x1 + 8), max(y2, y1 + 8)
        rgb, labels = still.rgb[y1:y2, x1:x2], still.labels[y1:y2, x1:x2]
        if rgb.size == 0:
            rgb, labels = still.rgb, still.labels
        shape = (max(8, round(rgb.shape[1] * scale)), max(8, round(rgb.shape[0] * scale)))
        rgb = _scaled(rgb, shape, cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        labels = _scaled(labels, shape, cv2.INTER_NEAREST_EXACT)
        if rng.random() < 0.5:
            rgb, labels = rgb[:, ::-1], labels[:, ::-1]
        return Still(np.ascontiguousarray(rgb), np.ascontiguousarray(labels))

    def _choose(self, rng: np.random.Generator, count: int) -> list[Cutout]:
        size = self.config.size
        chosen: list[Cutout] = []
        for _ in range(count):
            if chosen and rng.random() < self.config.twins:
                sprite = chosen[rng.integers(len(chosen))]
                scale = rng.uniform(0.8, 1.2)
            else:
                sprite = self.sprites[rng.integers(len(self.sprites))]
                area = float((sprite.alpha > 127).sum())
                scale = rng.uniform(*self.config.sprite_share) * size / max(np.sqrt(area), 1.0)
                scale = min(scale, 1.1 * size / max(sprite.alpha.shape))
            shape = tuple(max(4, round(n * scale)) for n in sprite.alpha.shape[::-1])
            kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            rgb = _scaled(sprite.rgb, shape, kind)
            alpha = _scaled(sprite.alpha, shape, kind)
            if rng.random() < 0.5:
                rgb, alpha = rgb[:, ::-1], alpha[:, ::-1]
            # Lit otherwise than the background, as things at another depth are.
            table = tone_table(rng, 0.15)
            rgb = np.asarray(cv2.LUT(np.ascontiguousarray(rgb), table), np.uint8)
            chosen.append(replace(sprite, rgb=rgb, alpha=np.ascontiguousarray(alpha)))
        return chosen

    def _map(
        self, rng: np.random.Generator, motion: 'Motion', time: float,
        shape: tuple[int, int], middle: NDArray[np.float64],
    ) -> F32:
        """Give for every output pixel the place to sample in a layer of the given (w, h)."""
        size = self.config.size
        forward = motion.matrix(rng, time, shape, middle, size)
        inverse = cv2.invertAffineTransform(forward).astype(np.float32)
        offsets = motion.warp(rng, time) * size
        field = (self._basis @ offsets.astype(np.float32)).reshape(self._coarse, self._coarse, 2)
        grid = self._grid + cv2.resize(field, (size, size), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.transform(grid, inverse), np.float32)

    def _paste(self, frame: U8, label: U8, sprite: Cutout, grid: F32, number: int) -> None:
        alpha = _sample(sprite.alpha, grid)
        x, y, width, height = cv2.boundingRect(alpha)
        if not width:
            return
        window = (slice(y, y + height), slice(x, x + width))
        alpha = alpha[window]
        rgb = _sample(sprite.rgb, np.ascontiguousarray(grid[window]), edge=cv2.BORDER_REPLICATE)
        weight = (alpha.astype(np.float32) / 255)[..., None]
        under = frame[window].astype(np.float32)
        frame[window] = (under + weight * (rgb - under)).astype(np.uint8)
        label[window][alpha > 127] = number


def _camouflaged(rng: np.random.Generator, sprite: Cutout, rgb: U8,
                 offset: NDArray[np.float64]) -> Cutout:
    """Give a cut-out the mean colour and at most the contrast of the picture behind it.

    offset: (x, y) of its middle from the middle of the picture.
    """
    height, width = sprite.alpha.shape
    x, y = (np.array(rgb.shape[1::-1]) / 2 + offset).astype(int)
    behind = rgb[max(0, y - height // 2):max(0, y + height // 2),
                 max(0, x - width // 2):max(0, x + width // 2)]
    inside = sprite.rgb[sprite.alpha > 127].astype(np.float32)
    if behind.size < 48 or not len(inside):
        return sprite
    pixels = behind.reshape(-1, 3).astype(np.float32)
    factor = np.clip(pixels.std() / (inside.std() + 1), 0.15, 1) * rng.uniform(0.5, 1)
    shift = pixels.mean(0) + rng.normal(0, 6, 3) - factor * inside.mean(0)
    return replace(sprite, rgb=np.clip(factor * sprite.rgb + shift, 0, 255).astype(np.uint8))


def _sample(
    layer: U8, grid: F32, kind: int = cv2.INTER_LINEAR, edge: int = cv2.BORDER_CONSTANT
) -> U8:
    """Look a layer up at the places of a grid [H, W, 2]."""
    fill = FILL if layer.ndim == 3 else (0, 0, 0)
    out = cv2.remap(layer, grid, None, kind, borderMode=edge,  # type: ignore[call-overload]
                    borderValue=fill)
    return out


def _scaled(picture: U8, shape: tuple[int, ...], kind: int) -> U8:
    """Resize to (width, height)."""
    return np.asarray(cv2.resize(picture, shape, interpolation=kind), np.uint8)


def _counts(most: int) -> NDArray[np.float64]:
    weights = np.array([0.8] + [1.0] * most)
    return weights / weights.sum()


def _choose_objects(
    rng: np.random.Generator, labels: U8, objects: int, offset: int
) -> NDArray[np.intp]:
    """Choose up to so many labels that can be seen in the first frame."""
    areas = np.bincount(labels.ravel(), minlength=offset + 1)
    # Smaller than about one cell of the stride-16 maps, an object teaches little.
    least = max(24, labels.size // 250)
    ids = np.nonzero(areas[1:] >= least)[0] + 1
    if not len(ids):
        return ids
    # Pasted things move on their own and are what the network has to learn to hold on to.
    weights = np.sqrt(areas[ids]) * np.where(ids >= offset, 2.0, 1.0)
    return rng.choice(ids, min(objects, len(ids)), replace=False, p=weights / weights.sum())
