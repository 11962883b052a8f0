# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Who plays in a simulated scene: draws meshes, textures, motion, room, light and camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.data.clip_looks import tone_table
from vos_ros.data.coco import DataError
from vos_ros.data.instances import MaskedImage
from vos_ros.data.simulated_built import draw_built
from vos_ros.data.simulated_living import draw_living
from vos_ros.data.simulated_meshes import draw_primitive
from vos_ros.data.simulated_meshes import Mesh
from vos_ros.data.simulated_meshes import read_obj
from vos_ros.data.simulated_paint import draw_clothes
from vos_ros.data.simulated_paint import draw_paint
from vos_ros.data.simulated_scene import DYNAMIC
from vos_ros.data.simulated_scene import Role
from vos_ros.data.simulated_staging import close_up
from vos_ros.data.simulated_staging import draw_camera_rise
from vos_ros.data.simulated_staging import grounded
from vos_ros.data.simulated_staging import stand
from vos_ros.data.simulated_view import CameraPath
from vos_ros.data.simulated_view import Light
from vos_ros.data.simulated_view import Photo
from vos_ros.data.simulated_view import Surroundings

U8 = NDArray[np.uint8]

_TEXTURE = 160      # side of an object's texture, pixels
_MESH_SHARE = 0.65  # how often an object is a mesh of the data set, not a box, ball or can

_MOST_FACES = 2500

# How often an object does what; in the second case there is no ground and no weight.
_KINDS = {'rest': 0.1, 'drop': 0.17, 'push': 0.15, 'throw': 0.13, 'wander': 0.2, 'turn': 0.17,
          'pass': 0.08}
_KINDS_EMPTY = {'throw': 0.25, 'wander': 0.4, 'turn': 0.2, 'pass': 0.15}


def list_meshes(part: str) -> list[Path]:
    """List pybullet_data's meshes: part 'train', 'validation' (every fifth) or 'all'.

    Raises ModuleNotFoundError without the package, DataError when it holds no meshes.
    """
    try:
        import pybullet_data
    except ModuleNotFoundError:
        raise ModuleNotFoundError('simulated video needs the Python package pybullet',
                                  name='pybullet') from None
    root = Path(pybullet_data.getDataPath())
    found = sorted(root.glob('random_urdfs/*/*.obj'))
    found += [path for name in ('duck_vhacd.obj', 'teddy2_VHACD_CHs.obj', 'objects/mug.obj',
                                'bunny.obj')
              for path in [root / name] if path.is_file()]
    if not found:
        raise DataError(f'{root}: holds no meshes (random_urdfs/*/*.obj)')
    if part == 'all':
        return found
    return [path for number, path in enumerate(found) if (number % 5 == 0) == (part != 'train')]


