# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Living things for simulated scenes: people and four-legged animals whose limbs move.

A body is a tree of bones. Each bone turns about one axis at its joint, to and fro, and carries
parts (see simulated_meshes) that wear a quarter of the texture. Nothing else in these scenes
changes its shape, and real things that are followed do so all the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

from vos_ros.data.simulated_meshes import assemble
from vos_ros.data.simulated_meshes import ball
from vos_ros.data.simulated_meshes import between
from vos_ros.data.simulated_meshes import Mesh
from vos_ros.data.simulated_meshes import Part
from vos_ros.data.simulated_meshes import turned
from vos_ros.data.simulated_paint import DARK
from vos_ros.data.simulated_paint import MAIN
from vos_ros.data.simulated_paint import PANEL
from vos_ros.data.simulated_paint import SECOND

F64 = NDArray[np.float64]
Place = tuple[float, float, float]

_BALL = ball(9, 12)
# Thicker where it begins, round at both ends.
_LIMB = turned(np.array([[0.5, -0.5], [0.95, -0.42], [1.0, -0.3], [0.75, 0.4], [0.45, 0.5]]), 10)
_SKIRT = turned(np.array([[1.0, -0.5], [0.45, 0.5]]), 12)

# What turns a limb forwards and backwards, sideways, and round: the body looks along x, z is up.
_ACROSS, _AHEAD, _UP = np.eye(3)[[1, 0, 2]]


@dataclass(frozen=True)
class Bone:
    """A part of a body that moves as one.

    mesh: in units of the whole body's radius, its joint at the origin.
    parent: number of the bone it hangs on, -1 for the body itself. joint: where, in that one's
    frame. axis: unit vector that it turns about. middle, swing: angles, radians.
    pace: radians a second. phase: radians.
    """

    mesh: Mesh
    parent: int
    joint: F64
    axis: F64
    middle: float
    swing: float
    pace: float
    phase: float

    def turn(self, time: float) -> F64:
        """Return its rotation [3, 3] against what it hangs on, after `time` seconds."""
        angle = self.middle + self.swing * math.sin(self.pace * time + self.phase)
        x, y, z = self.axis
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def place_bones(bones: Sequence[Bone], time: float) -> list[tuple[F64, F64]]:
    """Return each bone's place [3] and rotation [3, 3] in the body's frame after `time` seconds.

    Places are in units of the body's radius.
    """
    out: list[tuple[F64, F64]] = []
    for bone in bones:
        place, turn = (np.zeros(3), np.eye(3)) if bone.parent < 0 else out[bone.parent]
        out.append((place + turn @ bone.joint, turn @ bone.turn(time)))
    return out


@dataclass
class _Joint:
    """A bone as it is drawn: everything in the whole body's own lengths, limbs straight down."""

    parent: int
    at: Place
    parts: list[Part]
    axis: F64
    middle: float = 0.0
    swing: float = 0.0
    pace: float = 0.0
    phase: float = 0.0


def draw_living(rng: np.random.Generator) -> tuple[Mesh, tuple[Bone, ...]]:
    """Draw a person or an animal: what it looks like with straight limbs, and its bones."""
    joints = _person(rng) if rng.random() < 0.6 else _animal(rng)
    points, normals, places = assemble([part for joint in joints for part in joint.parts])
    middle = (points.max(0) + points.min(0)) / 2
    points = points - middle
    radius = float(np.linalg.norm(points, axis=1).max())
    points = points / radius
    bones, first = [], 0
    for joint in joints:
        last = first + sum(len(part.mesh.corners) for part in joint.parts)
        at = (np.asarray(joint.at) - middle) / radius
        above = np.zeros(3) if joint.parent < 0 \
            else (np.asarray(joints[joint.parent].at) - middle) / radius
        bones.append(Bone(Mesh(points[first:last] - at, normals[first:last], places[first:last]),
                          joint.parent, at - above, joint.axis, joint.middle, joint.swing,
                          joint.pace, joint.phase))
        first = last
    return Mesh(points, normals, places), tuple(bones)


def _ball(size: Place, at: Place, patch: int) -> Part:
    return Part(_BALL, size, at, patch=patch)


def _limb(start: Place, end: Place, width: float, patch: int) -> Part:
    """Lay a limb from its joint to its end, and a little beyond both."""
    return between(_LIMB, start, end, width, patch, 1.08)


def _aslant(rng: np.random.Generator, axis: F64, spread: float) -> F64:
    """Tilt an axis a little."""
    out = axis + rng.normal(0, spread, 3)
    return out / np.linalg.norm(out)


