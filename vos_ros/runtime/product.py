# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Matrix products by onnxruntime, for callers that have their own threads.

numpy's BLAS has no kernels of its own for some processors and takes those of older ones: on a
Zen 5 core onnxruntime's product of 64 x 129 by 129 x 26,000 numbers takes 0.6 of its time.
"""

from collections.abc import Sequence
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


def _tensor(name: str, sides: Sequence[str]) -> bytes:
    """Encode an ONNX ValueInfoProto: float32 with named sides."""
    shape = b''.join(_field(1, _field(2, side)) for side in sides)
    tensor = _field(1, 1) + _field(2, shape)
    return _field(1, name) + _field(2, _field(1, tensor))


def _model(operator: str, sides: dict[str, str]) -> bytes:
    """Encode the ONNX model y = operator(a, b), opset 13, without the onnx package.

    A graph of one node is too small to be a file among the weights.  sides: a letter for each.
    """
    node = _field(1, 'a') + _field(1, 'b') + _field(2, 'y') + _field(4, operator)
    if operator == 'Gemm':
        node += _field(5, _field(1, 'transB') + _field(3, 1) + _field(20, 2))
    graph = _field(1, node) + _field(2, 'product') + b''.join(
        _field(11 if name != 'y' else 12, _tensor(name, sides[name])) for name in 'aby')
    # IR version 8, the graph, the opset of the default domain.
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))


# y = a times b transposed, and a stack of y = a times b.
MODELS = {'one': _model('Gemm', {'a': 'mk', 'b': 'nk', 'y': 'mn'}),
          'many': _model('MatMul', {'a': 'cmk', 'b': 'ckn', 'y': 'cmn'})}


@functools.cache
def _session(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Callers' matrices differ in size from call to call; an arena would keep the largest.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(MODELS[name], options, providers=['CPUExecutionProvider'])


def product(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """Write a [m, k] times the transpose of b [n, k] into out [m, n], on the caller's thread.

    All are float32 and contiguous.  Any number of threads may call it at a time.
    """
    _run('one', a, b, out)


def products(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    """Write a[i] [m, k] times b[i] [k, n] into out[i] [m, n] for all i; otherwise as `product`."""
    _run('many', a, b, out)


def _run(name: str, a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    session = _session(name)
    binding = session.io_binding()
    for side, values in (('a', a), ('b', b)):
        binding.bind_ortvalue_input(side, onnxruntime.OrtValue.ortvalue_from_numpy(values))
    binding.bind_output('y', 'cpu', 0, np.float32, out.shape, out.ctypes.data)
    session.run_with_iobinding(binding)