class TextureBank:
    """Photographs to cut surfaces from: instances for objects, the rest for ground and walls."""

    def __init__(self, images: Sequence[MaskedImage]) -> None:
        """Take the photographs; ValueError when there are none."""
        if not images:
            raise ValueError('simulated video needs at least one photograph')
        self.images = list(images)

    def photo(self, rng: np.random.Generator) -> tuple[U8, U8]:
        """Return a whole photograph [H, W, 3] and where it shows objects [H, W], 0 or 1."""
        image = self.images[int(rng.integers(len(self.images)))]
        return image.rgb, image.covered()

    def surface(self, rng: np.random.Generator) -> tuple[U8, U8]:
        """Return a square crop that shows as little of any instance as a few tries allow.

        Beside it, as for `photo`, where it still shows objects or crowds.
        """
        best: tuple[U8, U8] | None = None
        least = math.inf
        for _ in range(6):
            image = self.images[int(rng.integers(len(self.images)))]
            height, width = image.rgb.shape[:2]
            side = int(min(height, width) * rng.uniform(0.3, 0.8))
            x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
            covered = sum(int(i.full(height, width)[y:y + side, x:x + side].sum())
                          for i in image.instances) / side ** 2
            if covered < least:
                part = np.s_[y:y + side, x:x + side]
                best, least = (image.rgb[part], image.covered()[part]), covered
        assert best is not None  # noqa: S101
        return np.ascontiguousarray(best[0]), np.ascontiguousarray(best[1])

    def skin(self, rng: np.random.Generator) -> U8:
        """Return an object's texture: a crop of an instance, of anything, or mostly one colour."""
        kind = float(rng.random())
        image = self.images[int(rng.integers(len(self.images)))]
        crop = image.rgb
        large = [i for i in image.instances if i.mask.size > 900]
        if kind < 0.5 and large:
            instance = large[int(rng.integers(len(large)))]
            (x, y), (h, w) = instance.corner, instance.mask.shape
            crop = crop[y + h // 8:y + h - h // 8, x + w // 8:x + w - w // 8]
        else:
            side = int(min(crop.shape[:2]) * rng.uniform(0.15, 0.7))
            x, y = (int(rng.integers(n - side + 1)) for n in crop.shape[1::-1])
            crop = crop[y:y + side, x:x + side]
        out = cv2.resize(crop, (_TEXTURE, _TEXTURE), interpolation=cv2.INTER_AREA)
        if kind > 0.75:
            # Painted: one colour with a little of the picture's grain, perhaps with a band.
            paint = rng.uniform(15, 240, 3)
            out = (paint + (out - out.mean((0, 1))) * rng.uniform(0.05, 0.4)).clip(0, 255)
            if rng.random() < 0.4:
                low = int(rng.integers(_TEXTURE // 2))
                out[low:low + int(rng.integers(10, 70))] = rng.uniform(15, 240, 3)
            out = out.astype(np.uint8)
        return np.ascontiguousarray(cv2.LUT(np.ascontiguousarray(out), tone_table(rng, 0.15)))


@dataclass(frozen=True)
class Cast:
    """A scene as drawn: roles, surroundings, camera; `settle` physics steps pass before frame 0.

    distance: of the camera at first, metres. reach: see World.
    """

    roles: list[Role]
    surroundings: Surroundings
    camera: CameraPath
    table: tuple[float, float] | None
    distance: float
    reach: float
    settle: int


def cast(rng: np.random.Generator, textures: TextureBank, meshes: Sequence[Path],
         objects: tuple[int, int], twins: float, leave: float, recurrent: bool = False,
         close: float = 0.0, built: float = 0.0, living: float = 0.0) -> Cast:
    """Draw everything about a scene; the settings are those of SimulationConfig."""
    # What `close`, `built` and `living` draw is drawn only where they are above 0: clips stay as
    # they were.
    near = bool(close) and rng.random() < close
    empty = bool(rng.random() < 0.15)
    table = (float(rng.uniform(0.5, 1.1)), float(rng.uniform(0.4, 0.8))) \
        if not empty and rng.random() < 0.35 else None
    if near:
        table = None        # large things would hang over its edge
    distance = float(rng.uniform(1.1, 2.8))
    walls = 0.0 if empty or rng.random() < 0.45 else float(rng.uniform(3.2, 6))
    behind, shown = textures.surface(rng) if walls and rng.random() < 0.5 else textures.photo(rng)
    if rng.random() < 0.5:
        behind = np.asarray(cv2.GaussianBlur(behind, (0, 0), float(rng.uniform(0.5, 3))), np.uint8)
    width = float(rng.uniform(1.5, 6)) if walls else math.pi / float(rng.choice([1, 2, 3]))
    surroundings = Surroundings(
        _level(rng, textures, 0.8, 3.0), _level(rng, textures, 1, 4) if table else None,
        Photo(behind, width, shown), table or (0.0, 0.0), walls, float(rng.uniform(0, 0.25)),
        empty, Light.draw(rng))
    count = int(rng.integers(objects[0], objects[1] + 1))
    roles: list[Role] = []
    want_twins = rng.random() < twins
    if not empty and count > 2:
        roles += [_prop(rng, textures, meshes, 0.6 if table else distance, table, built)
                  for _ in range(int(rng.integers(0, 3)))]
    standing = len(roles)
    while len(roles) < count:
        kinds = _KINDS_EMPTY if empty else _KINDS
        if recurrent:
            kinds = {'wander': 0.65, 'turn': 0.15, 'push': 0.0 if empty else 0.2}
        odds = np.array(list(kinds.values()))
        kind = str(rng.choice(list(kinds), p=odds / odds.sum()))
        role = _role(rng, textures, meshes, kind, distance, table, empty,
                     1.0 if recurrent else leave, built)
        if living and rng.random() < living:
            role = _living(rng, textures, role, distance, table, empty)
        if recurrent:
            role = replace(role, swing=role.swing * (1.6, 1.6, 1.0))
        roles.append(role)
        if want_twins and (len(roles) == standing + 1 or rng.random() < 0.25):
            for _ in range(int(rng.integers(1, 3))):
                if len(roles) < count:
                    roles.append(_twin(rng, role, distance, table))
    order = rng.permutation(len(roles))
    pan = float(rng.choice([0.05, 0.2, 0.5])) * distance / 2
    middle = 0.6 * np.mean([role.start[:2] for role in roles], 0)
    camera = CameraPath(rng, distance, pan, (float(middle[0]), float(middle[1])))
    if near:
        draw_camera_rise(rng, camera)
        roles = close_up(rng, roles, camera, distance, empty, recurrent)
    return Cast([roles[i] for i in order], surroundings, camera, table, distance,
                0.55 * distance + 0.3, int(rng.choice([0, 24, 240])))


def _level(rng: np.random.Generator, textures: TextureBank, least: float, most: float) -> Photo:
    """Draw what covers ground or floor, and how wide it is (metres)."""
    rgb, shown = textures.surface(rng)
    return Photo(rgb, float(rng.uniform(least, most)), shown)


def _shape(rng: np.random.Generator, meshes: Sequence[Path], built: float,
           ) -> tuple[Mesh, bool, bool]:
    """Draw a shape; the other values tell whether it rolls and whether it is a built thing."""
    if built and rng.random() < built:
        return draw_built(rng), False, True
    if meshes and rng.random() < _MESH_SHARE:
        for _ in range(20):
            # Some of the set hold no numbers, others more faces than are quickly drawn.
            try:
                mesh = read_obj(meshes[int(rng.integers(len(meshes)))])
            except DataError:
                continue
            if len(mesh.corners) < 3 * _MOST_FACES:
                return mesh, False, False
    return *draw_primitive(rng), False


def _skin(rng: np.random.Generator, textures: TextureBank, made: bool) -> U8:
    if not made:
        return textures.skin(rng)
    kind = float(rng.random())
    if kind < 0.08:
        return textures.skin(rng)
    return draw_paint(rng, textures.skin(rng) if kind < 0.2 else None)


def _role(rng: np.random.Generator, textures: TextureBank, meshes: Sequence[Path],
          kind: str, distance: float, table: tuple[float, float] | None, empty: bool,
          leave: float, built: float) -> Role:
    """Draw an object that does what its kind says: what it is, where it starts, how it moves."""
    mesh, rolls, made = _shape(rng, meshes, built)
    size = float(np.exp(rng.uniform(np.log(0.05), np.log(0.2)))) * distance
    half = np.asarray(table) * 0.8 if table else np.full(2, 0.35 * distance)
    start = np.append(rng.uniform(-half, half), size * 1.02)
    velocity, swing = np.zeros(3), np.zeros(3)
    way = rng.uniform(0, 2 * math.pi)
    aim = np.array([math.cos(way), math.sin(way), 0.0])
    spin = rng.normal(0, 2.0, 3)
    if kind == 'drop':
        start[2] += rng.uniform(0.2, 1.5)
    elif kind == 'push':
        start[:2] -= aim[:2] * rng.uniform(0.2, 0.5) * distance
        velocity, spin = aim * rng.uniform(0.4, 2.0), rng.normal(0, 1, 3)
    elif kind == 'throw':
        start = start - aim * rng.uniform(0.3, 0.6) * distance
        start[2] += rng.uniform(0.1, 0.8)
        velocity = aim * rng.uniform(0.8, 2.5) + (0, 0, 0 if empty else rng.uniform(0.5, 3))
    elif kind in ('wander', 'pass'):
        wide = (0.75 if rng.random() < leave else 0.25) * distance
        swing = rng.uniform(0.4, 1.0, 3) * (wide, wide, 0.1 * distance)
        start[2] += swing[2] * 2 + rng.uniform(0, 0.3) * distance
        spin = rng.normal(0, 1, 3) * float(rng.choice([0.2, 0.6, 1.5]))
        if kind == 'pass':
            velocity = aim * rng.uniform(0.05, 0.25) * distance
            start -= velocity * rng.uniform(1, 4)
    elif kind == 'turn':
        start[2] += float(rng.choice([0.0, rng.uniform(0, 0.4) * distance]))
        spin = rng.normal(0, 0.15, 3) + (0, 0, rng.choice([-1, 1]) * rng.uniform(0.3, 1.8))
    if empty:
        start[2] = rng.uniform(-0.35, 0.35) * distance
    role = Role(mesh, _skin(rng, textures, made), size, kind, start, velocity,
                rng.uniform(0, 2 * math.pi, 3), spin, swing, rng.uniform(0.4, 1.6, 3),
                rng.uniform(0, 2 * math.pi, 3), float(rng.uniform(0.1, 0.8)), rolls=rolls)
    return stand(rng, role, table) if made and not empty else role


def _living(rng: np.random.Generator, textures: TextureBank, role: Role, distance: float,
            table: tuple[float, float] | None, empty: bool) -> Role:
    """Put a person or an animal in a role's place: it stands, turns or glides about upright."""
    mesh, bones = draw_living(rng)
    role = replace(role, mesh=mesh, bones=bones, rolls=False,
                   texture=draw_clothes(rng, textures.skin(rng), textures.skin(rng)),
                   size=float(np.exp(rng.uniform(np.log(0.1), np.log(0.26)))) * distance)
    if empty:
        if role.kind in DYNAMIC:
            # Thrown from beyond the picture; it stays in it instead.
            role = replace(role, kind='turn', velocity=np.zeros(3), start=role.start * 0.5)
        return replace(role, spin=role.spin * 0.5)
    role = stand(rng, role, table)
    # Bones do not fall: none of it is left to physics.
    spin = np.array([0.0, 0.0, rng.normal(0, 1.2)])
    return replace(role, kind='turn' if role.kind == 'rest' else role.kind, spin=spin)


def _twin(rng: np.random.Generator, role: Role, distance: float,
          table: tuple[float, float] | None) -> Role:
    """Make a look-alike that starts beside another object, of nearly or just the same size."""
    aside = rng.normal(0, 1, 2)
    aside *= (2.1 * role.size + rng.uniform(0, 0.15) * distance) / np.linalg.norm(aside)
    kind = role.kind
    if kind in DYNAMIC and rng.random() < 0.5:
        kind = 'rest'
    bones = role.bones
    if bones:
        # Each at its own moment.
        later = float(rng.uniform(0, 6))
        bones = tuple(replace(bone, phase=bone.phase + bone.pace * later) for bone in bones)
    twin = replace(
        role, kind=kind, bones=bones, start=role.start + np.append(aside, 0),
        size=role.size * float(rng.choice([1.0, rng.uniform(0.9, 1.1)])),
        turn=rng.uniform(0, 2 * math.pi, 3), spin=role.spin * float(rng.uniform(-1, 1)),
        pace=role.pace * rng.uniform(0.8, 1.2, 3), phase=rng.uniform(0, 2 * math.pi, 3))
    if not role.upright:
        return twin
    return grounded(replace(twin, turn=np.append(role.turn[:2], twin.turn[2])), table)


def _prop(rng: np.random.Generator, textures: TextureBank, meshes: Sequence[Path],
          distance: float, table: tuple[float, float] | None, built: float) -> Role:
    """Make a thing that stands still and hides others."""
    mesh, _, made = _shape(rng, meshes, built)
    size = float(rng.uniform(0.1, 0.22)) * distance
    place = np.append(rng.normal(0, 0.4, 2) * distance, size * 0.8)
    nothing = np.zeros(3)
    role = Role(mesh, _skin(rng, textures, made), size, 'turn', place, nothing,
                rng.uniform(0, 2 * math.pi, 3), nothing, nothing, nothing, nothing)
    return stand(rng, role, table, still=True) if made else role
