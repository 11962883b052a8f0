# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Simulated objects that fall, roll, fly, are pushed, or wander and come back (pybullet)."""

from collections.abc import Sequence
from dataclasses import dataclass
import math
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from vos_ros.data.simulated_living import Bone
from vos_ros.data.simulated_living import place_bones
from vos_ros.data.simulated_meshes import Mesh
from vos_ros.data.simulated_view import FLOOR
from vos_ros.data.simulated_view import Lens
from vos_ros.data.simulated_view import Light
from vos_ros.data.simulated_view import Pose

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

# Physics steps a second: pybullet's own rate, for which its contacts are tuned.
STEPS = 240

# What an object does. Those of the first group are moved by physics.
DYNAMIC = ('rest', 'drop', 'push', 'throw')
KINEMATIC = ('wander', 'turn', 'pass')


def pybullet() -> ModuleType:
    """Return the module pybullet; ModuleNotFoundError with advice where it is not installed."""
    try:
        import pybullet as module
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'simulated video needs the Python package pybullet: pip install pybullet',
            name='pybullet') from None
    return module


@dataclass(frozen=True)
class Role:
    """An object of a scene, before anything moves.

    mesh, texture: its shape and its surface, uint8 [h, w, 3] RGB.
    size: distance from its centre to its farthest point, metres.
    kind: one of DYNAMIC or KINEMATIC.
    start, velocity: metres, metres a second; a kinematic one starts from the middle of its path.
    turn: Euler angles in radians; spin: radians a second about x, y, z.
    swing, pace, phase: a kinematic path's half widths (metres), radians a second, radians; [3].
    restless: how often a second a resting object is given a push. rolls: is round.
    upright: is built to stand; its look-alikes do too.
    bones: of a living thing, which moves them; `mesh` is then the whole of it with straight limbs.
    """

    mesh: Mesh
    texture: U8
    size: float
    kind: str
    start: F64
    velocity: F64
    turn: F64
    spin: F64
    swing: F64
    pace: F64
    phase: F64
    restless: float = 0.3
    rolls: bool = False
    upright: bool = False
    bones: tuple[Bone, ...] = ()


