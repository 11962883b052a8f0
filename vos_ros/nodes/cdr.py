# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The few messages of every frame, read and written as the bytes that go over the wire.

rclpy turns an image into a C struct, that into a bytes object and that into an array: three copies
and as many fresh allocations, three times the time of the bytes alone.  And it sets every field
of every track through checks in Python.  So images are subscribed raw and read in place, and
label maps and tracks are written into one buffer each.

The format is CDR (OMG DDS interoperability protocol, 9.3 and 10), which Fast DDS and Cyclone DDS
both hand over as it is on the wire: four bytes that say the byte order, then the fields in the
order of the .msg file, each aligned to its size from there.  No member here is longer than four
bytes, so that plain CDR of version 2 reads the same.
"""

from collections.abc import Callable
import ctypes
from dataclasses import dataclass
from dataclasses import replace
from functools import lru_cache
import struct
import sys
from typing import Any

from builtin_interfaces.msg import Time
import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from vos_ros.tracking.tracks import StepResult

_ENCAPSULATION = 4
# Plain CDR, version 1 and 2; the lowest bit is the byte order.
_PLAIN = (0x0000, 0x0006)
_LITTLE = b'\x00\x01\x00\x00'
_END = b'\x00'
_STAMP = struct.Struct('<iI')
_AFTER_STAMP = _ENCAPSULATION + _STAMP.size

_new_bytes = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_char_p, ctypes.c_ssize_t)(
    ('PyBytes_FromStringAndSize', ctypes.pythonapi))
_bytes_at = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(
    ('PyBytes_AsString', ctypes.pythonapi))


class CdrError(ValueError):
    """Bytes that are not the message they should be; the message names the field."""


@dataclass(frozen=True)
class RawImage:
    """A sensor_msgs/Image whose data are a view of the bytes received."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


@dataclass(frozen=True)
class RawCompressedImage:
    """A sensor_msgs/CompressedImage whose data are a view of the bytes received."""

    header: Header
    format: str
    data: memoryview


class _Reader:
    """Takes field after field; raises CdrError where the bytes end too early."""

    def __init__(self, data: bytes, kind: str) -> None:
        self._kind = kind
        self._bytes = memoryview(data)
        if len(data) < _ENCAPSULATION:
            raise CdrError(f'{kind}: {len(data)} bytes are no CDR message')
        representation = int.from_bytes(self._bytes[:2], 'big')
        if representation & ~1 not in _PLAIN:
            raise CdrError(f'{kind}: representation 0x{representation:04x} is not plain CDR')
        self._order = '<' if representation & 1 else '>'
        self._at = _ENCAPSULATION

    def numbers(self, form: str, name: str) -> tuple[Any, ...]:
        """Return numbers of one size, aligned to it; form: letters of the struct module."""
        size = struct.calcsize(self._order + form[0])
        self._at += -self._at % size
        try:
            values = struct.unpack_from(self._order + form, self._bytes, self._at)
        except struct.error:
            raise self._short(name) from None
        self._at += size * len(form)
        return values

    def block(self, name: str) -> memoryview:
        """Return a sequence of bytes, without copying it."""
        length, = self.numbers('I', f'length of {name}')
        begin, self._at = self._at, self._at + length
        if self._at > len(self._bytes):
            raise self._short(name)
        return self._bytes[begin:self._at]

    @property
    def position(self) -> int:
        """Return where the next field begins."""
        return self._at

    def text(self, name: str) -> str:
        """Return a string, which is sent with a zero byte at its end."""
        block = bytes(self.block(name))
        # Some writers send an empty string without that byte.
        if block and block[-1]:
            raise CdrError(f'{self._kind}: {name} does not end')
        try:
            return block[:-1].decode()
        except UnicodeDecodeError as error:
            raise CdrError(f'{self._kind}: {name} is no UTF-8: {error.reason}') from error

    def header(self) -> Header:
        """Return a std_msgs/Header."""
        seconds, = self.numbers('i', 'stamp')
        nanoseconds, = self.numbers('I', 'stamp')
        return Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=self.text('frame_id'))

    def end(self) -> None:
        """Refuse bytes after the last field, but for padding to a multiple of four."""
        left = len(self._bytes) - self._at
        if left > 3:
            raise CdrError(f'{self._kind}: {left} bytes too many')

    def _short(self, name: str) -> CdrError:
        return CdrError(f'{self._kind}: {len(self._bytes)} bytes end within {name}')


def read_image(data: bytes) -> RawImage:
    """Return a serialised sensor_msgs/Image; raise CdrError if it is none."""
    return _read_image(data)[0]


def _read_image(data: bytes) -> tuple[RawImage, int]:
    reader = _Reader(data, 'image')
    header = reader.header()
    height, width = reader.numbers('II', 'height and width')
    encoding = reader.text('encoding')
    is_bigendian, = reader.numbers('B', 'is_bigendian')
    step, = reader.numbers('I', 'step')
    pixels = reader.block('data')
    begin = reader.position - len(pixels)
    reader.end()
    return RawImage(header, height, width, encoding, is_bigendian, step, pixels), begin


