# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Rendered video with exact ids: many objects in rooms, on tables and in the open.

The objects are meshes (random ones, named ones, boxes, balls, cans) dressed in photographs;
physics or smooth paths move them, some turn slowly, leave the picture and come back; a part of
the scenes holds look-alike twins. Walls, ground and backdrop are photographs. Each frame is the
mean of several pictures taken while the shutter is open: motion blur and smooth edges in one.
The same seed, textures and settings give the same clip. Objects that these photographs show are
no background either: their pixels can be marked as void. (XMem section 4.2 trains on BL30K,
video rendered in this way from ShapeNet.)
"""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
import math
from pathlib import Path
import tempfile

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.data.instances import MaskedImage
from vos_ros.data.photometry import Look
from vos_ros.data.simulated_casting import Cast
from vos_ros.data.simulated_casting import cast
from vos_ros.data.simulated_casting import TextureBank
from vos_ros.data.simulated_scene import STEPS
from vos_ros.data.simulated_scene import World
from vos_ros.data.simulated_view import FAR
from vos_ros.data.simulated_view import Lens
from vos_ros.data.simulated_view import NEAR

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

# Places within a pixel at which the pictures of one frame are taken, for smooth edges.
_JITTER = ((0.0, 0.0), (0.25, -0.35), (-0.35, -0.2), (-0.2, 0.35), (0.35, 0.2), (0.1, -0.15))


@dataclass(frozen=True)
class SimulationConfig:
    """How clips are made.

    height, width: of the frames, pixels.
    objects: (fewest, most) objects.
    twins: probability that a scene holds twins of one of its objects.
    leave: probability that a wandering object's path leads out of the picture and back.
    colour: strength of exposure, tint and saturation changes; 0 leaves colours alone.
    noise: largest standard deviation of sensor noise, grey levels.
    recurrent: nothing goes for good: objects that leave come back, so that a clip may be of any
        length.
    void: label of the pixels that show an object of a photograph on ground, wall or backdrop: it
        is an object, but not one of those that are followed. None leaves them background.
    close: share of the scenes in which one to three objects are large and close, often cut by
        the picture's border.
    built: share of the objects that are built things: posts, vehicles, furniture, frames.
    living: share of the objects that are people and animals, whose limbs move.
    """

    height: int = 288
    width: int = 384
    objects: tuple[int, int] = (2, 8)
    twins: float = 0.5
    leave: float = 0.5
    colour: float = 0.6
    noise: float = 5.0
    recurrent: bool = False
    void: int | None = None
    close: float = 0.0
    built: float = 0.0
    living: float = 0.0

    def __post_init__(self) -> None:
        """Check; raises ValueError naming the setting and its range."""
        if self.height < 32 or self.width < 32:
            raise ValueError(f'size {self.height}x{self.width}: at least 32x32')
        if not 1 <= self.objects[0] <= self.objects[1] <= 60:
            raise ValueError(f'objects {self.objects}: from 1 to 60, the fewest first')
        if self.void is not None and not self.objects[1] < self.void <= 255:
            raise ValueError(f'void {self.void}: above the most objects, at most 255')
        for name in ('twins', 'leave', 'close', 'built', 'living'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name} {getattr(self, name)}: from 0 to 1')


class SimulatedClip:
    """One scene as an iterable of frames: (rgb uint8 [H, W, 3], labels uint8 [H, W])."""

    def __init__(self, seed: int | Sequence[int], textures: TextureBank,
                 config: SimulationConfig, meshes: Sequence[Path], frames: int) -> None:
        """Draw the scene; nothing is rendered yet."""
        rng = np.random.default_rng(seed)
        self.config, self.frames = config, frames
        self._cast: Cast = cast(rng, textures, meshes, config.objects, config.twins, config.leave,
                                config.recurrent, config.close, config.built, config.living)
        self._steps = round(STEPS / float(rng.choice([10, 12, 15, 20, 24, 30])))
        view = float(rng.uniform(0.75, 1.25))
        self._lens = Lens(config.height, config.width,
                          view * math.hypot(config.height, config.width) / 1.2)
        self._look = Look(rng, config.colour)
        self._shutter = float(rng.uniform(0.15, 0.7))
        self._noise = float(rng.uniform(0, config.noise)) * (rng.random() < 0.7)
        self._flicker = float(rng.uniform(0, 0.04)) * config.colour
        self._seed = int(rng.integers(2 ** 62))

    @property
    def objects(self) -> int:
        """The number of objects; their ids are 1 to this."""
        return len(self._cast.roles)

    def __iter__(self) -> Iterator[tuple[U8, U8]]:
        """Render frame after frame; each iteration starts anew."""
        rng = np.random.default_rng(self._seed)
        with tempfile.TemporaryDirectory(prefix='vos_ros-') as folder:
            world = World(self._cast.roles, self._cast.table, self._cast.surroundings.empty,
                          self._cast.reach, self._seed, Path(folder))
            try:
                world.advance(self._cast.settle)
                for number in range(self.frames):
                    yield self._frame(world, number, rng)
            finally:
                world.close()

    def _frame(self, world: World, number: int, rng: np.random.Generator) -> tuple[U8, U8]:
        begin = self._cast.settle + number * self._steps
        samples = self._samples(world)
        open_steps = self._shutter * self._steps
        total = np.zeros((self.config.height, self.config.width, 3), np.float32)
        labels = np.zeros(total.shape[:2], np.uint8)
        passed = 0
        still = self._drift(begin / STEPS, open_steps / STEPS) < 0.6
        shadows = self._cast.surroundings.shadows(world.triangles())
        behind = self._behind((begin + open_steps / 2) / STEPS, (0.0, 0.0), shadows) \
            if still else None
        for sample in range(samples):
            step = round(open_steps * sample / max(samples - 1, 1))
            world.advance(step - passed)
            passed = step
            # The ids are those of the moment in the middle, taken through the pixels' centres.
            middle = sample == samples // 2
            place = (sample - samples // 2) % len(_JITTER)
            time, shift = (begin + step) / STEPS, _JITTER[place]
            if behind is None or (not still and sample % 2 == 0):
                # Every other picture's is close enough, and this is most of the work.
                behind = self._behind(time, shift, shadows)
            picture, seen = self._picture(world, time, shift, behind)
            total += picture
            if middle:
                labels = seen
                if self.config.void is not None:
                    shown = self._cast.surroundings.shown(self._lens,
                                                          self._cast.camera.pose(time))
                    labels[(seen == 0) & shown] = self.config.void
        world.advance(self._steps - passed)
        frame = np.asarray(total / samples + 0.5, np.uint8)
        frame = self._look.apply(frame, 1 + self._flicker * float(rng.normal()))
        if self._noise:
            noise = np.empty(frame.shape, np.int16)
            cv2.setRNGSeed(int(rng.integers(2 ** 31)))
            cv2.randn(noise, np.zeros(3), np.full(3, self._noise))
            frame = np.asarray(cv2.add(frame, noise, dtype=cv2.CV_8U), np.uint8)
        return frame, labels

    def _samples(self, world: World) -> int:
        """Choose the number of pictures for a frame: one every three pixels of motion, 3 to 6."""
        most = max((world.speed(index) for index in range(len(world.roles))), default=0.0)
        pixels = most * self._shutter * self._steps / STEPS * self._lens.focal \
            / max(self._cast.distance, 0.3)
        return int(np.clip(math.ceil(pixels / 3), 3, len(_JITTER)))

    def _drift(self, time: float, seconds: float) -> float:
        """Return how far the camera's own motion moves the picture, pixels."""
        before, after = self._cast.camera.pose(time), self._cast.camera.pose(time + seconds)
        ahead = before.eye - before.rotation[2] * self._cast.distance
        marks = ahead + 0.3 * np.stack([np.zeros(3), *before.rotation[:2]])
        return float(np.nanmax(np.abs(self._lens.place(before, marks)
                                      - self._lens.place(after, marks)), initial=0.0))

    def _behind(self, time: float, shift: Sequence[float], shadows: Sequence[F32],
                ) -> tuple[U8, F32]:
        """Take a picture of what stands round the objects, with its depth."""
        return self._cast.surroundings.picture(self._lens, self._cast.camera.pose(time), shift,
                                               shadows)

    def _picture(self, world: World, time: float, shift: Sequence[float],
                 behind: tuple[U8, F32]) -> tuple[U8, U8]:
        """Take one picture: objects before what stands round them."""
        out, depth = behind[0].copy(), behind[1]
        rgb, role, buffer = world.render(self._lens, self._cast.camera.pose(time),
                                         self._cast.surroundings.light, shift)
        near = FAR * NEAR / (FAR - (FAR - NEAR) * buffer)
        seen = (role >= 0) & (near < depth + 0.01)
        cv2.copyTo(rgb, seen.astype(np.uint8), out)
        return out, np.where(seen, role + 1, 0).astype(np.uint8)


class SimulatedVideo:
    """Clips from a seed, for one set of textures and meshes."""

    def __init__(self, images: Sequence[MaskedImage], meshes: Sequence[Path],
                 config: SimulationConfig) -> None:
        """Take the material; ValueError when there is no photograph."""
        self.textures = TextureBank(images)
        self.meshes = list(meshes)
        self.config = config

    def clip(self, seed: int | Sequence[int], frames: int) -> SimulatedClip:
        """Draw the scene of a seed."""
        return SimulatedClip(seed, self.textures, self.config, self.meshes, frames)
