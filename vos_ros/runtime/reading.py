# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pictures and videos as sources: what is cut off is refused or told, not taken for whole."""

import logging
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_LOGGER = logging.getLogger(__name__)

# A container that says its length in seconds alone tells its frames only roughly.
_SHORT_SHARE, _SHORT_FRAMES = 0.9, 3


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture as uint8 [H, W, 3] BGR; ValueError naming one that cannot be read whole."""
    data = np.fromfile(path, np.uint8)
    # cv2.imread fills what is missing of a JPEG with grey, without a word.
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if image is None:
        raise ValueError(f'{path}: cannot be read as a picture')
    return np.asarray(image, np.uint8)


def warn_if_cut_off(capture: cv2.VideoCapture, source: str, count: int) -> bool:
    """Log a warning when a video that gave its last frame has more of them by what it says.

    count: the frames that were read.  Returns whether there are fewer than there should be.
    """
    told = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    # Streams without an index say 0 or less, or the least integer there is.
    cut = 0 < count < min(_SHORT_SHARE * told, told - _SHORT_FRAMES)
    if cut:
        _LOGGER.warning('%s: ended after %d of %d frames, it may be cut off or damaged', source,
                        count, told)
    return cut
