# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the instance tracker needs of a network."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.mobileinst import Context
from vos_ros.runtime.mobileinst import KeyOutput


class InstanceNetwork(Protocol):
    """``vos_ros.runtime.mobileinst.MobileInst`` is one, and says what everything means."""

    input_size: tuple[int, int]
    mask_size: tuple[int, int]
    enlargement: int

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the class names."""

    def key(self, image: NDArray[np.uint8]) -> KeyOutput:
        """Find instances."""

    def reuse(
            self, image: NDArray[np.uint8], kernels: NDArray[np.float32],
            context: Context) -> NDArray[np.float32]:
        """Follow kernels, with the context that the last keyframe gave; masks are enlarged."""
