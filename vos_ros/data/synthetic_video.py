# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Video made of photographs: cut-outs that move, turn, hide each other, leave and come back.

The background is a photograph (its own instances are objects too) seen by a camera that pans,
zooms, turns and shakes; cut-outs move on their own over it. Masks and ids are exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math

import cv2
import numpy as np

from vos_ros.data.augment import check_least
from vos_ros.data.augment import check_ranges
from vos_ros.data.augment import CutoutChooser
from vos_ros.data.compose import blend
from vos_ros.data.compose import chain
from vos_ros.data.compose import F32
from vos_ros.data.compose import place
from vos_ros.data.compose import similarity
from vos_ros.data.compose import warp_image
from vos_ros.data.cutouts import Cutout
from vos_ros.data.instances import Clip
from vos_ros.data.instances import MaskedImage
from vos_ros.data.photometry import degrade
from vos_ros.data.photometry import Look
from vos_ros.data.photometry import motion_blur


@dataclass(frozen=True)
class VideoConfig:
    """How a clip is made.

    height, width: of the frames, pixels.
    objects: (fewest, most) pasted objects.
    size: range of the square root of a pasted object's box area, as a share of the short side.
    speed: typical motion a frame of an object, as a share of the short side.
    camera: typical motion a frame of the camera, likewise.
    leave: probability that an object's path leads out of the picture and back.
    static: probability that the camera stands still.
    colour: strength of photometric changes; 0 leaves colours alone.
    blur: exposure time as a share of the frame interval; 0 = no motion blur.
    """

    height: int = 320
    width: int = 448
    objects: tuple[int, int] = (2, 6)
    size: tuple[float, float] = (0.12, 0.6)
    speed: float = 0.012
    camera: float = 0.004
    leave: float = 0.3
    static: float = 0.3
    colour: float = 1.0
    blur: float = 0.5

    def __post_init__(self) -> None:
        """Check; raises ValueError naming the setting and its range."""
        if not 0 <= self.objects[0] <= self.objects[1]:
            raise ValueError(f'objects {list(self.objects)}: two numbers of at least 0, the '
                             'smaller first')
        check_ranges(self, ('size',))
        check_least(self, ('speed', 'camera', 'leave', 'static', 'colour', 'blur'))


@dataclass(frozen=True)
class Wave:
    """A smooth course over time: start + slope t + amplitude sin(pace t + phase)."""

    start: float
    slope: float
    amplitude: float
    pace: float
    phase: float

    def __call__(self, time: float) -> float:
        """Return the value at a time (frames)."""
        return (self.start + self.slope * time
                + self.amplitude * (math.sin(self.pace * time + self.phase)
                                    - math.sin(self.phase)))


@dataclass(frozen=True)
class Actor:
    """A cut-out and its course: centre x, y (world pixels), log scale, angle (radians)."""

    cutout: Cutout
    flip: bool
    x: Wave
    y: Wave
    log_scale: Wave
    angle: Wave
    look: Look

    def matrix(self, time: float) -> F32:
        """Return the map [2, 3] from the cut-out to the world at a time."""
        h, w = self.cutout.alpha.shape
        return similarity(math.exp(self.log_scale(time)), self.angle(time), self.flip,
                          (w / 2, h / 2), (self.x(time), self.y(time)))


