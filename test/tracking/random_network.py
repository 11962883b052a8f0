# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A network for the memory tracker that answers at random, at once, and fails when told to."""

import numpy as np

from vos_ros.runtime.memory_ops_numpy import NumpyOps
from vos_ros.tracking.memory_network import EncodedFrame


class RandomNetwork:
    """fail: the call that raises MemoryError, ('encode_key', 2) being the third of that name."""

    key_dim, value_dim, hidden_dim = 8, 16, 4
    digest = weights_digest = 'random'

    def __init__(self):
        self.ops = NumpyOps(1)
        self.rng = np.random.default_rng(0)
        self.calls = []
        self.fail = None

    def encode_key(self, image):
        self._called('encode_key')
        grid = image.shape[1] // 16, image.shape[2] // 16
        cells = grid[0] * grid[1]
        return EncodedFrame(self._random(cells, self.key_dim), self._random(cells),
                            self._random(cells, self.key_dim), grid, None)

    def decode(self, frame, readout, hidden):
        self._called('decode')
        odds = self._random(len(readout) + 1, *(16 * side for side in frame.grid))
        return odds / odds.sum(0), hidden + 1

    def encode_value(self, frame, masks, hidden):
        self._called('encode_value')
        assert len(masks) == len(hidden)
        return self._random(len(masks), len(frame.key), self.value_dim), hidden + 1

    def _random(self, *shape):
        return self.rng.random(shape, dtype=np.float32)

    def _called(self, name):
        call = name, self.calls.count(name)
        self.calls.append(name)
        if call == self.fail:
            raise MemoryError(f'{name} was told to fail')
