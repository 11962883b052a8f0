# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One ONNX graph as a callable, by onnxruntime."""

from collections.abc import Mapping
from collections.abc import Sequence
import ctypes
import functools
import logging
import math
import os
from pathlib import Path
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
import onnxruntime

from vos_ros.runtime.heap import give_back

_LOGGER = logging.getLogger(__name__)

# What a user writes in a parameter → the provider's name in onnxruntime.
PROVIDERS = {
    'cpu': 'CPUExecutionProvider',
    'xnnpack': 'XnnpackExecutionProvider',
    'cuda': 'CUDAExecutionProvider',
    'tensorrt': 'TensorrtExecutionProvider',
    'openvino': 'OpenVINOExecutionProvider',
    'acl': 'ACLExecutionProvider',
    'armnn': 'ArmNNExecutionProvider',
    'qnn': 'QNNExecutionProvider',
    'coreml': 'CoreMLExecutionProvider',
    'rocm': 'ROCMExecutionProvider',
}

_DTYPES = {
    'tensor(float)': np.float32, 'tensor(float16)': np.float16, 'tensor(double)': np.float64,
    'tensor(uint8)': np.uint8, 'tensor(int8)': np.int8, 'tensor(int32)': np.int32,
    'tensor(int64)': np.int64, 'tensor(bool)': np.bool_,
}

# An empty array of each type of tensor: what `Graph` checks of a value that stays in onnxruntime.
_TYPED: dict[str, NDArray] = {kind: np.zeros((), dtype) for kind, dtype in _DTYPES.items()}


class GraphError(Exception):
    """A graph that cannot be loaded, or an input that does not fit it; the message names it."""


def view(value: onnxruntime.OrtValue) -> NDArray:
    """Return a float32 tensor on the CPU as an array, without a copy.

    The array is of use as long as the value lives.
    """
    shape = value.shape()
    numbers = (ctypes.c_float * math.prod(shape)).from_address(value.data_ptr())
    return np.ctypeslib.as_array(numbers).reshape(shape)