class Scene:
    """One drawn scene; any of its frames can be rendered, in any order, always alike.

    classes: int64 [K]; objects 1..k are those of the background photograph (lowest first), the
    rest the pasted ones, each lying over all before it.
    """

    def __init__(self, seed: int | Sequence[int], background: MaskedImage,
                 cutouts: CutoutChooser, config: VideoConfig) -> None:
        """Draw everything that is random, but for the sensor noise of each frame."""
        rng = np.random.default_rng(seed)
        self._noise = int(rng.integers(2 ** 31))
        self.config = config
        self.background = background
        self.look = Look(rng, config.colour)
        self._flicker = Wave(1.0, 0.0, float(rng.uniform(0, 0.05)) * config.colour,
                             float(rng.uniform(0.05, 0.6)), float(rng.uniform(0, 6.3)))
        # Larger ones lower, as in a photograph where what is in front is rarely the larger mask.
        self._own = sorted(background.instances, key=lambda i: -int(i.mask.sum()))
        self._camera(rng)
        count = int(rng.integers(config.objects[0], config.objects[1] + 1)) if cutouts else 0
        self.actors = [self._actor(rng, cutouts.draw(rng)) for _ in range(count)]
        self.classes = np.array([i.class_id for i in self._own]
                                + [a.cutout.class_id for a in self.actors], np.int64)
        self._labels = self._own_labels()

    def _camera(self, rng: np.random.Generator) -> None:
        config = self.config
        h, w = self.background.rgb.shape[:2]
        side = min(config.height, config.width)
        pace = config.camera * side * (rng.random() >= config.static)
        fill = max(config.height / h, config.width / w)
        zoom = fill * float(rng.uniform(1.0, 1.35))
        self.view = (
            _wave(rng, w / 2, pace / zoom, 3 * pace / zoom),
            _wave(rng, h / 2, 0.6 * pace / zoom, 3 * pace / zoom),
            _wave(rng, math.log(zoom), 0.15 * pace / side, 1.5 * pace / side),
            _wave(rng, 0.0, 0.1 * pace / side, 2 * pace / side))
        self._shake = float(rng.uniform(0, 0.2)) * pace

    def world_to_frame(self, time: float) -> F32:
        """Return the camera's map [2, 3] from the background's pixels to the frame's."""
        config = self.config
        x, y, zoom, angle = (wave(time) for wave in self.view)
        shake = np.random.default_rng([self._noise, int(time)]).normal(0, self._shake, 2)
        return similarity(math.exp(zoom), angle, False, (x, y),
                          (config.width / 2 + shake[0], config.height / 2 + shake[1]))

    def _actor(self, rng: np.random.Generator, cutout: Cutout) -> Actor:
        """Draw a cut-out's course, in the frame of the camera at time 0 laid over the world."""
        config = self.config
        side = min(config.height, config.width)
        zoom = math.exp(self.view[2](0))
        h, w = cutout.alpha.shape
        size = side * math.exp(rng.uniform(*np.log(config.size)))
        scale = min(size / math.sqrt(h * w), 2.5) / zoom
        middle = np.array([self.view[0](0), self.view[1](0)])
        extent = np.array([config.width, config.height]) / zoom
        start = middle + rng.uniform(-0.45, 0.45, 2) * extent
        speed = config.speed * side / zoom * float(np.exp(rng.normal(0, 0.6)))
        if rng.random() < config.leave:
            # Out through the nearer side and back: a swing wider than the way to the border.
            way = math.copysign(1.0, start[0] - middle[0])
            need = way * (middle[0] + way * extent[0] / 2 - start[0]) + w * scale * 0.8
            reach = float(need * rng.uniform(0.55, 0.8))
            pace = float(np.clip(2.5 * speed / max(reach, 1), 0.02, 0.4))
            x = Wave(start[0], 0.0, way * reach, pace, -math.pi / 2)
        else:
            x = _wave(rng, start[0], speed, 4 * speed)
        return Actor(
            cutout, bool(rng.random() < 0.5), x, _wave(rng, start[1], 0.5 * speed, 3 * speed),
            _wave(rng, math.log(scale), 0.004, 0.08),
            _wave(rng, float(rng.normal(0, 0.12)), 0.004, 0.08), Look(rng, 0.7 * config.colour))

    def _own_labels(self) -> np.ndarray:
        h, w = self.background.rgb.shape[:2]
        labels = np.zeros((h, w), np.uint16)
        for number, instance in enumerate(self._own, 1):
            x, y = instance.corner
            part = labels[y:y + instance.mask.shape[0], x:x + instance.mask.shape[1]]
            part[instance.mask != 0] = number
        return labels

    def frame(self, time: int) -> tuple[np.ndarray, np.ndarray]:
        """Render frame `time`: rgb uint8 [H, W, 3] and labels uint16 [H, W]."""
        config = self.config
        height, width = config.height, config.width
        camera = self.world_to_frame(time)
        rgb = warp_image(self.background.rgb, camera, height, width, cv2.BORDER_REFLECT_101)
        labels = cv2.warpAffine(self._labels, camera, (width, height), flags=cv2.INTER_NEAREST,
                                borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        # Reflected parts of labelled objects are pictures of them without a label; painting the
        # outside in the mean colour instead would show the border to the network.
        after = self.world_to_frame(time + 1)
        if config.blur:
            moved = after @ (self.view[0](time), self.view[1](time), 1.0)
            rgb = motion_blur(rgb, *(config.blur * (moved - (width / 2, height / 2))))
        for number, actor in enumerate(self.actors, 1 + len(self._own)):
            matrix = chain(camera, actor.matrix(time))
            placed = place(actor.cutout, matrix, height, width)
            if placed is None:
                continue
            colour, alpha, (x, y) = placed
            colour = actor.look.apply(colour)
            if config.blur:
                centre = np.array([actor.cutout.alpha.shape[1] / 2,
                                   actor.cutout.alpha.shape[0] / 2, 1.0])
                step = chain(after, actor.matrix(time + 1)) @ centre - matrix @ centre
                colour = motion_blur(colour, *(config.blur * step))
            blend(rgb, colour, alpha, (x, y))
            labels[y:y + alpha.shape[0], x:x + alpha.shape[1]][alpha > 100] = number
        if config.colour:
            rgb = self.look.apply(rgb, self._flicker(time))
            noise = np.random.default_rng([self._noise, time, 1])
            rgb = degrade(noise, rgb, 0.6 * config.colour)
        return rgb, labels


def _wave(rng: np.random.Generator, start: float, slope: float, amplitude: float) -> Wave:
    return Wave(start, float(rng.normal(0, 1)) * slope,
                float(rng.uniform(0, 1)) * amplitude, float(rng.uniform(0.05, 0.35)),
                float(rng.uniform(0, 2 * math.pi)))


class SyntheticVideo:
    """Clips from a seed: the same seed, material and configuration give the same pixels."""

    def __init__(self, backgrounds: Sequence[MaskedImage], cutouts: Sequence[Cutout],
                 config: VideoConfig) -> None:
        """Take the material; ValueError when there is no background."""
        if not backgrounds:
            raise ValueError('synthetic video needs at least one background image')
        self.backgrounds = list(backgrounds)
        self.chooser = CutoutChooser(cutouts)
        self.config = config

    def scene(self, seed: int | Sequence[int]) -> Scene:
        """Draw a scene."""
        rng = np.random.default_rng(seed)
        background = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        return Scene(int(rng.integers(2 ** 62)), background, self.chooser, self.config)

    def clip(self, seed: int | Sequence[int], times: Sequence[int]) -> Clip:
        """Render the given frames of the scene of a seed."""
        scene = self.scene(seed)
        frames, labels = zip(*(scene.frame(int(t)) for t in times), strict=True)
        return Clip(np.stack(frames), np.stack(labels), scene.classes)
