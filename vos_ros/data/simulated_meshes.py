# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Meshes of simulated objects: read from files or built, with texture places and normals."""

from collections.abc import Sequence
from dataclasses import dataclass
import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vos_ros.data.coco import DataError

F64 = NDArray[np.float64]

# Corners whose faces meet at a flatter angle than about 40 degrees are shaded smoothly.
_SMOOTH = 0.77


@dataclass(frozen=True)
class Mesh:
    """A closed surface of separate triangles, centred, its farthest point 1 from the centre.

    corners, normals: float64 [3 n, 3], three rows a triangle, counter-clockwise from outside.
    places: float64 [3 n, 2], where a corner lies in the texture (0..1, may go beyond).
    """

    corners: F64
    normals: F64
    places: F64

    def hull(self, directions: int = 48) -> F64:
        """Return the corners that lie farthest out in so many directions, [m, 3]."""
        index = np.arange(directions) + 0.5
        height = 1 - 2 * index / directions
        turn = np.pi * (1 + 5 ** 0.5) * index
        ring = np.sqrt(1 - height ** 2)
        sphere = np.stack([ring * np.cos(turn), ring * np.sin(turn), height])
        return self.corners[np.unique((self.corners @ sphere).argmax(0))]


def read_obj(path: str | os.PathLike[str]) -> Mesh:
    """Read the points and faces of an OBJ file; DataError naming it when there are none."""
    points: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    try:
        for line in Path(path).read_text(encoding='utf-8', errors='replace').splitlines():
            words = line.split()
            if words[:1] == ['v']:
                points.append([float(word) for word in words[1:4]])
            elif words[:1] == ['f']:
                ring = [int(word.split('/')[0]) for word in words[1:]]
                ring = [i - 1 if i > 0 else len(points) + i for i in ring]
                faces += [(ring[0], ring[k], ring[k + 1]) for k in range(1, len(ring) - 1)]
        return build(np.asarray(points, np.float64), np.asarray(faces, np.intp))
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f'{path}: is not a usable OBJ mesh ({error})') from error


def build(points: F64, faces: NDArray[np.intp]) -> Mesh:
    """Make a mesh of points [p, 3] and faces [n, 3]; the texture is laid on from three sides.

    Raises ValueError without a triangle that has an area.
    """
    if points.ndim != 2 or faces.ndim != 2 or not len(faces):
        raise ValueError('no faces')
    middle = (points.max(0) + points.min(0)) / 2
    points = points - middle
    points = points / max(float(np.linalg.norm(points, axis=1).max()), 1e-9)
    corners = points[faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(flat, axis=1)
    keep = area > 1e-10     # not a number: not kept
    if not keep.any():
        raise ValueError('no face has an area')
    corners, flat, faces = corners[keep], flat[keep], faces[keep]
    smooth = np.zeros_like(points)
    for corner in range(3):
        np.add.at(smooth, faces[:, corner], flat)
    flat = flat / area[keep, None]
    smooth /= np.linalg.norm(smooth, axis=1, keepdims=True) + 1e-12
    normals = smooth[faces]
    bent = (normals * flat[:, None]).sum(-1) < _SMOOTH
    normals[bent] = np.broadcast_to(flat[:, None], normals.shape)[bent]
    side = np.abs(flat).argmax(1)
    places = np.empty((len(faces), 3, 2))
    for axis, pair in enumerate(((1, 2), (0, 2), (0, 1))):
        places[side == axis] = corners[side == axis][:, :, pair] * 0.5 + 0.5
    return Mesh(corners.reshape(-1, 3), normals.reshape(-1, 3), places.reshape(-1, 2))


def box(x: float, y: float, z: float) -> Mesh:
    """Make a box of these side lengths (only their proportions count)."""
    signs = np.array([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)]) - 0.5
    quads = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))
    faces = [(q[0], q[k], q[k + 1]) for q in quads for k in (1, 2)]
    return build(signs * (x, y, z), np.asarray(faces, np.intp))


def turned(profile: F64, segments: int = 24) -> Mesh:
    """Make a body of revolution about z from a profile [m, 2] of (radius, height), upwards.

    A cylinder, a ball, a bottle or a bowl, depending on the profile; its ends are closed.
    """
    angle = 2 * np.pi * np.arange(segments) / segments
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    points = np.concatenate([np.concatenate([ring * r, np.full((segments, 1), h)], 1)
                             for r, h in profile]
                            + [np.array([[0, 0, profile[0, 1]], [0, 0, profile[-1, 1]]])])
    faces = []
    low, high = len(profile) * segments, len(profile) * segments + 1
    for k in range(segments):
        after = (k + 1) % segments
        for level in range(len(profile) - 1):
            a, b = level * segments + k, level * segments + after
            faces += [(a, b, b + segments), (a, b + segments, a + segments)]
        top = (len(profile) - 1) * segments
        faces += [(low, after, k), (high, top + k, top + after)]
    return build(points, np.asarray(faces, np.intp))


