# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A matrix product by onnxruntime, for callers that have their own threads.

numpy's BLAS has no kernels of its own for some processors and takes those of older ones: on a
Zen 5 core onnxruntime's product of 64 x 129 by 129 x 26,000 numbers takes 0.6 of its time.
"""

import functools

import numpy as np
from numpy.typing import NDArray
import onnxruntime

FloatArray = NDArray[np.float32]


def _field(number: int, value: int | bytes | str) -> bytes:
    """Encode a field of a protocol buffer; numbers and lengths stay below 2 ** 14."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128, value >> 7])


def _matrix(name: str, *sides: str) -> bytes:
    """Encode an ONNX ValueInfoProto: a float32 matrix with named sides."""
    shape = b''.join(_field(1, _field(2, side)) for side in sides)
    tensor = _field(1, 1) + _field(2, shape)
    return _field(1, name) + _field(2, _field(1, tensor))


def _model() -> bytes:
    """Encode the ONNX model y = Gemm(a, b transposed), opset 13, without the onnx package.

    It is a graph of one node: too small to be a file among the weights.
    """
    transposed = _field(1, 'transB') + _field(3, 1) + _field(20, 2)
    node = _field(1, 'a') + _field(1, 'b') + _field(2, 'y') + _field(4, 'Gemm') \
        + _field(5, transposed)
    graph = _field(1, node) + _field(2, 'product') + _field(11, _matrix('a', 'm', 'k')) \
        + _field(11, _matrix('b', 'n', 'k')) + _field(12, _matrix('y', 'm', 'n'))
    # IR version 8, the graph, the opset of the default domain.
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))


@functools.cache
def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Callers' matrices differ in size from call to call; an arena would keep the largest.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(_model(), options, providers=['CPUExecutionProvider'])


def product(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """Write a [m, k] times the transpose of b [n, k] into out [m, n], on the caller's thread.

    All are float32 and contiguous.  Any number of threads may call it at a time.
    """
    session = _session()
    binding = session.io_binding()
    for name, values in (('a', a), ('b', b)):
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(values))
    binding.bind_output('y', 'cpu', 0, np.float32, out.shape, out.ctypes.data)
    session.run_with_iobinding(binding)
