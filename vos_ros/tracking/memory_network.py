# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the memory tracker needs of a network."""

from dataclasses import dataclass
from typing import Any
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.memory_ops import Array
from vos_ros.runtime.memory_ops import MemoryOps

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class EncodedFrame:
    """A frame's keys and features, on the network's device.

    key, selection: [h w, C^k].  shrinkage: [h w].  grid: (h, w) at stride 16.
    features: what the network wants back for decoding and value encoding.
    """

    key: Array
    shrinkage: Array
    selection: Array
    grid: tuple[int, int]
    features: Any


class MemoryNetwork(Protocol):
    """`vos_ros.runtime.xmem.OnnxXMem` is one, `vos_ros.models.xmem.runtime.TorchXMem` another.

    hidden_dim 0 means no sensory memory: hidden states are then None throughout.
    digest: names the model package.
    weights_digest: names the weights, so that a saved memory is not read by another network; it is
        the same for packages that differ in their figures, say.
    """

    key_dim: int
    value_dim: int
    hidden_dim: int
    digest: str
    weights_digest: str

    @property
    def ops(self) -> MemoryOps:
        """Return the array work on the network's device."""

    def encode_key(self, image: FloatArray) -> EncodedFrame:
        """Encode an image [3, H, W], normalised, both sides multiples of 16."""

    def decode(self, frame: EncodedFrame, readout: Array, hidden: Array | None,
               ) -> tuple[FloatArray, Array | None]:
        """Return probabilities [objects + 1, H, W], background first, and the new hidden state.

        readout: [objects, h w, C^v].  hidden: [objects, C^h, h, w].
        """

    def encode_value(self, frame: EncodedFrame, masks: FloatArray, hidden: Array | None,
                     ) -> tuple[Array, Array | None]:
        """Return values [objects, h w, C^v] and the hidden state after a deep update.

        masks: probabilities [objects, H, W] without the background.
        """
