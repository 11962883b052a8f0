# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs images ↔ numpy, without cv_bridge and with at most one copy."""

from array import array
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# encoding → (channels, conversion to RGB; None where the bytes are RGB already).
_COLOUR: dict[str, tuple[int, int | None]] = {
    'rgb8': (3, None),
    'bgr8': (3, cv2.COLOR_BGR2RGB),
    'rgba8': (4, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, cv2.COLOR_BGRA2RGB),
    'mono8': (1, cv2.COLOR_GRAY2RGB),
    '8UC1': (1, cv2.COLOR_GRAY2RGB),
}
_LABELS = {'mono16': np.uint16, '16UC1': np.uint16, 'mono8': np.uint8, '8UC1': np.uint8}


class ImageError(ValueError):
    """An image message that cannot be read; the message names encoding and sizes."""


def decode(message: Any, *, reverse: bool = False) -> NDArray[np.uint8]:
    """Return an image message, raw or compressed, as uint8 [H, W, 3] RGB; raise ImageError.

    reverse: see ``to_rgb``.
    """
    return to_rgb(message, reverse=reverse) if hasattr(message, 'encoding') \
        else from_compressed(message, reverse=reverse)


def to_rgb(message: Any, *, reverse: bool = False) -> NDArray[np.uint8]:
    """Return a sensor_msgs/Image as uint8 [H, W, 3] RGB.

    rgb8 comes back as a view of the message's own bytes, rows strided as the message says; bgr8,
    rgba8, bgra8 and mono8 cost one copy.  Other encodings go through cv_bridge where it is
    installed.  Raises ImageError for what cannot be read.

    reverse: bgr8 comes back as a view too, with a negative stride of channels.  numpy reads it as
    RGB, OpenCV does not take it: see ``vos_ros.runtime.letterbox.ordered``.
    """
    if message.encoding not in _COLOUR:
        return _by_cv_bridge(message)
    channels, conversion = _COLOUR[message.encoding]
    pixels = _view(message, channels, np.dtype(np.uint8))
    if conversion is None:
        return pixels
    if reverse and conversion == cv2.COLOR_BGR2RGB:
        return pixels[:, :, ::-1]
    return cv2.cvtColor(pixels, conversion)  # type: ignore[return-value]  # uint8 in and out


def to_labels(message: Any) -> NDArray[np.uint16]:
    """Return a label map (mono16, 16UC1 or mono8) as uint16 [H, W]; raise ImageError else."""
    if message.encoding not in _LABELS:
        raise ImageError(f'{describe(message)}: a label map is {", ".join(_LABELS)}')
    pixels = _view(message, 1, np.dtype(_LABELS[message.encoding]))
    return pixels.astype(np.uint16, copy=False)


def fill(message: Any, pixels: NDArray[Any], encoding: str) -> Any:
    """Put pixels, uint8 or uint16 [H, W] or [H, W, channels], into a sensor_msgs/Image; return it.

    The bytes go straight into the array that the message holds: giving it another one makes rclpy
    copy it once more (or, for other types with field checks on, look at every byte).  A message
    that held as many bytes before keeps its memory, so use one again where images come in a row.
    """
    pixels = np.ascontiguousarray(pixels)
    message.height, message.width = pixels.shape[:2]
    message.encoding = encoding
    message.is_bigendian = int(sys.byteorder == 'big')
    # Not its stride, which may be anything where there is one row.
    message.step = pixels.nbytes // pixels.shape[0]
    # The cast is what lets an array of bytes take 16-bit pixels.
    coded = pixels.data.cast('B')
    if len(getattr(message, 'data', ())) == len(coded):
        memoryview(message.data)[:] = coded
    else:
        message.data = array('B')
        message.data.frombytes(coded)
    return message


def from_compressed(message: Any, *, reverse: bool = False) -> NDArray[np.uint8]:
    """Return a sensor_msgs/CompressedImage (JPEG, PNG, ...) as uint8 [H, W, 3] RGB.

    Alpha is dropped, grey is spread over three channels, 16 bits become 8.  image_transport
    writes colour images as BGR, which is what the file formats mean; an encoder that wrote RGB
    says so in ``format`` ('...compressed rgb8'), and its channels are then left as they are.
    reverse: see ``to_rgb``.  Raises ImageError for data that OpenCV cannot read.
    """
    kind = message.format
    size = len(message.data)
    if 'compressedDepth' in kind:
        raise ImageError(f'compressed image, format {kind!r}, {size} bytes: depth is no picture')
    if not size:
        raise ImageError(f'compressed image, format {kind!r}: no data')
    data = np.frombuffer(message.data, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError(
            f'compressed image, format {kind!r}, {size} bytes: {error.err}') from error
    if image is None:
        raise ImageError(
            f'compressed image, format {kind!r}, {size} bytes: truncated, or of a format that '
            'OpenCV cannot read')
    if 'compressed rgb' in kind:
        return image  # type: ignore[return-value]  # uint8 by IMREAD_COLOR
    if reverse:
        return image[:, :, ::-1]  # type: ignore[return-value]
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)  # type: ignore[return-value]


def to_compressed(
        message: Any, image: NDArray[np.uint8], quality: int = 90, *, bgr: bool = False) -> Any:
    """Put uint8 [H, W, 3], RGB or BGR, into a sensor_msgs/CompressedImage as JPEG; return it."""
    pixels = image if bgr else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    coded = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    message.format = f'{"bgr8" if bgr else "rgb8"}; jpeg compressed bgr8'
    message.data = array('B', coded.tobytes())
    return message


def describe(message: Any) -> str:
    """Return the size and encoding of an image message, for error messages."""
    return (f'image {message.width}x{message.height}, encoding {message.encoding!r}, step '
            f'{message.step}, {len(message.data)} bytes')


def _view(message: Any, channels: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    height, width, step = message.height, message.width, message.step
    row = width * channels * dtype.itemsize
    if not height or not width:
        raise ImageError(f'{describe(message)}: an image without pixels')
    if step < row:
        raise ImageError(f'{describe(message)}: a row needs a step of at least {row}')
    # The padding of the last row carries nothing, and some drivers leave it out.
    needed = step * (height - 1) + row
    if len(message.data) < needed:
        raise ImageError(f'{describe(message)}: truncated, {needed} bytes are needed')
    if dtype.itemsize > 1:
        if bool(message.is_bigendian) != (sys.byteorder == 'big'):
            raise ImageError(f'{describe(message)}: 16-bit pixels in foreign byte order '
                             f'(is_bigendian {int(message.is_bigendian)})')
        if step % dtype.itemsize:
            raise ImageError(f'{describe(message)}: the step is not a multiple of the pixel')
    shape = (height, width) if channels == 1 else (height, width, channels)
    strides = (step, dtype.itemsize * channels, dtype.itemsize)[:len(shape)]
    return np.ndarray(shape, dtype, memoryview(message.data), strides=strides)


def _by_cv_bridge(message: Any) -> NDArray[np.uint8]:
    known = ', '.join(_COLOUR)
    try:
        from cv_bridge import CvBridge
    except Exception as error:  # numpy 2 breaks its compiled half in more ways than ImportError
        raise ImageError(
            f'{describe(message)}: this encoding is not supported; supported are {known}, and '
            f'more where cv_bridge works ({type(error).__name__} on importing it)') from error
    if not message.height or not message.width:
        raise ImageError(f'{describe(message)}: an image without pixels')
    try:
        return CvBridge().imgmsg_to_cv2(message, 'rgb8')
    except Exception as error:
        raise ImageError(f'{describe(message)}: cv_bridge says: {error}') from error
