# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Built things for simulated scenes: posts, vehicles, furniture, frames, containers.

Each is put together from boxes and bodies of revolution, upright, in random proportions. A part
wears a quarter of the texture: MAIN, SECOND, DARK or PANEL (see simulated_paint).
"""

from collections.abc import Callable
import math

import numpy as np

from vos_ros.data.simulated_meshes import ball
from vos_ros.data.simulated_meshes import between
from vos_ros.data.simulated_meshes import box
from vos_ros.data.simulated_meshes import join
from vos_ros.data.simulated_meshes import Mesh
from vos_ros.data.simulated_meshes import Part
from vos_ros.data.simulated_meshes import ring
from vos_ros.data.simulated_meshes import turned
from vos_ros.data.simulated_paint import DARK
from vos_ros.data.simulated_paint import MAIN
from vos_ros.data.simulated_paint import PANEL
from vos_ros.data.simulated_paint import SECOND

Place = tuple[float, float, float]

_BOX = box(1, 1, 1)
_ROUND = turned(np.array([[0.5, -0.5], [0.5, 0.5]]), 16)
_ROD = turned(np.array([[0.5, -0.5], [0.5, 0.5]]), 8)
_BALL = ball(9, 16)


def draw_built(rng: np.random.Generator) -> Mesh:
    """Draw a thing that stands on its lowest points, z up."""
    makers, odds = zip(*_MAKERS, strict=True)
    return join(makers[int(rng.choice(len(makers), p=np.array(odds) / sum(odds)))](rng))


def _block(size: Place, at: Place, patch: int = MAIN, turn: Place = (0.0, 0.0, 0.0)) -> Part:
    return Part(_BOX, size, at, turn, patch)


def _drum(width: float, height: float, at: Place, patch: int = MAIN) -> Part:
    return Part(_ROUND, (width, width, height), at, patch=patch)


def _rod(start: Place, end: Place, width: float, patch: int = MAIN) -> Part:
    """Lay a rod from one point to another."""
    return between(_ROD, start, end, width, patch)


def _wheel(width: float, thick: float, at: Place, patch: int = DARK) -> Part:
    """Make a disc that rolls along x."""
    return Part(_ROUND, (width, width, thick), at, (math.pi / 2, 0.0, 0.0), patch)


def _four(x: float, y: float) -> list[tuple[float, float]]:
    return [(i * x, j * y) for i in (-1, 1) for j in (-1, 1)]


def _post(rng: np.random.Generator) -> list[Part]:
    """Make a post, bollard or pole; perhaps with base plate, bands, and a ball or sign on top."""
    width = float(np.exp(rng.uniform(math.log(0.025), math.log(0.22))))
    square = rng.random() < 0.35
    shaft = _BOX if square else _ROUND
    parts = [Part(shaft, (width, width * (rng.uniform(0.4, 1) if square else 1), 1),
                  (0, 0, 0.5))]
    if rng.random() < 0.4:
        plate = width * float(rng.uniform(1.5, 3.5))
        parts.append(Part(_BOX if rng.random() < 0.5 else _ROUND,
                          (plate, plate, float(rng.uniform(0.02, 0.08))), (0, 0, 0.03),
                          patch=int(rng.choice([MAIN, DARK]))))
    if rng.random() < 0.4:
        for height in np.linspace(float(rng.uniform(0.3, 0.7)), 0.93, int(rng.integers(1, 4))):
            parts.append(Part(shaft, (width * 1.04, width * 1.04, float(rng.uniform(0.04, 0.1))),
                              (0, 0, float(height)), patch=SECOND))
    top = float(rng.random())
    if top < 0.25:
        ball = width * float(rng.uniform(0.95, 1.8))
        parts.append(Part(_BALL, (ball, ball, ball), (0, 0, 1 + ball * 0.3),
                          patch=int(rng.choice([MAIN, SECOND]))))
    elif top < 0.55 and width < 0.1:
        wide, tall = (float(v) for v in rng.uniform(0.15, 0.5, 2))
        patch = int(rng.choice([SECOND, PANEL]))
        if rng.random() < 0.5:
            parts.append(_block((wide, 0.02, tall), (0, -width / 2, 1 - tall / 3), patch))
        else:
            parts.append(Part(_ROUND, (wide, wide, 0.02), (0, -width / 2, 1),
                              (math.pi / 2, 0, 0), patch))
    return parts


def _vehicle(rng: np.random.Generator) -> list[Part]:
    """Make a bus, van, lorry or car along x: boxes on wheels."""
    wide, tall = float(rng.uniform(0.22, 0.45)), float(rng.uniform(0.2, 0.42))
    wheel = float(rng.uniform(0.07, 0.17))
    bottom = wheel * float(rng.uniform(0.35, 0.7))
    kind = int(rng.integers(4))
    if kind == 0:
        # Body, band of windows, roof, one on the other.
        low = tall * float(rng.uniform(0.4, 0.6))
        band = tall * float(rng.uniform(0.2, 0.35))
        roof = max(tall - low - band, 0.02)
        parts = [_block((1, wide, low), (0, 0, bottom + low / 2)),
                 _block((0.985, wide * 0.98, band), (0, 0, bottom + low + band / 2), PANEL),
                 _block((1, wide, roof), (0, 0, bottom + low + band + roof / 2),
                        int(rng.choice([MAIN, MAIN, SECOND])))]
        if rng.random() < 0.4:
            parts.append(_block((rng.uniform(0.1, 0.4), wide * 0.6, 0.04),
                                (rng.uniform(-0.2, 0.2), 0, bottom + tall + 0.02)))
    elif kind == 1:
        cab = float(rng.uniform(0.15, 0.35))
        rise = tall * float(rng.uniform(0.6, 1.0))
        parts = [_block((1 - cab - 0.02, wide, tall), (-cab / 2 - 0.01, 0, bottom + tall / 2),
                        int(rng.choice([MAIN, PANEL]))),
                 _block((cab, wide * 0.95, rise), (0.5 - cab / 2, 0, bottom + rise / 2), SECOND),
                 _block((cab * 0.6, wide * 0.97, rise * 0.35),
                        (0.505 - cab * 0.3, 0, bottom + rise * 0.72), DARK),
                 _block((0.9, wide * 0.7, bottom), (0, 0, bottom / 2 + wheel * 0.2), DARK)]
    elif kind == 2:
        low = tall * float(rng.uniform(0.4, 0.55))
        cabin, shift = float(rng.uniform(0.35, 0.6)), float(rng.uniform(-0.12, 0.05))
        glass = tall - low
        parts = [_block((1, wide, low), (0, 0, bottom + low / 2)),
                 _block((cabin, wide * 0.86, glass), (shift, 0, bottom + low + glass / 2), DARK),
                 _block((cabin * 0.98, wide * 0.88, 0.02), (shift, 0, bottom + tall))]
    else:
        parts = [_block((1, wide, tall), (0, 0, tall / 2), int(rng.choice([MAIN, PANEL])))]
        if rng.random() < 0.5:
            parts += [_block((0.02, wide * 1.02, tall * 1.02), (x, 0, tall / 2), SECOND)
                      for x in (-0.49, 0.49)]
        return parts
    for x in np.linspace(-1, 1, int(rng.choice([2, 2, 3]))) * float(rng.uniform(0.28, 0.38)):
        parts += [_wheel(wheel, 0.05, (float(x), y * (wide / 2 - 0.015), wheel / 2))
                  for y in (-1, 1)]
    return parts


def _table(rng: np.random.Generator) -> list[Part]:
    """Make a table, stool or bench."""
    long, wide, tall = (float(v) for v in rng.uniform((0.4, 0.3, 0.3), (1.2, 0.8, 0.9)))
    thick, leg = float(rng.uniform(0.02, 0.08)), float(rng.uniform(0.02, 0.09))
    patch = int(rng.choice([MAIN, SECOND]))
    if rng.random() < 0.3:
        foot = wide * float(rng.uniform(0.5, 0.9))
        return [_drum(wide, thick, (0, 0, tall), patch), _drum(leg, tall, (0, 0, tall / 2)),
                _drum(foot, 0.03, (0, 0, 0.015))]
    parts = [_block((long, wide, thick), (0, 0, tall), patch)]
    lean = float(rng.uniform(0, 0.06))
    parts += [_rod((x * (1 + lean), y * (1 + lean), 0), (x, y, tall), leg)
              for x, y in _four(long / 2 - leg, wide / 2 - leg)]
    if rng.random() < 0.4:
        parts.append(_block((long * 0.9, wide * 0.9, thick / 2), (0, 0, tall * 0.35), patch))
    return parts


def _chair(rng: np.random.Generator) -> list[Part]:
    """Make a chair with a whole or barred back, perhaps with arms."""
    wide, deep, seat = (float(v) for v in rng.uniform((0.35, 0.35, 0.35), (0.6, 0.55, 0.5)))
    back, leg = float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.02, 0.05))
    x, y = wide / 2 - leg / 2, deep / 2 - leg / 2
    parts = [_block((wide, deep, float(rng.uniform(0.02, 0.1))), (0, 0, seat), SECOND)]
    parts += [_rod((i, j, 0), (i, j, seat), leg) for i, j in _four(x, y)]
    if rng.random() < 0.5:
        parts.append(_block((wide, leg, back), (0, y, seat + back / 2), SECOND))
    else:
        parts += [_rod((i, y, seat), (i, y * 1.15, seat + back), leg) for i in (-x, x)]
        parts += [_block((wide, leg, back * 0.15), (0, y * 1.07, seat + back * h), SECOND)
                  for h in (0.5, 0.9)]
    if rng.random() < 0.35:
        parts += [_block((leg * 1.5, deep, leg), (i, 0, seat + back * 0.45)) for i in (-x, x)]
        parts += [_rod((i, -y, seat), (i, -y, seat + back * 0.45), leg) for i in (-x, x)]
    return parts


def _shelf(rng: np.random.Generator) -> list[Part]:
    """Make shelves, or a cupboard with panels for doors."""
    wide, deep = float(rng.uniform(0.35, 0.9)), float(rng.uniform(0.15, 0.45))
    if rng.random() < 0.4:
        return [_block((wide, deep, 0.95), (0, 0, 0.525)),
                _block((wide * 0.94, 0.02, 0.85), (0, -deep / 2, 0.53), PANEL),
                _block((wide * 1.05, deep * 1.05, 0.03), (0, 0, 1.0), SECOND),
                _block((wide * 0.9, deep * 0.9, 0.06), (0, 0, 0.03), DARK)]
    board = float(rng.uniform(0.015, 0.04))
    parts = [_block((board, deep, 1), (x * wide / 2, 0, 0.5)) for x in (-1, 1)]
    parts += [_block((wide, deep, board), (0, 0, float(z)), SECOND)
              for z in np.linspace(0.05, 0.98, int(rng.integers(3, 7)))]
    if rng.random() < 0.4:
        parts.append(_block((wide, board, 1), (0, deep / 2, 0.5)))
    return parts


def _cart(rng: np.random.Generator) -> list[Part]:
    """Make a trolley: one or two trays or a tub on small wheels, with a handle."""
    long, wide, tall = (float(v) for v in rng.uniform((0.6, 0.35, 0.3), (1, 0.6, 0.8)))
    wheel, rod = float(rng.uniform(0.08, 0.16)), float(rng.uniform(0.02, 0.05))
    x, y = long / 2 - rod, wide / 2 - rod
    parts = [_block((long, wide, 0.05), (0, 0, wheel + 0.025), SECOND)]
    parts += [_wheel(wheel, 0.05, (i * 0.9, j * 0.9, wheel / 2)) for i, j in _four(x, y)]
    if rng.random() < 0.5:
        deep = tall * float(rng.uniform(0.3, 0.7))
        parts.append(_block((long * 0.95, wide * 0.95, deep), (0, 0, wheel + tall - deep / 2),
                            int(rng.choice([MAIN, PANEL]))))
    else:
        parts.append(_block((long, wide, 0.05), (0, 0, wheel + tall), SECOND))
    parts += [_rod((i, j, wheel), (i, j, wheel + tall), rod) for i, j in _four(x, y)]
    up = wheel + tall + 0.15
    parts += [_rod((x, j, wheel + tall), (x + 0.1, j, up), rod) for j in (-y, y)]
    return [*parts, _rod((x + 0.1, -y, up), (x + 0.1, y, up), rod * 1.3, DARK)]


def _bicycle(rng: np.random.Generator) -> list[Part]:
    """Make two wheels with a frame of rods, a saddle and a handlebar."""
    radius = float(rng.uniform(0.26, 0.34))
    half = radius * float(rng.uniform(1.4, 1.8))
    tyre = ring(float(rng.uniform(0.04, 0.11)))
    tube = float(rng.uniform(0.022, 0.05))
    thick = radius * 0.16
    parts = [Part(tyre, (2 * radius, 2 * radius, thick), (x, 0, radius), (math.pi / 2, 0, 0),
                  DARK) for x in (-half, half)]
    if rng.random() < 0.6:
        for x in (-half, half):
            for angle in np.arange(int(rng.integers(3, 6))) * math.pi / 5:
                across = (0.95 * radius * math.cos(angle), 0.95 * radius * math.sin(angle))
                parts.append(_rod((x - across[0], 0, radius - across[1]),
                                  (x + across[0], 0, radius + across[1]), 0.008, PANEL))
    crank, seat = (-0.05, 0.0, radius * 0.9), (-half * 0.4, 0.0, radius * 2.4)
    head, fork = (half * 0.72, 0.0, radius * 2.4), (half, 0.0, radius)
    step = radius * float(rng.uniform(-0.9, 0.0))     # a low frame is easier to get on
    rear = (-half, 0.0, radius)
    parts += [_rod(rear, crank, tube), _rod(crank, seat, tube), _rod(rear, seat, tube * 0.8),
              _rod(crank, head, tube), _rod((seat[0], 0, seat[2] + step), head, tube),
              _rod(head, fork, tube, SECOND), _drum(0.06, 0.06, crank, DARK)]
    top, bar = radius * float(rng.uniform(2.6, 3.1)), float(rng.uniform(0.15, 0.28))
    parts += [_rod(head, (half * 0.65, 0, top), tube, DARK),
              _rod((half * 0.65, -bar, top), (half * 0.65, bar, top), tube, DARK),
              _rod(seat, (seat[0] - 0.02, 0, seat[2] + 0.08), tube, DARK),
              _block((0.22, 0.1, 0.05), (seat[0] - 0.03, 0, seat[2] + 0.1), DARK)]
    if rng.random() < 0.3:
        parts.append(_block((0.22, 0.24, 0.18), (half * 0.95, 0, top - 0.12), SECOND))
    return parts


def _lamp(rng: np.random.Generator) -> list[Part]:
    """Make a lamp with a shade, on a foot."""
    wide = float(rng.uniform(0.25, 0.6))
    tall = wide * float(rng.uniform(0.5, 1.0))
    shade = turned(np.array([[1.0, -1], [float(rng.uniform(0.3, 0.95)), 1]]), 20)
    foot = wide * float(rng.uniform(0.4, 0.9))
    return [_drum(foot, 0.04, (0, 0, 0.02)), _drum(float(rng.uniform(0.02, 0.06)), 1,
                                                   (0, 0, 0.5)),
            Part(shade, (wide, wide, tall), (0, 0, 1), patch=SECOND)]


def _ladder(rng: np.random.Generator) -> list[Part]:
    """Make a step ladder, or a piece of fence, of rods."""
    wide, rod = float(rng.uniform(0.25, 0.5)), float(rng.uniform(0.02, 0.06))
    if rng.random() < 0.5:
        x, many = wide * 1.5, int(rng.integers(3, 10))
        parts = [_rod((-x, 0, z), (x, 0, z), rod) for z in (0.15, 0.9)]
        parts += [_rod((float(i), 0, 0.15), (float(i), 0, 0.9), rod * 0.6, SECOND)
                  for i in np.linspace(-x, x, many)]
        return parts + [_block((rod * 2, 0.3, rod), (i, 0, rod / 2)) for i in (-x, x)] \
            + [_rod((i, 0, 0), (i, 0, 1), rod * 1.4) for i in (-x, x)]
    lean = float(rng.uniform(0.15, 0.35))
    parts = [_rod((i * 1.15, j * lean, 0), (i, 0, 1), rod) for i, j in _four(wide / 2, 1)]
    for z in np.linspace(0.15, 0.92, int(rng.integers(3, 7))):
        y = -lean * (1 - float(z))
        parts.append(_block((wide * 1.05, rod * 2.5, rod), (0, y, float(z)), SECOND))
    return parts


def _bottle(rng: np.random.Generator) -> list[Part]:
    """Make a bottle, can, bucket or tin with a lid."""
    radius = float(rng.uniform(0.12, 0.4))
    if rng.random() < 0.5:
        neck, shoulder = radius * float(rng.uniform(0.25, 0.5)), float(rng.uniform(0.5, 0.75))
        body = turned(np.array([[radius, 0], [radius, shoulder], [neck, shoulder + 0.15],
                                [neck, 1]]))
        lid = neck * 2.3
    else:
        lower = radius * float(rng.uniform(0.7, 1.0))
        body, lid = turned(np.array([[lower, 0], [radius, 1]])), 2.08 * radius
        shoulder = 0.0
    parts = [Part(body, (2 * radius, 2 * radius, 1), (0, 0, 0.5), patch=int(
        rng.choice([MAIN, PANEL])))]
    if rng.random() < 0.8:
        parts.append(_drum(lid, float(rng.uniform(0.03, 0.1)), (0, 0, 1), SECOND))
    if shoulder and rng.random() < 0.5:
        parts.append(_drum(radius * 2.03, shoulder * 0.6, (0, 0, shoulder * 0.5), PANEL))
    return parts


def _crate(rng: np.random.Generator) -> list[Part]:
    """Make a box with a lid, a label, or bars round it."""
    long, wide, tall = (float(v) for v in rng.uniform((0.5, 0.4, 0.2), (1, 0.9, 0.9)))
    parts = [_block((long, wide, tall), (0, 0, tall / 2), int(rng.choice([MAIN, PANEL])))]
    if rng.random() < 0.6:
        lid = float(rng.uniform(0.05, 0.25)) * tall
        parts.append(_block((long * 1.04, wide * 1.04, lid), (0, 0, tall), SECOND))
    else:
        parts += [_block((long * 0.12, wide * 1.02, tall * 1.02), (long * x, 0, tall / 2), SECOND)
                  for x in (-0.3, 0.3)]
    return parts


_MAKERS: tuple[tuple[Callable[[np.random.Generator], list[Part]], float], ...] = (
    (_post, 3.0), (_vehicle, 4.0), (_table, 1.3), (_chair, 1.3), (_shelf, 1.2), (_cart, 1.2),
    (_bicycle, 2.5), (_lamp, 0.7), (_ladder, 1.5), (_bottle, 1.3), (_crate, 1.3))
