# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The loops that are compiled (native/), where the ROS 2 package was built.

Whatever uses one has a way without it, for the library alone, by numpy and OpenCV.
"""

import ctypes
import logging
from typing import Any

from numpy.typing import NDArray

_LOGGER = logging.getLogger(__name__)

_NUMBER, _LONG, _ADDRESS, _REAL = ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_float
# Of what the functions take and mean, as native/version.c has it: another build of the library, as
# one that lies beside newer Python, is left alone.
_VERSION = 3
# Result and arguments, as in the sources.
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    'vos_ros_rank': (_NUMBER, (
        _ADDRESS, _ADDRESS, _NUMBER, _NUMBER, _REAL, _NUMBER, _ADDRESS, _ADDRESS, _ADDRESS)),
    'vos_ros_outline': (None, (
        _ADDRESS, _LONG, _LONG, _NUMBER, _NUMBER, _ADDRESS, _NUMBER, _REAL, _NUMBER, _ADDRESS,
        _ADDRESS, _ADDRESS, _ADDRESS)),
    'vos_ros_distinct': (_NUMBER, (
        _ADDRESS, _ADDRESS, _NUMBER, _NUMBER, _REAL, _REAL, _ADDRESS, _ADDRESS)),
    'vos_ros_vote': (None, (
        _ADDRESS, _LONG, _LONG, _NUMBER, _NUMBER, _ADDRESS, _NUMBER, _ADDRESS, _ADDRESS, _NUMBER,
        _ADDRESS, _ADDRESS, _NUMBER, _REAL, _ADDRESS, _ADDRESS)),
    'vos_ros_sweep_masks': (None, (
        _ADDRESS, _NUMBER, _NUMBER, _NUMBER, _REAL, _REAL, _ADDRESS, _ADDRESS)),
    'vos_ros_paint_labels': (None, (
        _ADDRESS, _NUMBER, _NUMBER, _NUMBER, _ADDRESS, _ADDRESS, _REAL, _NUMBER, _ADDRESS,
        _NUMBER, _NUMBER, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS,
        _ADDRESS)),
    'vos_ros_enlarge': (None, (
        _ADDRESS, _NUMBER, _NUMBER, _NUMBER, _ADDRESS, _LONG, _LONG, _NUMBER, _ADDRESS, _ADDRESS)),
    'vos_ros_move_windows': (None, (_ADDRESS, _NUMBER, _NUMBER, _NUMBER, _ADDRESS)),
    'vos_ros_scale': (None, (
        _ADDRESS, _LONG, _NUMBER, _NUMBER, _NUMBER, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS,
        _NUMBER, _ADDRESS, _ADDRESS, _LONG)),
    'vos_ros_compare': (_REAL, (
        _ADDRESS, _LONG, _NUMBER, _NUMBER, _NUMBER, _ADDRESS, _ADDRESS, _ADDRESS)),
}


def _load() -> Any:
    try:
        library = ctypes.CDLL('libvos_ros_native.so')
    except OSError as error:
        if 'No such file' not in str(error):
            _LOGGER.warning('libvos_ros_native.so cannot be loaded, numpy is used, which is '
                            'slower: %s', error)
        return None
    # The first libraries did not say their version.
    version = getattr(library, 'vos_ros_native_version', lambda: None)()
    if version != _VERSION:
        _LOGGER.warning('libvos_ros_native.so is of another version of this package and not '
                        'used: numpy is, which is slower; build the package again')
        return None
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_LIBRARY = _load()


def compiled() -> Any:
    """Return the library with the compiled loops, None where the ROS 2 package was not built."""
    return _LIBRARY


def address(array: NDArray[Any]) -> int:
    """Return where an array's first element lies."""
    return array.__array_interface__['data'][0]
