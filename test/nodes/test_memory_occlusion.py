# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The shipped weights in the node: an object goes behind a wall and comes out under its id."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('vos_ros.msg')

from memory_probe import MemoryProbe
from vos_ros.msg import Track

from vos_ros.nodes import images

PACKAGE = Path(__file__).resolve().parents[2] / 'weights/xmem-lite'
HEIGHT, WIDTH, RADIUS = 240, 320, 26
WALL = (140, 215)

pytestmark = pytest.mark.skipif(
    not (PACKAGE / 'model.yaml').is_file(), reason=f'no weights at {PACKAGE}')


def ground():
    import cv2
    noise = np.random.default_rng(3).integers(0, 255, (15, 20, 3)).astype(np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) // 3 + 90


def picture(x, background):
    """Give the picture with the striped disc at x, behind the wall where they meet; its mask."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    disc = (rows - 120) ** 2 + (columns - x) ** 2 < RADIUS ** 2
    image = background.copy()
    stripes = ((columns - x + rows) // 8 % 2).astype(bool)
    image[disc & stripes] = (230, 40, 30)
    image[disc & ~stripes] = (250, 220, 40)
    image[:, WALL[0]:WALL[1]] = (60, 70, 80)
    disc[:, WALL[0]:WALL[1]] = False
    return image, disc


def test_lost_behind_a_wall_and_found_again(ros):
    memory = MemoryProbe(ros, PACKAGE, short_side=0, threads=2)
    background = ground()
    states, overlaps = {}, {}
    image, disc = picture(60, background)
    memory.show(image, 10)
    reply = memory.add({'name': 'ball', 'box': [60.0 - RADIUS, 120.0 - RADIUS,
                                                61.0 + RADIUS, 121.0 + RADIUS]}, second=10)
    assert reply.success, reply.message
    given = images.to_labels(reply.labels) > 0
    assert (given & disc).sum() / (given | disc).sum() > 0.9
    for second, x in enumerate(range(66, 290, 8), 11):
        image, disc = picture(x, background)
        labels, tracks, _, _ = memory.show(image, second)
        assert list(tracks) == [1]
        states[x] = tracks[1].state
        found = labels == 1
        overlaps[x] = (found & disc).sum() / max(1, (found | disc).sum())
    assert states[66] == Track.NEW
    before = [x for x in states if x + RADIUS < WALL[0]]
    hidden = [x for x in states if WALL[0] + RADIUS <= x <= WALL[1] - RADIUS]
    after = [x for x in states if x - RADIUS > WALL[1]]
    assert min(overlaps[x] for x in before) > 0.7, overlaps
    assert hidden and all(states[x] == Track.LOST for x in hidden), states
    assert all(states[x] == Track.TRACKED for x in after), states
    assert np.median([overlaps[x] for x in after]) > 0.7, overlaps