def ball(levels: int, segments: int) -> Mesh:
    """Make a ball of so many circles of latitude, the poles among them, and so many segments."""
    bend = np.linspace(-np.pi / 2, np.pi / 2, levels)[1:-1]
    return turned(np.stack([np.cos(bend), np.sin(bend)], 1), segments)


def draw_primitive(rng: np.random.Generator) -> tuple[Mesh, bool]:
    """Draw a box, ball, can, cone or vase; the second value tells whether it rolls."""
    kind = int(rng.integers(5))
    if kind == 0:
        return box(*rng.uniform(0.3, 1.0, 3)), False
    if kind == 1:
        return ball(13, 24), True
    if kind == 2:
        radius = rng.uniform(0.2, 0.7)
        return turned(np.array([[radius, -0.5], [radius, 0.5]])), True
    if kind == 3:
        return turned(np.array([[rng.uniform(0.3, 0.7), -0.5], [rng.uniform(0.02, 0.2), 0.5]])), \
            False
    steps = np.linspace(-0.5, 0.5, 9)
    width = rng.uniform(0.2, 0.4) * (1 + rng.uniform(0.2, 0.6) * np.sin(
        steps * rng.uniform(2, 7) + rng.uniform(0, 6)))
    return turned(np.stack([width, steps], 1)), False


def ring(thickness: float, segments: int = 24, around: int = 8) -> Mesh:
    """Make a ring about z, like a tyre: its tube's radius as a share of the ring's, 0..1."""
    along = 2 * np.pi * np.arange(segments) / segments
    across = 2 * np.pi * np.arange(around) / around
    out = 1 + thickness * np.cos(across)
    points = np.stack([np.outer(np.cos(along), out), np.outer(np.sin(along), out),
                       np.broadcast_to(thickness * np.sin(across), (segments, around))], -1)
    faces = []
    for k in range(segments):
        for level in range(around):
            a, b = k * around + level, (k + 1) % segments * around + level
            c, d = (k + 1) % segments * around + (level + 1) % around, \
                k * around + (level + 1) % around
            faces += [(a, b, c), (a, c, d)]
    return build(points.reshape(-1, 3), np.asarray(faces, np.intp))


@dataclass(frozen=True)
class Part:
    """A mesh at its place in a larger thing.

    size: lengths of its box before it is turned. at: where the box's middle goes.
    turn: Euler angles in radians. patch: which quarter of the texture it wears, 0..3.
    """

    mesh: Mesh
    size: tuple[float, float, float]
    at: tuple[float, float, float]
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    patch: int = 0


def between(mesh: Mesh, start: Sequence[float], end: Sequence[float], width: float,
            patch: int = 0, beyond: float = 1.0) -> Part:
    """Lay a mesh that is long along z from one point to another.

    beyond: its length, as a multiple of their distance.
    """
    way = np.subtract(end, start)
    long = float(np.linalg.norm(way))
    middle = np.add(start, end) / 2
    return Part(mesh, (width, width, long * beyond),
                (float(middle[0]), float(middle[1]), float(middle[2])),
                (0.0, math.acos(float(way[2]) / long), math.atan2(way[1], way[0])), patch)


def assemble(parts: Sequence[Part]) -> tuple[F64, F64, F64]:
    """Put parts together; each may reach into others. ValueError when there is none.

    Returns corners, normals and texture places as a Mesh has them, but in the parts' lengths.
    """
    if not parts:
        raise ValueError('no parts')
    corners, normals, places = [], [], []
    for part in parts:
        scale = np.asarray(part.size) / np.maximum(np.ptp(part.mesh.corners, axis=0), 1e-9)
        turn = rotation(part.turn)
        corners.append(part.mesh.corners * scale @ turn.T + part.at)
        slope = part.mesh.normals / scale
        normals.append(slope / np.linalg.norm(slope, axis=1, keepdims=True) @ turn.T)
        low, high = part.mesh.places.min(0), part.mesh.places.max(0)
        inside = (part.mesh.places - low) / np.maximum(high - low, 1e-9)
        # A margin keeps its neighbours' colours off a part's edges.
        places.append((np.array([part.patch % 2, part.patch // 2])
                       + 0.04 + 0.92 * inside) / 2)
    return np.concatenate(corners), np.concatenate(normals), np.concatenate(places)


def join(parts: Sequence[Part]) -> Mesh:
    """Make one mesh of parts; each may reach into others. ValueError when there is none."""
    points, normals, places = assemble(parts)
    points = points - (points.max(0) + points.min(0)) / 2
    return Mesh(points / np.linalg.norm(points, axis=1).max(), normals, places)


def rotation(angles: Sequence[float] | F64) -> F64:
    """Return the matrix [3, 3] of Euler angles (radians) as pybullet has them: x, y, then z."""
    (a, b, c), (d, e, f) = np.cos(angles), np.sin(angles)
    return np.array([[b * c, d * e * c - a * f, a * e * c + d * f],
                     [b * f, d * e * f + a * c, a * e * f - d * c],
                     [-e, d * b, a * b]])
