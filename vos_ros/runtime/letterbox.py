# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A frame of any size into the network's fixed input and its masks back, aspect kept."""

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.native import address
from vos_ros.runtime.native import compiled

# ImageNet's mean in RGB: after normalisation in the graph the padding is (nearly) zero.
MEAN_COLOUR = (124, 116, 104)
# A frame that is this many times too large is halved first.
_HALVED = 2.1
# Up to here linear sampling to twice the size skips next to nothing.
_SAMPLED = 2.5


def facing(input_size: tuple[int, int], frame_size: tuple[int, int]) -> tuple[int, int]:
    """Return an input size (height, width), turned if frames stand where it lies, or lie.

    A frame that stands fills little more than half of an input that lies.
    """
    across = (frame_size[0] - frame_size[1]) * (input_size[0] - input_size[1]) < 0
    return input_size[::-1] if across else input_size


def ordered(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a frame as OpenCV takes it: channels one after the other, copied if they are not."""
    if frame.strides[1:] == (3, -1) and frame.strides[0] > 0:
        return cv2.cvtColor(  # type: ignore[return-value]  # uint8 in and out
            frame[:, :, ::-1], cv2.COLOR_BGR2RGB)
    if frame.strides[1:] == (3, 1) and frame.strides[0] > 0:
        return frame
    return np.ascontiguousarray(frame)


class Letterbox:
    """The mapping between frames of one size and a network input of one size.

    The frame is scaled to fit, put in the top left corner, and the rest is the mean colour.
    Pixel centres correspond: x_input + 0.5 = (x_frame + 0.5) · content_width / frame_width.

    frame_size, input_size: (height, width), pixels.  content_size: (height, width) of the part of
    the input that the frame covers.  Raises ValueError for a side below one pixel.
    """

    def __init__(self, frame_size: tuple[int, int], input_size: tuple[int, int]) -> None:
        """Work out the scale and allocate the input once."""
        for name, size in (('frame_size', frame_size), ('input_size', input_size)):
            if min(size) < 1:
                raise ValueError(f'{name} is {size}, both sides must be at least 1')
        self.frame_size = frame_size
        self.input_size = input_size
        scale = min(input_size[0] / frame_size[0], input_size[1] / frame_size[1])
        self.content_size = (
            min(input_size[0], max(1, round(frame_size[0] * scale))),
            min(input_size[1], max(1, round(frame_size[1] * scale))))
        self._input = np.empty((*input_size, 3), np.uint8)
        self._input[:] = MEAN_COLOUR
        height, width = self.content_size
        self._content = self._input[:height, :width]
        self._reversed = np.empty((height, width, 3), np.uint8)
        # Below one half, linear sampling skips pixels and lets thin edges flicker from frame to
        # frame, so all covered pixels must be averaged.  cv2.INTER_AREA does, but slowly; halving
        # exactly is a fast special case of it.  So: halves, then linear sampling to twice the
        # size, where its blur does not show, and a last half.
        # Halving down to less than 1.05 times the size would only blur.  From there on it blurs a
        # little, too, but is faster, and what the network finds is the same (class-agnostic AP 5.7
        # for 5.6 on held-out COCO images, enlarged so that halving ends at 1.09 times the size).
        sizes = [frame_size]
        while all(side % 2 == 0 for side in sizes[-1]) and _ratio(sizes[-1], height, width) \
                >= _HALVED:
            sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
        if 2 <= _ratio(sizes[-1], height, width) < _SAMPLED:
            sizes.append((2 * height, 2 * width))
        self._between = [
            (np.empty((*size, 3), np.uint8),
             cv2.INTER_AREA if before == (2 * size[0], 2 * size[1]) else cv2.INTER_LINEAR)
            for before, size in pairwise(sizes) if before != size]
        # What cannot be halved, because a side is odd, takes the slow way.
        skips = sizes[-1][0] >= 2 * height or sizes[-1][1] >= 2 * width
        self._interpolation = cv2.INTER_AREA if skips else cv2.INTER_LINEAR
        self._scaling: Scaling | None = None
        if sizes[-1] != (height, width) and not skips and Scaling.serves(sizes[-1], width):
            self._scaling = Scaling(sizes[-1], (height, width))

    def apply(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the network's input for a frame, uint8 [height, width, 3].

        frame: uint8 [height, width, 3] of ``frame_size``; rows may be strided, channels reversed
        (a BGR picture's [:, :, ::-1], which is put in order on the small picture).  The array
        returned is the same one each time: it is valid until the next call.
        Raises ValueError for a frame of another size or type.
        """
        if frame.shape != (*self.frame_size, 3) or frame.dtype != np.uint8:
            raise ValueError(f'frame is {frame.dtype}{frame.shape}, '
                             f'must be uint8{(*self.frame_size, 3)}')
        height, width = self.content_size
        reverse = frame.strides[1:] == (3, -1)
        frame = ordered(frame[:, :, ::-1] if reverse else frame)
        for smaller, interpolation in self._between:
            frame = cv2.resize(  # type: ignore[assignment]  # uint8 in and out
                frame, smaller.shape[1::-1], dst=smaller, interpolation=interpolation)
        if self._scaling is not None:
            self._scaling.apply(frame, self._content, reverse)
            return self._input
        content = self._reversed if reverse else self._content
        if frame.shape[:2] == (height, width):
            content[:] = frame
        else:
            cv2.resize(frame, (width, height), dst=content, interpolation=self._interpolation)
        if reverse:
            cv2.cvtColor(content, cv2.COLOR_BGR2RGB, dst=self._content)
        return self._input

    def mask_to_frame(
            self, mask: NDArray[np.float32], interpolation: int = cv2.INTER_LINEAR,
            ) -> NDArray[np.float32]:
        """Return a mask over the input, [h, w] at any stride, as one over the frame.

        Exact inverse of the geometry of ``apply``: pixel centres map to pixel centres, the
        padding is left out.  Meant for single masks and for tests; label maps take the faster
        way of ``vos_ros.tracking.labels``.
        """
        rows = mask.shape[0] / self.input_size[0] * self.content_size[0] / self.frame_size[0]
        columns = mask.shape[1] / self.input_size[1] * self.content_size[1] / self.frame_size[1]
        matrix = np.array([[columns, 0, 0.5 * columns - 0.5], [0, rows, 0.5 * rows - 0.5]])
        return cv2.warpAffine(  # type: ignore[return-value]  # float32 in, float32 out
            mask, matrix, self.frame_size[::-1], flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE)


class Scaling:
    """Linear interpolation of a frame of three bytes a pixel, compiled; swaps channels by the way.

    Half the time of OpenCV's, and within two grey levels of it, mostly one.
    size, smaller: (height, width), before and after.
    """

    @staticmethod
    def serves(size: tuple[int, int], width: int) -> bool:
        """Say whether the compiled loop is there and can scale from a size to a width."""
        return compiled() is not None and min(size) > 1 and width % 2 == 0

    def __init__(self, size: tuple[int, int], smaller: tuple[int, int]) -> None:
        """Work out which pixels each one lies between."""
        rows, row_shares = _between(size[0], smaller[0])
        columns, column_shares = _between(size[1], smaller[1])
        line = np.empty(3 * size[1] + 8, np.uint8)
        self._scale = compiled().vos_ros_scale
        self._kept = (rows, row_shares, 3 * columns, np.repeat(column_shares, 4), line)
        self._fixed = (3 * size[1], *smaller, *(address(a) for a in self._kept[:-1]))
        self._line = address(line)

    def apply(
            self, frame: NDArray[np.uint8], content: NDArray[np.uint8], reverse: bool) -> None:
        """Scale a frame into content; both may have rows that lie apart."""
        self._scale(address(frame), frame.strides[0], *self._fixed, reverse, self._line,
                    address(content), content.strides[0])


def _between(side: int, smaller: int) -> tuple[NDArray[np.int32], NDArray[np.uint16]]:
    """Return the first of the two pixels that each new one lies between, and the other's share.

    int32 and uint16 [smaller]; the share is of 256.
    """
    place = (np.arange(smaller) + 0.5) * side / smaller - 0.5
    first = np.clip(np.floor(place), 0, side - 2).astype(np.int32)
    return first, np.clip(np.rint((place - first) * 256), 0, 256).astype(np.uint16)


def _ratio(size: tuple[int, int], height: int, width: int) -> float:
    """Return how many times the size is too large, in the direction in which it is less so."""
    return min(size[0] / height, size[1] / width)
