# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What stands round simulated objects: camera, ground, table, walls, backdrop, light, shadows.

The renderer draws the objects only. What is flat is looked up here, ray by ray, in photographs:
quicker, and without the flicker of a renderer that does not average its textures.
World: metres, z up, the ground at z = 0. Images: pixel (0, 0) has its centre at (0.5, 0.5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.data.synthetic_video import Wave

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

NEAR, FAR = 0.05, 30.0

# The floor lies so far below a table's top; a table's top is so thick.
FLOOR = -0.72
_TABLE_EDGE = -0.035

# Shadows are kept on a map of the ground of this half width (metres) and side (pixels).
_SHADOW_REACH = 2.4
_SHADOW_SIDE = 384


@dataclass(frozen=True)
class Pose:
    """Where the camera is: eye [3], rotation [3, 3] with rows right, up, back."""

    eye: F64
    rotation: F64

    def view_matrix(self) -> list[float]:
        """Return the world-to-camera matrix as OpenGL wants it: 16 numbers, column by column."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.rotation
        matrix[:3, 3] = -self.rotation @ self.eye
        return [float(v) for v in matrix.T.ravel()]


@dataclass(frozen=True)
class Lens:
    """Image size in pixels and focal length in pixels."""

    height: int
    width: int
    focal: float

    def projection(self, shift: Sequence[float] = (0.0, 0.0)) -> list[float]:
        """Return OpenGL's projection matrix, the picture shifted by (x, y) pixels."""
        matrix = np.zeros((4, 4))
        matrix[0, 0] = 2 * self.focal / self.width
        matrix[1, 1] = 2 * self.focal / self.height
        matrix[0, 2] = -2 * shift[0] / self.width
        matrix[1, 2] = 2 * shift[1] / self.height
        matrix[2, 2] = (FAR + NEAR) / (NEAR - FAR)
        matrix[2, 3] = 2 * FAR * NEAR / (NEAR - FAR)
        matrix[3, 2] = -1
        return [float(v) for v in matrix.T.ravel()]

    def rays(self, shift: Sequence[float] = (0.0, 0.0)) -> F32:
        """Return the pixels' directions in the camera's axes, [H, W, 3], of depth 1."""
        x = (np.arange(self.width) + 0.5 - shift[0] - self.width / 2) / self.focal
        y = (np.arange(self.height) + 0.5 - shift[1] - self.height / 2) / self.focal
        rays = np.empty((self.height, self.width, 3), np.float32)
        rays[..., 0], rays[..., 1], rays[..., 2] = x, -y[:, None], -1
        return rays

    def place(self, pose: Pose, points: F64) -> F64:
        """Project world points [n, 3] to pixels; behind the camera comes out NaN."""
        local = (points - pose.eye) @ pose.rotation.T
        depth = np.where(local[:, 2] < -NEAR, -local[:, 2], np.nan)[:, None]
        return (local[:, :2] * (1, -1) / depth * self.focal
                + (self.width / 2, self.height / 2))


class CameraPath:
    """A way round a place: an orbit that may stand still, swing, come nearer, pan and shake."""

    def __init__(self, rng: np.random.Generator, distance: float, pan: float,
                 middle: tuple[float, float] = (0.0, 0.0)) -> None:
        """Draw the way round `middle`; pan = how far the place looked at moves (metres)."""
        pace = float(rng.choice([0.0, 0.3, 1.0, 2.0], p=[0.15, 0.3, 0.35, 0.2]))

        def wave(start: float, slope: float, swing: float, quick: float = 1.0) -> Wave:
            return Wave(start, pace * float(rng.normal(0, slope)),
                        pace * float(rng.uniform(0, swing)),
                        quick * float(rng.uniform(0.25, 1.2)), float(rng.uniform(0, 6.3)))

        self.azimuth = wave(float(rng.uniform(0, 2 * math.pi)), 0.07, 0.3)
        self.elevation = wave(float(rng.uniform(0.2, 1.05)), 0.0, 0.12)
        self.distance = wave(math.log(distance), 0.0, 0.2)
        self.target = (wave(middle[0] + float(rng.normal(0, 0.1)), 0.0, pan),
                       wave(middle[1] + float(rng.normal(0, 0.1)), 0.0, pan),
                       wave(float(rng.uniform(0.0, 0.25)), 0.0, 0.1))
        self.roll = wave(float(rng.normal(0, 0.04)), 0.0, 0.05)
        shake = float(rng.choice([0.0, 1.0])) * float(rng.uniform(0.001, 0.006))
        self.shake = [Wave(0.0, 0.0, shake * float(rng.uniform(0.3, 1)) / (1 + k),
                           (4 + 7 * k) * float(rng.uniform(0.7, 1.4)), float(rng.uniform(0, 6.3)))
                      for k in range(3) for _ in range(3)]

    def pose(self, time: float) -> Pose:
        """Return the camera's pose at a time in seconds."""
        turn, rise = self.azimuth(time), float(np.clip(self.elevation(time), 0.06, 1.45))
        target = np.array([wave(time) for wave in self.target])
        away = np.array([math.cos(turn) * math.cos(rise), math.sin(turn) * math.cos(rise),
                         math.sin(rise)])
        eye = target + away * math.exp(self.distance(time))
        eye[2] = max(eye[2], 0.12)
        jolt = [sum(wave(time) for wave in self.shake[axis::3]) for axis in range(3)]
        back = eye - target
        back /= np.linalg.norm(back)
        right = np.cross((0.0, 0.0, 1.0), back)
        right /= np.linalg.norm(right)
        level = np.stack([right, np.cross(back, right), back])
        return Pose(eye, _turn((jolt[0], jolt[1], jolt[2] + self.roll(time))) @ level)


def _turn(angles: Sequence[float]) -> F64:
    turn, _ = cv2.Rodrigues(np.asarray(angles, np.float64))
    return np.asarray(turn, np.float64)


class Photo:
    """A photograph as an endless surface, mirrored at its borders, with smaller copies."""

    def __init__(self, picture: U8, metres: float, shown: U8 | None = None) -> None:
        """Take a picture [H, W, 3] or [H, W] that is `metres` wide.

        shown: [H, W], 0 or 1, where the picture shows an object; None = nowhere.
        """
        self.shown = shown
        self.levels = [picture]
        for _ in range(4):
            if min(self.levels[-1].shape[:2]) < 16:
                break
            self.levels.append(np.asarray(cv2.pyrDown(self.levels[-1]), np.uint8))
        self.metres = metres

    def marks(self) -> 'Photo':
        """Return a surface of the same size: 255 where this one shows an object, else 0."""
        if self.shown is None:
            return Photo(np.zeros(self.levels[0].shape[:2], np.uint8), self.metres)
        return Photo(self.shown * np.uint8(255), self.metres)

    def at(self, x: F32, y: F32, footprint: F32 | float) -> U8:
        """Look up points (metres) seen by pixels of a footprint (metres); [H, W] or [H, W, 3]."""
        height, width = self.levels[0].shape[:2]
        u, v = _mirrored(x, 1 / self.metres), _mirrored(y, width / (self.metres * height))
        # The copy whose pixels are nearest in size to the footprint; rounded on a log scale.
        texels = np.asarray(footprint * (width / self.metres), np.float32)
        level = np.zeros(texels.shape, np.uint8)
        for number in range(1, len(self.levels)):
            level += texels > 2 ** (number - 0.5)
        lowest, highest = int(level.min()), int(level.max())
        out = None
        for number in range(lowest, highest + 1):
            picture = self.levels[number]
            h, w = picture.shape[:2]
            sample = cv2.remap(picture, u * (w - 1), v * (h - 1), cv2.INTER_LINEAR,
                               borderMode=cv2.BORDER_REPLICATE)
            if out is None:
                out = np.asarray(sample, np.uint8)
            else:
                chosen = np.asarray(level == number, np.uint8)
                cv2.copyTo(sample, chosen, out)
        assert out is not None  # noqa: S101
        return out


def _mirrored(x: F32, scale: float) -> F32:
    """Fold a coordinate into 0..1, back and forth."""
    x = x * np.float32(scale / 2)
    x -= np.rint(x)
    return np.asarray(np.abs(x) * np.float32(2), np.float32)


@dataclass(frozen=True)
class Light:
    """A far lamp: direction [3] to it, colour (a factor a channel), share of light from all
    sides, how dark its shadows are (0..1) and how blurred (metres).
    """

    direction: F64
    colour: tuple[float, float, float]
    ambient: float
    shadow: float
    blur: float

    @staticmethod
    def draw(rng: np.random.Generator) -> 'Light':
        """Draw a lamp: from overhead to low, warm to cold, hard to soft."""
        rise, turn = rng.uniform(0.45, 1.4), rng.uniform(0, 2 * math.pi)
        warm = float(rng.normal(0, 0.09))
        return Light(
            np.array([math.cos(turn) * math.cos(rise), math.sin(turn) * math.cos(rise),
                      math.sin(rise)]),
            (1 + warm, 1.0, 1 - warm), float(rng.uniform(0.35, 0.7)),
            float(rng.uniform(0.25, 0.75)), float(rng.choice([0.01, 0.03, 0.08])))


class Surroundings:
    """Ground or table with floor, walls or a far backdrop, seen by any camera.

    ground, floor, behind: photographs; floor None means no table.
    table: half lengths of the table's top in x and y (metres), when there is a floor.
    walls: half side of the room in metres; 0 = `behind` is a backdrop at infinity.
    lift: where the backdrop's middle lies above the horizon, in radians.
    empty: no ground at all, only the backdrop.
    """

    def __init__(self, ground: Photo, floor: Photo | None, behind: Photo,
                 table: tuple[float, float], walls: float, lift: float, empty: bool,
                 light: Light) -> None:
        """Take what is there."""
        self.ground, self.floor, self.behind = ground, floor, behind
        self.table, self.walls, self.lift, self.empty = table, walls, lift, empty
        self.light = light

    def shown(self, lens: Lens, pose: Pose) -> NDArray[np.bool_]:
        """Tell which pixels' centres see an object of a photograph, [H, W].

        The same view as `picture` is taken of the photographs' masks. The table's edge comes out
        as no object: it is drawn darker than half of what lies on the table.
        """
        view, _ = self._marks.picture(lens, pose, (0.0, 0.0), (None, None))
        return view > 127

    @cached_property
    def _marks(self) -> 'Surroundings':
        floor = None if self.floor is None else self.floor.marks()
        return Surroundings(self.ground.marks(), floor, self.behind.marks(), self.table,
                            self.walls, self.lift, self.empty, self.light)

    def picture(self, lens: Lens, pose: Pose, shift: Sequence[float],
                shadows: Sequence[F32 | None]) -> tuple[U8, F32]:
        """Return the view without objects [H, W, 3] and its depth along the axis [H, W].

        shadows: what `shadows` returned; None in it = no shadows.
        """
        rays = lens.rays(shift) @ pose.rotation.astype(np.float32)
        out, depth = self._far(rays, pose, lens)
        if self.empty:
            return out, depth
        with np.errstate(divide='ignore'):
            down = np.where(rays[..., 2] < -1e-4, 1 / np.minimum(rays[..., 2], -1e-4),
                            np.float32(0))
        if self.floor is not None:
            self._lay(out, depth, self.floor, rays, pose, lens, down, FLOOR, None, shadows[1])
            self._lay(out, depth, None, rays, pose, lens, down, _TABLE_EDGE, self.table, None)
        self._lay(out, depth, self.ground, rays, pose, lens, down, 0.0,
                  self.table if self.floor is not None else None, shadows[0])
        return out, depth

    def _lay(self, out: U8, depth: F32, photo: Photo | None, rays: F32, pose: Pose, lens: Lens,
             down: F32, height: float, extent: tuple[float, float] | None,
             shadows: F32 | None) -> None:
        """Draw a level plane where it is nearer than what is there; no photo: its dark edge."""
        far = float(height - pose.eye[2]) * down
        if pose.eye[2] <= height:
            return
        x = float(pose.eye[0]) + far * rays[..., 0]
        y = float(pose.eye[1]) + far * rays[..., 1]
        seen = (far > 0) & (far < depth)
        if extent is not None:
            seen &= (np.abs(x) < extent[0]) & (np.abs(y) < extent[1])
        if not seen.any():
            return
        if photo is None:
            out[seen] = (self.ground.levels[-1].mean((0, 1)) * 0.45).astype(np.uint8)
        else:
            rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
            part = np.s_[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
            x, y = np.ascontiguousarray(x[part]), np.ascontiguousarray(y[part])
            # Along the line of sight a pixel covers more than across; their mean is taken.
            slant = np.sqrt(np.maximum(1.0, -down[part]))
            colour = photo.at(x, y, far[part] * slant / lens.focal)
            if shadows is not None:
                scale = _SHADOW_SIDE / (2 * _SHADOW_REACH)
                dark = cv2.remap(shadows, (x + _SHADOW_REACH) * scale - 0.5,
                                 (y + _SHADOW_REACH) * scale - 0.5, cv2.INTER_LINEAR,
                                 borderMode=cv2.BORDER_CONSTANT, borderValue=1.0)
                colour = np.asarray(colour * dark[..., None], np.uint8)
            out[part][seen[part]] = colour[seen[part]]
        depth[seen] = far[seen]

    def _far(self, rays: F32, pose: Pose, lens: Lens) -> tuple[U8, F32]:
        """Draw walls or backdrop."""
        if not self.walls:
            turn = np.arctan2(rays[..., 1], rays[..., 0])
            rise = np.arctan2(rays[..., 2], np.hypot(rays[..., 0], rays[..., 1]))
            height, width = self.behind.levels[0].shape[:2]
            middle = self.behind.metres * height / width / 2
            above = np.asarray(self.lift - rise + middle, np.float32)
            colour = self.behind.at(turn, above, 1 / lens.focal)
            return colour, np.full(rays.shape[:2], np.float32(FAR))
        best = np.full(rays.shape[:2], np.float32(FAR))
        along = np.zeros_like(best)
        for axis in (0, 1):
            with np.errstate(divide='ignore', invalid='ignore'):
                far = (np.copysign(np.float32(self.walls), rays[..., axis])
                       - float(pose.eye[axis])) \
                    / rays[..., axis]
            nearer = (far > 0) & (far < best)
            best[nearer] = far[nearer]
            across = float(pose.eye[1 - axis]) + far * rays[..., 1 - axis] + 5.3 * axis
            along[nearer] = across[nearer]
        height = float(pose.eye[2]) + best * rays[..., 2]
        footprint = np.asarray(best / lens.focal, np.float32)
        return self.behind.at(along, 1.1 - height, footprint), best

    def shadows(self, triangles: Sequence[F64]) -> list[F32]:
        """Cast triangles [n, 3, 3] of each object on ground and floor, as far as there are such.

        Returns maps of the light that is left, float32 [side, side], 1 = in full light.
        """
        if self.empty:
            return []
        maps = [self._shadow_map(triangles, 0.0)]
        if self.floor is not None:
            top = np.array([(-1, -1, 0), (1, -1, 0), (1, 1, 0), (-1, 1, 0)]) * (*self.table, 0)
            maps.append(self._shadow_map([*triangles, top[[[0, 1, 2], [0, 2, 3]]]], FLOOR))
        return maps

    def _shadow_map(self, triangles: Sequence[F64], height: float) -> F32:
        mask = np.zeros((_SHADOW_SIDE, _SHADOW_SIDE), np.uint8)
        toward = self.light.direction
        scale = _SHADOW_SIDE / (2 * _SHADOW_REACH) * 16
        for part in triangles:
            facing = np.cross(part[:, 1] - part[:, 0], part[:, 2] - part[:, 0]) @ toward > 0
            part = part[facing & (part[:, :, 2].max(1) > height)]
            above = np.maximum(part[..., 2:] - height, 0)
            flat = part[..., :2] - above / toward[2] * toward[:2]
            pixels = np.round((flat + _SHADOW_REACH) * scale - 8).astype(np.int32)
            for triangle in pixels:
                cv2.fillConvexPoly(mask, triangle, 255, shift=4)
        sigma = max(self.light.blur * _SHADOW_SIDE / (2 * _SHADOW_REACH), 0.7)
        soft = cv2.GaussianBlur(mask, (0, 0), sigma)
        return np.asarray(1 - soft.astype(np.float32) * (self.light.shadow / 255), np.float32)
