# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Brings a mask given on an older frame up to the newest one."""

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.memory_network import MemoryNetwork
from vos_ros.tracking.memory_params import MemoryTrackerParams


def bring_forward(network: MemoryNetwork, params: MemoryTrackerParams,
                  frames: Iterable[NDArray[np.uint8]], masks: Mapping[int, NDArray[np.bool_]],
                  ) -> dict[int, NDArray[np.bool_]]:
    """Follow objects over a few frames in a memory of their own.

    A click may be on a picture that is some hundred milliseconds old.  The objects' masks on that
    frame are followed to the newest one here, and then given there to the tracker that goes on.

    frames: uint8 [H, W, 3] RGB, from the designated one to the newest, all of one size.
    masks: object id to bool [H, W] on the first of them.
    Returns id to bool [H, W] on the last one; empty where the object has gone out of view.
    Raises ValueError as `MemoryTracker.step` does, and for no frames.
    """
    ids = list(masks)
    tracker = MemoryTracker(network, replace(params, mem_every=1, min_area=0.0))
    labels = None
    for frame in frames:
        if labels is None:
            result = tracker.step(frame, np.stack([masks[i] for i in ids]), ids)
        else:
            result = tracker.step(frame)
        labels = result.label_map
    if labels is None:
        raise ValueError('no frames to bring the masks forward over')
    return {obj: labels == obj for obj in ids}