def _person(rng: np.random.Generator) -> list[_Joint]:
    """Make a person of height 1 who walks, dances, sits or stands about."""
    hip = float(rng.uniform(0.42, 0.52))
    neck = float(rng.uniform(0.8, 0.85))
    broad = float(rng.uniform(0.09, 0.15))          # from the middle to a shoulder
    thick = float(rng.uniform(0.8, 1.5))            # of body and limbs
    deep = 0.13 * thick
    leg, arm = 0.095 * thick, 0.065 * thick
    trousers = int(rng.choice([MAIN, MAIN, DARK, PANEL]))
    bare = float(rng.random())
    shin = PANEL if bare < 0.25 else trousers
    forearm = PANEL if bare < 0.5 else SECOND
    mood = str(rng.choice(['walk', 'dance', 'sit', 'stand'], p=[0.4, 0.35, 0.1, 0.15]))
    pace = float(rng.uniform(2.0, 9.0))
    wide = {'walk': rng.uniform(0.3, 0.9), 'dance': rng.uniform(0.4, 1.1), 'sit': 0.15,
            'stand': 0.12}[mood]

    def swing(phase: float, most: float = 1.0) -> tuple[float, float, float]:
        """Return swing, pace, phase; who dances moves each limb by itself."""
        if mood == 'walk':
            return float(wide * most), pace, phase
        return (float(wide * most * rng.uniform(0.3, 1.0)), pace * float(rng.uniform(0.4, 1.2)),
                float(rng.uniform(0, 2 * math.pi)))

    chest = (hip + neck) / 2
    body = [_ball((deep * 1.1, broad * 1.7, 0.22), (0, 0, hip + 0.02), trousers),
            _ball((deep * 1.2, broad * 2.1, (neck - hip) * 1.15), (0, 0, chest), SECOND),
            _ball((deep, broad * 2.2, 0.12), (0, 0, neck - 0.06), SECOND)]
    if rng.random() < 0.2:
        hem = float(rng.uniform(0.12, 0.36))
        flare = broad * float(rng.uniform(2.2, 4.0))
        body.append(Part(_SKIRT, (flare * 0.8, flare, hip - hem + 0.12),
                         (0, 0, (hip + hem) / 2 + 0.06), patch=int(rng.choice([MAIN, SECOND]))))
    if rng.random() < 0.25:
        body.append(_ball((0.12, broad * 1.6, 0.24), (-deep * 0.8, 0, chest + 0.03),
                          int(rng.choice([MAIN, DARK]))))
    lean = float(rng.uniform(-0.1, 0.5)) if rng.random() < 0.3 else float(rng.normal(0, 0.06))
    joints = [_Joint(-1, (0, 0, hip), body, _aslant(rng, _ACROSS, 0.1), lean, *swing(0, 0.12))]
    head = [_limb((0, 0, neck - 0.03), (0, 0, neck + 0.04), 0.06, PANEL),
            _ball((0.115, 0.1, 0.14), (0.01, 0, neck + 0.09), PANEL)]
    if rng.random() < 0.85:
        hair = DARK if rng.random() < 0.7 else int(rng.choice([MAIN, SECOND]))
        head.append(_ball((0.12, 0.112, 0.12), (-0.012, 0, neck + 0.112), hair))
        if rng.random() < 0.3:
            head.append(_ball((0.07, 0.11, 0.22), (-0.045, 0, neck + 0.03), hair))
    joints.append(_Joint(0, (0, 0, neck), head, _aslant(rng, _UP, 0.4), 0.0, *swing(1, 0.4)))
    for side in (-1, 1):
        step = 0.0 if side < 0 else math.pi
        raised = float(rng.uniform(0.5, 2.6)) if mood == 'dance' and rng.random() < 0.5 \
            else float(rng.uniform(-0.1, 0.4))
        shoulder = (0.0, side * broad, neck - 0.045)
        elbow = (0.0, side * (broad + 0.015), neck - 0.045 - 0.17)
        hand = (0.0, side * (broad + 0.02), neck - 0.045 - 0.34)
        # Arms swing against the legs; one that is raised goes up sideways or before the body.
        axis = _aslant(rng, -_ACROSS if rng.random() < 0.6 else side * _AHEAD, 0.15) \
            if raised > 0.5 else _aslant(rng, -_ACROSS, 0.1)
        joints.append(_Joint(0, shoulder, [_limb(shoulder, elbow, arm * 1.15, SECOND)],
                             axis, raised, *swing(step + math.pi, 0.8)))
        joints.append(_Joint(len(joints) - 1, elbow,
                             [_limb(elbow, hand, arm, forearm),
                              _ball((0.05, 0.035, 0.07), hand, PANEL)],
                             _aslant(rng, -_ACROSS, 0.2), float(rng.uniform(0.1, 1.4)),
                             *swing(step + math.pi, 0.4)))
        bend = 1.4 if mood == 'sit' else float(rng.uniform(0, 0.3))
        thigh, knee = (0.0, side * broad * 0.5, hip), (0.0, side * broad * 0.55, hip * 0.54)
        foot = (0.0, side * broad * 0.55, 0.05)
        joints.append(_Joint(0, thigh, [_limb(thigh, knee, leg * 1.2, trousers)],
                             _aslant(rng, -_ACROSS, 0.1), bend, *swing(step)))
        joints.append(_Joint(len(joints) - 1, knee,
                             [_limb(knee, foot, leg, shin),
                              _ball((0.15, 0.06, 0.055), (0.035, foot[1], 0.028),
                                    int(rng.choice([DARK, DARK, PANEL])))],
                             _aslant(rng, _ACROSS, 0.05),
                             bend if mood == 'sit' else float(rng.uniform(0.2, 0.6)),
                             *swing(step + 1.5, 0.6)))
    return joints


