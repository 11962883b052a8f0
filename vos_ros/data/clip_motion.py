# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How the layers of a training clip move: affine ways and thin-plate bends."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


def thin_plate_basis(points: int, size: int) -> F32:
    """Give the matrix that takes control point offsets to a displacement field.

    The control points form a points x points grid over the unit square; with offsets d
    [points ** 2, 2] the thin-plate spline through them is basis @ d, [size ** 2, 2]
    (the spline is linear in its values, so the system is solved only once).
    """
    axis = np.linspace(0, 1, points)
    control = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    n = len(control)

    def radial(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        square = ((a[:, None] - b[None]) ** 2).sum(-1)
        return square * np.log(np.maximum(square, 1e-12))

    system = np.zeros((n + 3, n + 3))
    system[:n, :n] = radial(control, control)
    system[:n, n] = system[n, :n] = 1
    system[:n, n + 1:] = control
    system[n + 1:, :n] = control.T
    inverse = np.linalg.inv(system)[:, :n]
    axis = (np.arange(size) + 0.5) / size
    query = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    terms = np.concatenate([radial(query, control), np.ones((len(query), 1)), query], 1)
    return (terms @ inverse).astype(np.float32)


@dataclass(frozen=True)
class Motion:
    """A smooth way through rotation, scale, shear, place and bend, with a little shake."""

    start: NDArray[np.float64]  # rotation (rad), log scale, shear
    turn: NDArray[np.float64]  # change of these per unit of time
    velocity: NDArray[np.float64]  # fraction of the frame per unit of time
    shake: float
    bend: NDArray[np.float64]  # thin-plate offsets reached per unit of time
    wobble: float

    @staticmethod
    def draw(rng: np.random.Generator, pace: float, warp: float) -> 'Motion':
        """Draw a way at random; pace and warp scale movement and bending."""
        spread = np.array([0.15, 0.1, 0.08])
        bent = warp if rng.random() < 0.7 else 0.0
        return Motion(
            start=rng.normal(0, spread),
            turn=rng.normal(0, spread * 0.9 * pace),
            velocity=rng.normal(0, 0.11 * pace, 2),
            shake=abs(rng.normal(0, 0.01)),
            bend=rng.normal(0, bent, (16, 2)),
            wobble=bent * 0.3,
        )

    def matrix(
        self, rng: np.random.Generator, time: float, shape: tuple[int, int],
        middle: NDArray[np.float64], size: int,
    ) -> NDArray[np.float64]:
        """Give the 2x3 matrix from layer pixels to frame pixels."""
        angle, scale, shear = self.start + self.turn * time + rng.normal(0, self.shake, 3)
        scale = float(np.exp(np.clip(scale, -0.8, 0.8)))
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        linear = np.array([[cos, -sin + shear * cos], [sin, cos + shear * sin]])
        place = middle + (self.velocity * time + rng.normal(0, self.shake, 2)) * size
        centre = np.array(shape) / 2
        return np.concatenate([linear, (place - linear @ centre)[:, None]], 1)

    def warp(self, rng: np.random.Generator, time: float) -> NDArray[np.float64]:
        """Give thin-plate offsets [16, 2] as fractions of the frame."""
        return self.bend * time + rng.normal(0, self.wobble + 1e-9, (16, 2))
