# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Serialised messages handed to rcl, and taken from it, where they lie.

rclpy's ``publish(bytes)`` copies the bytes into a C++ string first, and takes nothing but bytes,
so that they were put together in another copy before.  Its ``take_message`` copies what rcl gave
into a bytes object.  For a label map and an image of 1080p that was a third of the time that both
take.  The two functions of rcl behind them have been the same since Humble; where they cannot be
had, rclpy's are used.
"""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Loads librcl, wherever it is.
from rclpy.impl.implementation_singleton import rclpy_implementation  # noqa: F401

_OK = 0
_NOTHING_TO_TAKE = 401


class RclError(RuntimeError):
    """What rcl says of a call that failed."""


class _Allocator(ctypes.Structure):
    """rcutils_allocator_t."""

    _fields_ = [(name, ctypes.c_void_p) for name in (
        'allocate', 'deallocate', 'reallocate', 'zero_allocate', 'state')]


class _Message(ctypes.Structure):
    """rcl_serialized_message_t."""

    _fields_ = [('buffer', ctypes.c_void_p), ('length', ctypes.c_size_t),
                ('capacity', ctypes.c_size_t), ('allocator', _Allocator)]


class _Info(ctypes.Structure):
    """rmw_message_info_t, whose last members differ between releases and are not read."""

    _fields_ = [('source_timestamp', ctypes.c_int64), ('received_timestamp', ctypes.c_int64),
                ('publication_sequence_number', ctypes.c_uint64),
                ('reception_sequence_number', ctypes.c_uint64), ('rest', ctypes.c_byte * 128)]


class _ErrorText(ctypes.Structure):
    """rcutils_error_string_t."""

    _fields_ = [('text', ctypes.c_char * 1024)]


class _Rcl:
    """The functions of rcl and rcutils; raises OSError or AttributeError where they are not."""

    def __init__(self) -> None:
        # Calls keep the interpreter, as rclpy's do: a context that another thread shuts down
        # meanwhile would take the ground away under a call that had let go of it.
        rcl, rcutils = ctypes.PyDLL('librcl.so'), ctypes.PyDLL('librcutils.so')
        self.publish = rcl.rcl_publish_serialized_message
        self.publish.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Message), ctypes.c_void_p]
        self.take = rcl.rcl_take_serialized_message
        self.take.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Message), ctypes.POINTER(_Info),
                              ctypes.c_void_p]
        self.free = rcutils.rcutils_uint8_array_fini
        self.free.argtypes = [ctypes.POINTER(_Message)]
        self.reset_error = rcutils.rcutils_reset_error
        self.reset_error.restype = None
        self.error_text = rcutils.rcutils_get_error_string
        self.error_text.restype = _ErrorText
        default_allocator = rcutils.rcutils_get_default_allocator
        default_allocator.restype = _Allocator
        self.allocator = default_allocator()

    def check(self, code: int) -> None:
        """Raise what rcl says of a call unless it went well."""
        if code != _OK:
            text = self.error_text().text.decode(errors='replace')
            self.reset_error()
            raise RclError(f'{text} ({code})')


try:
    _RCL: _Rcl | None = _Rcl()
except (OSError, AttributeError):
    _RCL = None


class _Taken:
    """The bytes of a message that rcl has allocated, freed with the last array that shows them."""

    def __init__(self, rcl: _Rcl) -> None:
        self._free = rcl.free
        self.message = _Message(allocator=rcl.allocator)

    def __del__(self) -> None:
        self._free(self.message)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {'version': 3, 'typestr': '|u1', 'shape': (self.message.length,),
                'data': (self.message.buffer, False)}


def publish(publisher: Any, data: bytes | NDArray[np.uint8]) -> None:
    """Publish a serialised message, bytes or uint8 [n]; raise RclError if that fails."""
    if _RCL is None:
        publisher.publish(bytes(data))
        return
    # Refuses an array with gaps.
    address = np.frombuffer(data, np.uint8).__array_interface__['data'][0]
    message = _Message(address, len(data), len(data))
    with publisher.handle:
        _RCL.check(_RCL.publish(publisher.handle.pointer, message, None))


def take(subscription: Any) -> tuple[Any, dict[str, Any]] | None:
    """Return a subscription's next message, serialised, and what the middleware says of it.

    The message is bytes or uint8 [n]; None when there is none.  The rest has the names that rclpy
    gives it.  Raises RclError when rcl fails.
    """
    if _RCL is None:
        return subscription.handle.take_message(subscription.msg_type, True)
    taken, info = _Taken(_RCL), _Info()
    with subscription.handle:
        code = _RCL.take(subscription.handle.pointer, taken.message, info, None)
    if code == _NOTHING_TO_TAKE:
        _RCL.reset_error()
        return None
    _RCL.check(code)
    return np.asarray(taken), {
        'source_timestamp': info.source_timestamp,
        'received_timestamp': info.received_timestamp,
        'publication_sequence_number': info.publication_sequence_number,
        'reception_sequence_number': info.reception_sequence_number}