def _animal(rng: np.random.Generator) -> list[_Joint]:
    """Make a four-legged animal whose body is of length 1."""
    tall = float(np.exp(rng.uniform(math.log(0.3), math.log(1.3))))     # of its legs
    deep, broad = (float(v) for v in rng.uniform((0.25, 0.2), (0.5, 0.4)))
    leg = float(rng.uniform(0.07, 0.16))
    belly = int(rng.choice([MAIN, MAIN, SECOND]))
    paw = int(rng.choice([MAIN, SECOND, DARK]))
    pace, wide = float(rng.uniform(1.5, 8.0)), float(rng.choice([0.1, rng.uniform(0.3, 0.8)]))
    top = tall + deep * 0.5
    body = [_ball((1, broad, deep), (0, 0, top), MAIN),
            _ball((0.5, broad * 1.05, deep * 1.05), (0.24, 0, top), MAIN),
            _ball((0.45, broad, deep), (-0.25, 0, top), belly)]
    for at in np.linspace(-0.1, 0.15, int(rng.integers(1, 3))):
        if rng.random() < 0.15:
            body.append(_ball((0.3, broad * 0.7, deep), (float(at), 0, top + deep * 0.4), MAIN))
    joints = [_Joint(-1, (0, 0, top), body, _aslant(rng, _ACROSS, 0.1), 0.0, wide * 0.08, pace,
                     0.0)]
    long, rise = float(np.exp(rng.uniform(math.log(0.15), math.log(0.9)))), \
        float(rng.uniform(0.1, 1.4))
    neck = (0.4, 0.0, top + deep * 0.15)
    head = (0.4 + long * math.cos(rise), 0.0, neck[2] + long * math.sin(rise))
    width = deep * float(rng.uniform(0.35, 0.7))
    joints.append(_Joint(0, neck, [_limb(neck, head, width, MAIN)], _aslant(rng, _ACROSS, 0.2),
                         float(rng.uniform(-0.2, 0.5)), float(rng.uniform(0.05, 0.5)),
                         pace * 0.5, float(rng.uniform(0, 6))))
    skull, snout = float(rng.uniform(0.18, 0.34)), float(rng.uniform(0.1, 0.3))
    face = [_ball((skull, skull * 0.8, skull * 0.85), head, int(rng.choice([MAIN, SECOND]))),
            _ball((snout * 1.6, skull * 0.5, skull * 0.5),
                  (head[0] + skull * 0.4 + snout * 0.4, 0, head[2] - skull * 0.15),
                  int(rng.choice([MAIN, SECOND, PANEL]))),
            _ball((0.05, 0.06, 0.05), (head[0] + skull * 0.4 + snout * 1.15, 0,
                                       head[2] - skull * 0.12), DARK)]
    ear = float(rng.uniform(0.08, 0.25))
    face += [_ball((0.05, 0.09, ear), (head[0] - skull * 0.1, side * skull * 0.35,
                                       head[2] + skull * 0.35 + ear * 0.2),
                   int(rng.choice([MAIN, DARK]))) for side in (-1, 1)]
    joints.append(_Joint(1, head, face, _aslant(rng, _UP, 0.5), float(rng.uniform(-0.3, 0.3)),
                         float(rng.uniform(0.1, 0.7)), pace * 0.4, float(rng.uniform(0, 6))))
    for x, front in ((-0.38, False), (0.36, True)):
        for side in (-1, 1):
            step = float(rng.normal(0, 0.3)) + (math.pi if front == (side > 0) else 0.0)
            hip = (x, side * broad * 0.32, top - deep * 0.1)
            knee = (x, hip[1], hip[2] * 0.48)
            foot = (x, hip[1], 0.03)
            joints.append(_Joint(0, hip, [_limb(hip, knee, leg * 1.7, MAIN)],
                                 _aslant(rng, -_ACROSS, 0.08), float(rng.normal(0, 0.1)), wide,
                                 pace, step))
            joints.append(_Joint(len(joints) - 1, knee,
                                 [_limb(knee, foot, leg, paw),
                                  _ball((leg * 1.5, leg, 0.07), (x + leg * 0.3, hip[1], 0.035),
                                        paw)],
                                 _aslant(rng, _ACROSS, 0.05), wide * 0.5, wide * 0.7, pace,
                                 step + 1.5))
    root, tip = (-0.48, 0.0, top + deep * 0.15), float(rng.uniform(0.2, 0.7))
    droop = float(rng.uniform(-1.2, 1.0))
    end = (root[0] - tip * math.cos(droop), 0.0, root[2] + tip * math.sin(droop))
    joints.append(_Joint(0, root, [_limb(root, end, leg * float(rng.uniform(0.5, 1.6)), MAIN)],
                         _aslant(rng, _UP, 0.3), 0.0, float(rng.uniform(0.1, 0.8)),
                         float(rng.uniform(1, 12)), 0.0))
    return joints
