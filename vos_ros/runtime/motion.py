# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Masks of a keyframe, moved to a later frame by dense optical flow instead of a network."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# Flow is found on a picture this much smaller than the network's input: twice the masks' size.
_SCALE = 4


@dataclass(frozen=True)
class KeyframeView:
    """What is kept of a keyframe: grey uint8 [H/4, W/4] and mask_features float32 [D, h, w]."""

    grey: NDArray[np.uint8]
    mask_features: NDArray[np.float32]


class Motion:
    """Dense inverse search (Kroeger et al., ECCV 2016) between a keyframe and a later frame.

    What comes into view after the keyframe has no mask until the next one, and blurred or fast
    motion is lost; see docs/performance.md for what that costs.
    """

    def __init__(self) -> None:
        """Prepare the search."""
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._search.setFinestScale(0)

    @staticmethod
    def view(image: NDArray[np.uint8], mask_features: NDArray[np.float32]) -> KeyframeView:
        """Return what a keyframe uint8 [H, W, 3] must leave behind."""
        return KeyframeView(_shrink(image), mask_features)

    def follow(self, image: NDArray[np.uint8], kernels: NDArray[np.float32],
               keyframe: KeyframeView) -> NDArray[np.float32]:
        """Return mask logits [n, h, w] of kernels [n, D] in an image uint8 [H, W, 3].

        They are those of the keyframe, read where each cell's content lay then.
        """
        dim, height, width = keyframe.mask_features.shape
        masks = (kernels @ keyframe.mask_features.reshape(dim, -1)).reshape(-1, height, width)
        flow = self._search.calc(_shrink(image), keyframe.grey, None)  # type: ignore[call-overload]
        scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) * scale
        x = flow[..., 0] + np.arange(width, dtype=np.float32)
        y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
        return np.stack([cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
                         for mask in masks])


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    size = (image.shape[1] // _SCALE, image.shape[0] // _SCALE)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]