def choose_providers(wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return (onnxruntime provider names to ask for, messages about those that are not there).

    wanted: short names from PROVIDERS or onnxruntime's own, best first.  The CPU closes the list
    always, since onnxruntime needs it for operators that another provider lacks.
    Raises GraphError for a name that is no provider at all.
    """
    available = onnxruntime.get_available_providers()
    chosen: list[str] = []
    messages: list[str] = []
    for name in wanted:
        full = PROVIDERS.get(name.lower(), name)
        if full not in available and full not in PROVIDERS.values() \
                and full not in onnxruntime.get_all_providers():
            raise GraphError(f'provider {name!r} is unknown; known are {", ".join(PROVIDERS)}')
        if full not in available:
            messages.append(
                f'provider {name!r} is not in this build of onnxruntime '
                f'{onnxruntime.__version__} (it has {", ".join(available)})')
        elif full not in chosen:
            chosen.append(full)
    if PROVIDERS['cpu'] not in chosen:
        chosen.append(PROVIDERS['cpu'])
    return chosen, [f'{message}: falling back to {chosen[0]!r}' for message in messages]


@functools.cache
def _share_arena() -> None:
    """Make the arena of graphs that are `shared`, once in a process."""
    place = onnxruntime.OrtMemoryInfo(
        'Cpu', onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0,
        onnxruntime.OrtMemType.DEFAULT)
    # 0 and -1 leave the choice to onnxruntime: no limit, its own sizes.
    sizes = onnxruntime.OrtArenaCfg({
        'max_mem': 0, 'arena_extend_strategy': -1, 'initial_chunk_size_bytes': -1,
        'max_dead_bytes_per_chunk': -1})
    onnxruntime.create_and_register_allocator(place, sizes)


def has_vnni(cpuinfo: str) -> bool:
    """Say whether a processor, by its /proc/cpuinfo, adds up products of 8 bits in 32."""
    return re.search(r'^flags\b.* (avx512_vnni|avx_vnni)\b', cpuinfo, re.MULTILINE) is not None


@functools.cache
def _this_has_vnni() -> bool:
    try:
        return has_vnni(Path('/proc/cpuinfo').read_text(encoding='utf-8'))
    except OSError:
        return False


def keep_int8_exact(options: onnxruntime.SessionOptions) -> None:
    """Let int8 graphs give on every x86 processor what they give elsewhere.

    Without VNNI two products of 8 bits are added up in 16, where they saturate: MobileInst's
    objectness in int8 then had a correlation of 0.89 to 0.99 with that in float, 0.994 and more
    with this, for 6 % of the time.  Where there is VNNI results are the same without, but a key
    frame took 1.75 times as long with it (Xeon); no other processor than x86 knows the setting.
    """
    if not _this_has_vnni():
        options.add_session_config_entry('session.x64quantprecision', '1')


class Graph:
    """An ONNX graph that is loaded and ready.

    threads: threads inside one operator; 1 leaves the other cores of a board to its other nodes.
    providers: what should compute, best first; what is missing is named in ``messages`` (and
        logged as a warning) and the next one is taken, the CPU at the end.
    spinning: True lets idle pool threads spin instead of sleep between operators.  On a machine
        with nothing else to do that is a little faster; with the other core busy, a MobileInst
        key frame on two threads took 116 ms instead of 65 ms.  Boards are busy, so it is off.
    arena: True keeps freed tensors for the next run; False leaves them to the heap.
    sides: lengths of dimensions that the graph leaves free, by their names; onnxruntime then plans
        for them as for fixed ones.  A name that the graph does not have is ignored.
    plan: True lays a run's tensors out in one block once their sizes are known.  That block comes
        on top of what the arena holds: XMem's peak is 220 MiB lower without.
    shared: True takes the arena that all such graphs of this process have in common.  For graphs
        that hardly ever run at the same time: each finds the room that another one has left, and
        XMem's three need some 150 MiB less with three objects (bench/xmem.py), MobileInst's two,
        without a plan, 57 MB less.

    Raises GraphError when the file is no graph that this onnxruntime can load.
    """

    def __init__(
            self, path: str | os.PathLike[str], threads: int = 1,
            providers: Sequence[str] = ('cpu',), *, spinning: bool = False,
            arena: bool = True, plan: bool = True, shared: bool = False,
            sides: Mapping[str, int] | None = None) -> None:
        """Load the graph."""
        if threads < 1:
            raise GraphError(f'threads is {threads}, must be at least 1')
        self.path = Path(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # The graphs are chains: operators in parallel have nothing to gain here.
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.enable_cpu_mem_arena = arena
        options.enable_mem_pattern = plan
        if shared:
            _share_arena()
            options.add_session_config_entry('session.use_env_allocators', '1')
        keep_int8_exact(options)
        options.log_severity_level = 3
        for name, length in (sides or {}).items():
            options.add_free_dimension_override_by_name(name, length)
        flag = '1' if spinning else '0'
        options.add_session_config_entry('session.intra_op.allow_spinning', flag)
        chosen, messages = choose_providers(providers)
        try:
            self._session = onnxruntime.InferenceSession(
                str(self.path), sess_options=options, providers=chosen)
        except Exception as error:  # onnxruntime raises several types that share no base
            raise GraphError(f'{self.path}: onnxruntime cannot load it: {error}') from error
        give_back()
        self.providers = tuple(self._session.get_providers())
        # A provider whose libraries are missing is dropped by onnxruntime without an exception.
        messages += [
            f'provider {name!r} did not start (its libraries or device are missing): falling '
            f'back to {self.providers[0]!r}' for name in chosen if name not in self.providers]
        self.messages = tuple(messages)
        for message in messages:
            _LOGGER.warning('%s: %s', self.path.name, message)
        self.inputs = {i.name: (i.type, tuple(i.shape)) for i in self._session.get_inputs()}
        self.outputs = {o.name: (o.type, tuple(o.shape)) for o in self._session.get_outputs()}
        self._output_names = list(self.outputs)

    def __call__(self, **inputs: NDArray) -> dict[str, NDArray]:
        """Run the graph on named arrays; return every output by its name.

        Raises GraphError that names an input which is missing, unknown, or of another type.
        """
        return self.run(self._output_names, **inputs)

    def run(self, outputs: Sequence[str], **inputs: NDArray) -> dict[str, NDArray]:
        """Run the graph for some of its outputs; what only the others need is still computed."""
        self._check(inputs)
        try:
            values = self._session.run(list(outputs), inputs)
        except Exception as error:  # as above
            raise GraphError(f'{self.path}: {error}') from error
        return dict(zip(outputs, values, strict=True))

    def run_kept(self, kept: Sequence[str],
                 **inputs: NDArray | onnxruntime.OrtValue) -> dict[str, Any]:
        """Run the graph; the outputs named in `kept` stay in onnxruntime's memory.

        They are made for another graph, which takes them as inputs of this method: a large one is
        then not copied to numpy and back.  The other outputs are numpy arrays.
        Raises GraphError as a call does.
        """
        seen: dict[str, NDArray] = {}
        feeds: dict[str, onnxruntime.OrtValue] = {}
        for name, value in inputs.items():
            if isinstance(value, onnxruntime.OrtValue):
                feeds[name] = value
                seen[name] = np.broadcast_to(_TYPED[value.data_type()], value.shape())
            else:
                seen[name] = np.ascontiguousarray(value)
                feeds[name] = onnxruntime.OrtValue.ortvalue_from_numpy(seen[name])
        self._check(seen)
        try:
            values = self._session.run_with_ort_values(self._output_names, feeds)
        except Exception as error:  # as above
            raise GraphError(f'{self.path}: {error}') from error
        return {name: value if name in kept else value.numpy()
                for name, value in zip(self._output_names, values, strict=True)}

    def _check(self, inputs: Mapping[str, NDArray]) -> None:
        if inputs.keys() != self.inputs.keys():
            raise GraphError(f'{self.path}: takes {", ".join(self.inputs)}, '
                             f'was given {", ".join(inputs) or "nothing"}')
        for name, (kind, shape) in self.inputs.items():
            value = inputs[name]
            fits = len(value.shape) == len(shape) and all(
                not isinstance(want, int) or want == have
                for want, have in zip(shape, value.shape, strict=True))
            if not fits or value.dtype != _DTYPES.get(kind, value.dtype):
                raise GraphError(f'{self.path}: input {name} is {value.dtype}{value.shape}, '
                                 f'must be {kind[7:-1]}{shape}')