class ImageReader:
    """Reads images one after another, as `read_image`.

    All that a camera's images differ in before their pixels is the stamp: what is as it was in
    the image before is compared, not read.
    """

    def __init__(self) -> None:
        """Start without an image."""
        self._last: RawImage | None = None
        self._begin = self._length = self._pixels = 0
        self._fields = b''

    def __call__(self, data: bytes) -> RawImage:
        """Return a serialised sensor_msgs/Image; raise CdrError if it is none."""
        last, begin = self._last, self._begin
        if last is not None and len(data) == self._length \
                and data[_AFTER_STAMP:begin] == self._fields and data[:_ENCAPSULATION] == _LITTLE:
            sec, nanosec = _STAMP.unpack_from(data, _ENCAPSULATION)
            return RawImage(
                Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=last.header.frame_id),
                last.height, last.width, last.encoding, last.is_bigendian, last.step,
                memoryview(data)[begin:begin + self._pixels])
        image, begin = _read_image(data)
        if data[:_ENCAPSULATION] == _LITTLE:
            self._begin, self._length, self._pixels = begin, len(data), len(image.data)
            self._fields = data[_AFTER_STAMP:begin]
            # Without its pixels: they would keep the message.
            self._last = replace(image, data=memoryview(b''))
        return image


def read_compressed_image(data: bytes) -> RawCompressedImage:
    """Return a serialised sensor_msgs/CompressedImage; raise CdrError if it is none."""
    reader = _Reader(data, 'compressed image')
    header = reader.header()
    kind = reader.text('format')
    coded = reader.block('data')
    reader.end()
    return RawCompressedImage(header, kind, coded)


def make_reader(type_name: str) -> Callable[[bytes], RawImage | RawCompressedImage]:
    """Return what reads the images of one topic; KeyError for a type that is none."""
    readers: dict[str, Callable[[bytes], RawImage | RawCompressedImage]] = {
        'sensor_msgs/msg/Image': ImageReader(),
        'sensor_msgs/msg/CompressedImage': read_compressed_image}
    return readers[type_name]


class LabelMap:
    """A serialised sensor_msgs/Image of encoding mono16 whose pixels are painted in place."""

    def __init__(self, header: Header) -> None:
        """Take the header of the image that the label map is of."""
        self._header = header
        self._message = b''
        self._pixels: NDArray[np.uint16] | None = None

    def canvas(self, height: int, width: int) -> NDArray[np.uint16]:
        """Return the pixels, uint16 [height, width], not yet set: see ``InstanceTracker.step``."""
        stamp = self._header.stamp
        fields, kind = _layout(self._header.frame_id, height, width)
        # What C code does to fill a bytes object that nobody has seen
        # (PyBytes_FromStringAndSize without a string, then PyBytes_AsString): rclpy takes no
        # other kind of buffer, and copying into one is half a millisecond at 1080p.
        self._message = _new_bytes(None, ctypes.sizeof(kind))
        memory = kind.from_address(_bytes_at(self._message))
        # An array over foreign memory does not keep it.
        memory.message = self._message
        ctypes.memmove(memory, fields, len(fields))
        _STAMP.pack_into(memory, _ENCAPSULATION, stamp.sec, stamp.nanosec)
        self._pixels = np.ndarray((height, width), np.uint16, memory, len(fields))
        return self._pixels

    def serialised(self, labels: NDArray[np.uint16]) -> bytes:
        """Return the message of a label map, uint16 [H, W]; the canvas is not copied.

        Whoever has the message holds it for unchanging, so the canvas is not painted on any more.
        """
        if labels is not self._pixels:
            self.canvas(*labels.shape)[:] = labels
        return self._message


@lru_cache(maxsize=4)
def _layout(frame_id: str, height: int, width: int) -> tuple[bytes, Any]:
    """Return what stands before a label map's pixels, of stamp 0, and the type of all of it.

    Kept, because what runs once a frame runs with cold caches, at a tenth of its speed.
    """
    name = frame_id.encode() + _END
    padding, itemsize = -len(name) % 4, np.dtype(np.uint16).itemsize
    fields = _LITTLE + struct.pack(
        f'<iII{len(name)}s{padding}xIII7sBII', 0, 0, len(name), name, height, width, 7,
        b'mono16\0', sys.byteorder == 'big', width * itemsize, height * width * itemsize)
    return fields, ctypes.c_ubyte * (len(fields) + height * width * itemsize)


def track_array(header: Header, result: StepResult) -> bytes:
    """Return the tracks of a step, with the header of its image, as a serialised TrackArray."""
    tracks = result.tracks
    frame_id = header.frame_id.encode() + _END
    # One byte, keyframe, lies between the string and the padding.
    padding = -(len(frame_id) + 1) % 4
    parts = [_LITTLE, struct.pack(
        f'<iII{len(frame_id)}s?{padding}xI', header.stamp.sec, header.stamp.nanosec,
        len(frame_id), frame_id, result.keyframe, len(tracks))]
    for track_id, class_id, label, score, state, age, box, area in zip(
            tracks.ids.tolist(), tracks.class_ids.tolist(), tracks.labels,
            tracks.scores.tolist(), tracks.states.tolist(), tracks.ages.tolist(),
            tracks.boxes.tolist(), tracks.areas.tolist(), strict=True):
        name = label.encode() + _END
        padding = -len(name) % 4
        parts.append(struct.pack(
            f'<IiI{len(name)}s{padding}xfB3xI4fI', track_id, class_id, len(name), name, score,
            state, age, *box, area))
    return b''.join(parts)