class World:
    """A physics world of roles; go forward with `advance`, look with `render`."""

    def __init__(self, roles: Sequence[Role], table: tuple[float, float] | None, empty: bool,
                 reach: float, seed: int, folder: Path) -> None:
        """Build the world.

        table: half lengths of a table's top, or None for an endless ground. empty: no ground,
        things hang and fly without weight. reach: dynamic things that get farther away than this
        are sent back (metres). folder: where texture files may be written.
        """
        self._bullet = pybullet()
        self._client = self._bullet.connect(self._bullet.DIRECT)
        self.roles = list(roles)
        self._table, self._empty, self._reach = table, empty, reach
        self._rng = np.random.default_rng(seed)
        self._steps = 0
        bullet, client = self._bullet, self._client
        bullet.setGravity(0, 0, 0 if empty else -9.81, physicsClientId=client)
        if not empty:
            self._build_ground()
        # Bones touch nothing; they are put in their places whenever somebody looks.
        self._bones: list[list[int]] = []
        self.bodies = [self._build(role, folder / f'{number}.png')
                       for number, role in enumerate(self.roles)]

    def close(self) -> None:
        """Give everything back."""
        if self._client >= 0:
            self._bullet.disconnect(self._client)
            self._client = -1

    def _build_ground(self) -> None:
        bullet, client = self._bullet, self._client
        shape = bullet.createCollisionShape(bullet.GEOM_PLANE, physicsClientId=client)
        dot = self._nothing()
        floor = FLOOR if self._table is not None else 0.0
        parts = [bullet.createMultiBody(0, shape, dot, (0, 0, floor), physicsClientId=client)]
        if self._table is not None:
            half = (*self._table, 0.05)
            shape = bullet.createCollisionShape(bullet.GEOM_BOX, halfExtents=half,
                                                physicsClientId=client)
            parts.append(bullet.createMultiBody(0, shape, dot, (0, 0, -half[2]),
                                                physicsClientId=client))
        for part in parts:
            bullet.changeDynamics(part, -1, lateralFriction=0.6, restitution=0.5,
                                  physicsClientId=client)

    def _nothing(self) -> int:
        """Make a visual shape that is not seen: without one a body is drawn as it collides."""
        return int(self._bullet.createVisualShape(
            self._bullet.GEOM_BOX, halfExtents=(1e-6, 1e-6, 1e-6),
            visualFramePosition=(0, 0, -50), physicsClientId=self._client))

    def _visual(self, mesh: Mesh, size: float) -> int:
        points = mesh.corners * size
        return int(self._bullet.createVisualShape(
            self._bullet.GEOM_MESH, vertices=points.tolist(), normals=mesh.normals.tolist(),
            uvs=mesh.places.tolist(), indices=list(range(len(points))),
            rgbaColor=(1, 1, 1, 1), physicsClientId=self._client))

    def _build(self, role: Role, file: Path) -> int:
        bullet, client = self._bullet, self._client
        visual = self._nothing() if role.bones else self._visual(role.mesh, role.size)
        collision = -1
        if role.kind in DYNAMIC or not self._empty:
            collision = bullet.createCollisionShape(
                bullet.GEOM_MESH, vertices=(role.mesh.hull() * role.size).tolist(),
                physicsClientId=client)
        mass = 0.3 if role.kind in DYNAMIC else 0.0
        body = int(bullet.createMultiBody(
            mass, collision, visual, role.start.tolist(),
            bullet.getQuaternionFromEuler(role.turn.tolist()), physicsClientId=client))
        cv2.imwrite(str(file), cv2.cvtColor(role.texture, cv2.COLOR_RGB2BGR))
        texture = bullet.loadTexture(str(file), physicsClientId=client)
        bones = [int(bullet.createMultiBody(0, -1, self._visual(bone.mesh, role.size),
                                            physicsClientId=client)) for bone in role.bones]
        self._bones.append(bones)
        for part in bones or [body]:
            bullet.changeVisualShape(part, -1, textureUniqueId=texture, physicsClientId=client)
        if mass:
            bullet.changeDynamics(
                body, -1, lateralFriction=0.4, restitution=0.35, linearDamping=0.02,
                angularDamping=0.05, rollingFriction=0.0005 if role.rolls else 0.002,
                spinningFriction=0.002, physicsClientId=client)
            bullet.resetBaseVelocity(body, role.velocity.tolist(), role.spin.tolist(),
                                     physicsClientId=client)
        return body

    @property
    def seconds(self) -> float:
        """The time that has passed in this world."""
        return self._steps / STEPS

    def advance(self, steps: int) -> None:
        """Let so many physics steps pass."""
        bullet, client = self._bullet, self._client
        for _ in range(steps):
            self._steps += 1
            for role, body in zip(self.roles, self.bodies, strict=True):
                if role.kind in KINEMATIC:
                    place, turn = self._path(role)
                    bullet.resetBasePositionAndOrientation(body, place, turn,
                                                           physicsClientId=client)
            bullet.stepSimulation(physicsClientId=client)
            if self._steps % 12 == 0:
                self._keep_going()

    def _path(self, role: Role) -> tuple[list[float], Sequence[float]]:
        time = self.seconds
        swing = role.swing * (np.sin(role.pace * time + role.phase) - np.sin(role.phase))
        place = role.start + swing + role.velocity * time
        axis = role.spin / (np.linalg.norm(role.spin) + 1e-12)
        turn = self._bullet.getQuaternionFromAxisAngle(
            axis.tolist(), float(np.linalg.norm(role.spin)) * time)
        begin = self._bullet.getQuaternionFromEuler(role.turn.tolist())
        _, quaternion = self._bullet.multiplyTransforms((0, 0, 0), turn, (0, 0, 0), begin)
        return place.tolist(), quaternion

    def _keep_going(self) -> None:
        """Send what is far away back, and give what lies still a push now and then."""
        bullet, client, rng = self._bullet, self._client, self._rng
        for role, body in zip(self.roles, self.bodies, strict=True):
            if role.kind not in DYNAMIC:
                continue
            place, _ = bullet.getBasePositionAndOrientation(body, physicsClientId=client)
            velocity, _ = bullet.getBaseVelocity(body, physicsClientId=client)
            away = math.hypot(place[0], place[1])
            outward = place[0] * velocity[0] + place[1] * velocity[1] > 0
            restless = role.restless * 12 / STEPS
            if (away > self._reach and outward) or (self._empty and abs(place[2]) > 1.5
                                                    and place[2] * velocity[2] > 0):
                goal = np.append(rng.uniform(-0.5, 0.5, 2) * self._reach, 0.3) - place
                speed = goal / max(float(np.linalg.norm(goal)), 1e-6) * rng.uniform(0.8, 2.5)
                speed[2] = 0 if self._empty else rng.uniform(0.0, 3.0)
            elif (rng.random() < restless and math.hypot(*velocity) < 0.1):
                speed = rng.normal(0, 0.8, 3)
                speed[2] = 0 if self._empty else abs(speed[2]) * 1.5 + (place[2] < -0.2) * 3.5
                speed[:2] -= np.asarray(place[:2]) * 0.5
            else:
                continue
            bullet.resetBaseVelocity(body, speed.tolist(), rng.normal(0, 3, 3).tolist(),
                                     physicsClientId=client)

    def speed(self, index: int) -> float:
        """Return how fast object `index` moves at the moment, metres a second."""
        role = self.roles[index]
        if role.kind in DYNAMIC:
            velocity, _ = self._bullet.getBaseVelocity(self.bodies[index],
                                                       physicsClientId=self._client)
            return math.hypot(*velocity)
        swing = role.swing * role.pace * np.cos(role.pace * self.seconds + role.phase)
        return float(np.linalg.norm(role.velocity + swing))

    def states(self) -> list[tuple[F64, F64]]:
        """Return each object's place [3] and rotation [3, 3]."""
        out = []
        for body in self.bodies:
            place, turn = self._bullet.getBasePositionAndOrientation(
                body, physicsClientId=self._client)
            matrix = self._bullet.getMatrixFromQuaternion(turn)
            out.append((np.asarray(place), np.asarray(matrix).reshape(3, 3)))
        return out

    def _pieces(self) -> list[list[tuple[Mesh, F64, F64]]]:
        """Return what each object is made of: meshes, their places and rotations."""
        out = []
        for role, (place, turn) in zip(self.roles, self.states(), strict=True):
            pieces = [(role.mesh, place, turn)]
            if role.bones:
                pieces = [(bone.mesh, place + turn @ at * role.size, turn @ way)
                          for bone, (at, way) in zip(role.bones, place_bones(
                              role.bones, self.seconds), strict=True)]
            out.append(pieces)
        return out

    def triangles(self) -> list[F64]:
        """Return each object's triangles in the world, [n, 3, 3]."""
        return [np.concatenate([mesh.corners * role.size @ turn.T + place
                                for mesh, place, turn in pieces]).reshape(-1, 3, 3)
                for role, pieces in zip(self.roles, self._pieces(), strict=True)]

    def render(self, lens: Lens, pose: Pose, light: Light, shift: Sequence[float] = (0.0, 0.0),
               ) -> tuple[U8, NDArray[np.int32], NDArray[np.float32]]:
        """Draw the objects: colours [H, W, 3], role numbers [H, W] (-1 = none), depth buffer."""
        bullet = self._bullet
        for bones, pieces in zip(self._bones, self._pieces(), strict=True):
            for bone, (_, place, turn) in zip(bones, pieces, strict=False):
                bullet.resetBasePositionAndOrientation(
                    bone, place.tolist(), Rotation.from_matrix(turn).as_quat().tolist(),
                    physicsClientId=self._client)
        # The renderer samples a pixel at its lower left corner instead of its centre.
        shift = (shift[0] - 0.5, shift[1] + 0.5)
        _, _, rgb, depth, body = bullet.getCameraImage(
            lens.width, lens.height, pose.view_matrix(), lens.projection(shift),
            lightDirection=light.direction.tolist(), lightColor=light.colour, lightDistance=8,
            shadow=0, lightAmbientCoeff=light.ambient, lightDiffuseCoeff=1.05 - light.ambient,
            lightSpecularCoeff=0.15, renderer=bullet.ER_TINY_RENDERER,
            physicsClientId=self._client)
        rgb = np.asarray(rgb, np.uint8).reshape(lens.height, lens.width, 4)[..., :3]
        body = np.asarray(body, np.int32).reshape(lens.height, lens.width)
        table = np.full(max(self.bodies, default=0) + sum(map(len, self._bones)) + 2, -1,
                        np.int32)
        for number, (whole, bones) in enumerate(zip(self.bodies, self._bones, strict=True)):
            table[[whole, *bones]] = number
        body = table[np.where((body < 0) | (body >= len(table)), -1, body)]
        return rgb, body, np.asarray(depth, np.float32).reshape(lens.height, lens.width)
