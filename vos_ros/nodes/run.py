# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The main function of a node: start, spin, end with an exit status that means something."""

import atexit
from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from typing import Any

import rclpy
from rclpy.exceptions import InvalidParameterTypeException
from rclpy.exceptions import InvalidParameterValueException
from rclpy.exceptions import ParameterUninitializedException
from rclpy.executors import ExternalShutdownException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.signals import uninstall_signal_handlers

from vos_ros.runtime.heap import keep_large_blocks
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.session import GraphError

# What a user can mend: told in one line, without a traceback.
_USER_ERRORS = (
    PackageError, GraphError, ValueError, OSError, InvalidParameterTypeException,
    InvalidParameterValueException, ParameterUninitializedException)


class NodeFailure(Exception):
    """The node cannot go on; raised in a callback, it ends the process with status 1."""


class NodeDone(Exception):
    """The node has done its work; raised in a callback, it ends the process with status 0."""


def run(make: Callable[[], Any], args: Sequence[str] | None = None) -> int:
    """Run a node until Ctrl-C, a shutdown, NodeDone or NodeFailure; return the exit status.

    make: makes the node, which has a ``stop()`` that ends its threads.  If a daemon among them
    stays, the interpreter's end ends the process at once, with that status.
    """
    others = threading.enumerate()
    keep_large_blocks()
    # What a graph has to say of its providers the node logs itself, once for all graphs.
    logging.getLogger('vos_ros.runtime.session').setLevel(logging.ERROR)
    try:
        rclpy.init(args=list(args) if args is not None else None)
    except _rclpy.RCLError as error:        # such as a parameter file that is none
        print(f'{_program()}: {error}', file=sys.stderr, flush=True)
        return 1
    node: Any = None
    status = 1
    try:
        node = make()
        # What lives as long as the node need not be looked through for garbage each time: a full
        # collection, 7 ms on an x86 core and several times that on a small one, came upon an
        # image now and then.
        gc.collect()
        gc.freeze()
        _spin(node)
        status = 0
    except (KeyboardInterrupt, ExternalShutdownException, NodeDone):
        status = 0
    except NodeFailure as error:
        rclpy.logging.get_logger(node.get_name()).fatal(str(error))
    except _USER_ERRORS as error:
        if node is not None:
            raise
        print(f'{_program()}: {error}', file=sys.stderr, flush=True)
    except (_rclpy.RCLError, _rclpy.InvalidHandle):
        # SIGTERM ends the context at once, also while a callback is about to publish.
        if rclpy.ok():
            raise
        status = 0
    finally:
        try:
            if node is not None:
                node.stop()
                node.destroy_node()
            else:
                # What is there of one that could not be made: left to the interpreter's end, when
                # the context is gone, it can hang.
                gc.collect()
        except KeyboardInterrupt:
            pass
        rclpy.try_shutdown()
        left = [thread for thread in threading.enumerate()
                if thread.daemon and thread not in others]
        if left:
            # Called when what is still being saved is saved.
            atexit.register(_leave, left, status)
    return status


def _spin(node: Node) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin()
    finally:
        executor.remove_node(node)
        _end_signal_thread()
        # Left to the garbage collector, it would complain about a context that is gone by then.
        executor.shutdown(timeout_sec=0)


def _end_signal_thread() -> None:
    """Wait for rclpy's thread for signals, and take no more of them while the node stops.

    It walks through a list of what it wakes, this executor's part among it, and the executor's
    shutdown frees that list: now and then Ctrl-C ended in a segmentation fault.
    """
    uninstall_signal_handlers()
    # A launch file's next step, and the default is to die; what is being saved must be saved.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _leave(threads: Sequence[threading.Thread], status: int) -> None:
    """End the process now if a thread is still at work.

    One that comes back from C++ code to an interpreter that is gone aborts the process.
    """
    if any(thread.is_alive() for thread in threads):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):    # it may be closed
                stream.flush()
        os._exit(status)


def _program() -> str:
    return sys.argv[0].rsplit('/', 1)[-1]
