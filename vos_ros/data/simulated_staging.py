# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where simulated things stand: upright on the ground, and large ones close to the camera."""

from collections.abc import Sequence
from dataclasses import replace
import math

import numpy as np
from numpy.typing import NDArray

from vos_ros.data.simulated_meshes import rotation
from vos_ros.data.simulated_paint import plain
from vos_ros.data.simulated_scene import DYNAMIC
from vos_ros.data.simulated_scene import Role
from vos_ros.data.simulated_view import CameraPath
from vos_ros.data.simulated_view import FLOOR

F64 = NDArray[np.float64]

# Large things keep this far from the camera in its first seconds, in its distance.
_CLEAR = 0.2
_SECONDS = np.linspace(0, 5, 11)


def grounded(role: Role, table: tuple[float, float] | None) -> Role:
    """Return the role with its lowest point on what is below its middle: table, floor, ground."""
    low = float((role.mesh.corners @ rotation(role.turn)[2]).min()) * role.size
    off = table is not None and bool((np.abs(role.start[:2]) > table).any())
    start = role.start.copy()
    # A hair above, lest the two be drawn through each other.
    start[2] = (FLOOR if off else 0.0) - low + 0.002
    return replace(role, start=start)


def stand(rng: np.random.Generator, role: Role, table: tuple[float, float] | None,
          still: bool = False) -> Role:
    """Return the role as a built thing that stands, turns slowly or glides upright.

    Few are tipped over. still: it does not move at all.
    """
    kind = role.kind
    if kind in DYNAMIC:
        kind = str(rng.choice(['turn', 'wander', 'rest'], p=[0.55, 0.25, 0.2]))
    if still or (table is not None and kind != 'rest'):
        kind = 'turn'       # it would glide over the table's edge and hang there
    tip = math.pi / 2 * float(rng.choice([-1, 1])) if rng.random() < 0.06 else 0.0
    turn = np.array([tip, 0.0, rng.uniform(0, 2 * math.pi)])
    quick = 0.0 if still or rng.random() < 0.5 else float(rng.normal(0, 0.5))
    swing = role.swing if role.kind == 'wander' else np.full(3, rng.uniform(0.1, 0.5))
    swing = swing * (1, 1, 0) if kind == 'wander' else np.zeros(3)
    velocity = role.velocity * (1, 1, 0) if kind == 'pass' else np.zeros(3)
    size = role.size * float(rng.uniform(1.2, 1.5))    # most of them are thin
    if table is not None:
        size = min(size, 0.7 * min(table))
    spin = np.zeros(3) if kind == 'rest' else np.array([0.0, 0.0, quick])
    return grounded(replace(
        role, kind=kind, turn=turn, spin=spin, swing=swing, velocity=velocity, size=size,
        restless=role.restless * 0.2, upright=True), table)


def draw_camera_rise(rng: np.random.Generator, camera: CameraPath) -> None:
    """Let the camera look from anywhere between level and steeply down."""
    camera.elevation = replace(camera.elevation, start=float(rng.uniform(0.12, 1.35)))


def close_up(rng: np.random.Generator, roles: Sequence[Role], camera: CameraPath,
             distance: float, empty: bool, recurrent: bool = False) -> list[Role]:
    """Make one to three of the roles large and bring them before the camera.

    distance: of the camera, metres. recurrent: none of them leaves for good. The others are moved
    out of the large ones' way.
    """
    out = list(roles)
    count = min(int(rng.choice([1, 2, 3], p=[0.45, 0.35, 0.2])), len(out))
    chosen = [int(i) for i in rng.permutation(len(out))[:count]]
    for number, index in enumerate(chosen):
        large = _enlarge(rng, out[index], distance, empty, recurrent)
        others = [out[i] for i in chosen[:number]]
        for _ in range(12):
            large = _before(rng, large, camera, distance, empty)
            if all(_apart(large, other) > 0.65 * (large.size + other.size) for other in others):
                break
            large = replace(large, size=max(large.size * 0.93, 0.22 * distance))
        else:
            large = _before(rng, large, camera, distance, empty)
        out[index] = large
    for index, role in enumerate(out):
        if index not in chosen:
            for large in (out[i] for i in chosen):
                role = _aside(rng, role, large)
            out[index] = role
    return out


