# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A lost object is found by the look of its kernel, wherever it comes back."""

from dataclasses import dataclass
from dataclasses import replace

import numpy as np
import pytest
from synthetic_scene import blank
from synthetic_scene import DIM
from synthetic_scene import Disc
from synthetic_scene import kernels
from synthetic_scene import Scene

from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams

PLACED = 8              # of a kernel's numbers, the last ones
QUICK = InstanceTrackerParams(reuse_interval=1, confirm_keyframes=1)


@dataclass
class Placed(Scene):
    """A scene whose kernels end with where their object is; told: whether they say so."""

    told: bool = True

    def key(self, image):
        output = super().key(image)
        row, column = next((d.at(self.frame) for d in self.discs if d.at(self.frame)), (0, 0))
        code = np.cos(np.outer((row / 24, column / 32), np.pi * np.arange(1, 5))).ravel()
        output.kernels[:, -PLACED:] = 2 * code
        return replace(output, look_dim=DIM - PLACED if self.told else None)


def look(seed):
    """A kernel whose last numbers the features do not read."""
    kernel = kernels(2)[seed].copy()
    kernel[-PLACED:] = 0
    return kernel / np.linalg.norm(kernel)


@pytest.mark.parametrize(('told', 'second', 'ids'), [
    (True, 0, 1),           # the same object elsewhere
    (True, 1, 2),           # another one
    (False, 0, 2),          # where it was drowns how it looks
])
def test_what_comes_back_elsewhere_is_known_by_its_look(told, second, ids):
    scene = Placed([
        Disc(look(0), lambda t: (12, 4) if t < 5 else None),
        Disc(look(second), lambda t: (6, 27) if t >= 15 else None)], told=told)
    if second == 0:
        # One object: a kernel twice would leave its features undecided.
        scene.discs = [Disc(look(0), lambda t: None if 5 <= t < 15 else (12, 4) if t < 5
                            else (6, 27))]
    tracker = InstanceTracker(scene, QUICK)
    results = [tracker.step(blank()) for _ in range(20)]
    assert int(results[0].label_map[100, 36]) == 1
    assert int(results[19].label_map[52, 220]) == ids