def _apart(one: Role, other: Role) -> float:
    return float(np.linalg.norm(one.start[:2] - other.start[:2]))


def _enlarge(rng: np.random.Generator, role: Role, distance: float, empty: bool,
             recurrent: bool) -> Role:
    """Make a role large and slow; it stands as it did when it is upright, else it lies anyhow."""
    size = float(np.exp(rng.uniform(math.log(0.22), math.log(0.65)))) * distance
    kind = str(rng.choice(['turn', 'rest', 'wander', 'pass'], p=[0.5, 0.1, 0.25, 0.15]))
    if kind == 'rest' and (empty or role.bones):
        kind = 'turn'       # bones do not fall
    if kind == 'pass' and recurrent:
        kind = 'wander'     # what passes does not come back
    swing, velocity, spin = np.zeros(3), np.zeros(3), np.zeros(3)
    if kind == 'wander':
        # It may get twice as far from its start.
        swing = rng.uniform(0.02, 0.15, 3) * distance * (1, 1, 0.3 if empty else 0.0)
    elif kind == 'pass':
        way = float(rng.uniform(0, 2 * math.pi))
        velocity = np.array([math.cos(way), math.sin(way), 0]) \
            * float(rng.uniform(0.02, 0.12)) * distance
    if kind != 'rest' and rng.random() < 0.6:
        spin[2] = float(rng.choice([-1, 1])) * float(rng.uniform(0.03, 0.5))
        if empty and not role.upright:
            spin += rng.normal(0, 0.1, 3)
    texture = role.texture
    if not role.upright and not role.bones and rng.random() < 0.4:
        texture = plain(rng)
    return replace(role, size=size, kind=kind, swing=swing, velocity=velocity, spin=spin,
                   pace=rng.uniform(0.3, 1.0, 3), restless=0.0, texture=texture)


def _before(rng: np.random.Generator, role: Role, camera: CameraPath, distance: float,
            empty: bool) -> Role:
    """Place a large role in view or half beyond the picture's border, clear of the camera."""
    pose = camera.pose(0.0)
    right = np.array([pose.rotation[0, 0], pose.rotation[0, 1]])
    right /= np.linalg.norm(right)
    ahead = np.array([-right[1], right[0]])
    middle = np.array([camera.target[0](0.0), camera.target[1](0.0)])
    aside = float(rng.uniform(-0.45, 0.45)) * distance
    place = middle + aside * right + float(rng.uniform(-0.3, 0.3)) * distance * ahead
    role = replace(role, start=np.append(place, rng.uniform(-0.3, 0.3) * distance))
    if not empty:
        role = grounded(role, None)
    for _ in range(10):
        if _gap(role, camera) > _CLEAR * distance:
            break
        role = replace(role, start=role.start + np.append(ahead * 0.12 * distance, 0))
    return role


def _gap(role: Role, camera: CameraPath) -> float:
    """Return how near the camera gets to a kinematic role's surrounding ball, metres."""
    least = math.inf
    for time in _SECONDS:
        swing = role.swing * (np.sin(role.pace * time + role.phase) - np.sin(role.phase))
        place = role.start + swing + role.velocity * time
        least = min(least, float(np.linalg.norm(camera.pose(float(time)).eye - place)))
    return least - role.size


def _aside(rng: np.random.Generator, role: Role, large: Role) -> Role:
    """Move a role out of a large one, to a random place beside it."""
    need = 0.75 * large.size + role.size
    if _apart(role, large) > need or abs(role.start[2] - large.start[2]) > need:
        return role
    way = float(rng.uniform(0, 2 * math.pi))
    place = large.start[:2] + need * np.array([math.cos(way), math.sin(way)])
    return replace(role, start=np.append(place, role.start[2]))
