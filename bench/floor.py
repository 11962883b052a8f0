#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""How far each stage of MobileInst's graphs is from what this machine can do at best, one thread.

The floor of an operator is the longer of two times: its multiply-adds at the machine's measured
matrix product rate, and the bytes it must read and write at its measured copy rate.  Operators are
timed by onnxruntime's profiler and grouped by the size of their output: 1/2 to 1/64 of the input
are the backbone and the mask decoder, `queries` is everything that is no map.
<graph>_over_floor is measured time over floor; <graph>_share_<stage> a stage's share of the time.
Packages with quantised operators are refused: their floor would take the machine's int8 rate, and
their profile leaves out the shapes of the weights.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
import json
from pathlib import Path
import tempfile
import time
from typing import Any

from common import finish
from common import machine
from common import parser
from common import rounds_of
import numpy as np
import onnx
from onnx import helper
from onnx import numpy_helper
from onnx import TensorProto
import onnxruntime

from vos_ros.runtime.mobileinst import free_sides
from vos_ros.runtime.package import load_package

# Bytes of an element, by the profiler's names of types.
SIZES = {'float': 4, 'float16': 2, 'double': 8, 'int64': 8, 'int32': 4, 'int8': 1, 'uint8': 1,
         'bool': 1}
STAGES = ('1/1', '1/2', '1/4', '1/8', '1/16', '1/32', '1/64', 'queries')


@dataclass
class Stage:
    """Sums over the operators of a stage."""

    ms: float = 0.0
    floor_ms: float = 0.0
    gmac: float = 0.0
    megabytes: float = 0.0


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__ or '', rounds=20, quick_rounds=5)
    arguments.add_argument('--model', default='mobileinst-lite0', help='a mobileinst package')
    arguments.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'),
                           help="input size (default: the package's own)")
    args = arguments.parse_args()
    rounds = rounds_of(args)
    package = load_package(args.model)
    for path in package.graphs.values():
        refuse_quantised(path)
    print(machine())
    gflops, copy = product_rate(rounds), copy_rate(rounds)
    print(f'matrix product {gflops:.0f} GFLOP/s, copy {copy:.1f} GB/s, one thread')
    figures = {'gemm_gflops': gflops, 'copy_gb_s': copy}
    for name, path in package.graphs.items():
        size = tuple(args.size) if args.size else package.input_size
        stages = profile(path, size, rounds, gflops, copy)
        total = Stage(*(sum(getattr(stage, key) for stage in stages.values())
                        for key in ('ms', 'floor_ms', 'gmac', 'megabytes')))
        print(f'\n{name:<14}{"ms":>8}{"floor":>8}{"ratio":>7}{"GMAC":>8}{"MB":>8}{"share":>7}')
        for label, stage in [*((key, stages[key]) for key in STAGES if key in stages),
                             ('all', total)]:
            print(f'{label:<14}{stage.ms:>8.2f}{stage.floor_ms:>8.2f}'
                  f'{stage.ms / max(stage.floor_ms, 1e-9):>7.1f}{stage.gmac:>8.3f}'
                  f'{stage.megabytes:>8.1f}{stage.ms / total.ms:>7.2f}')
            if label != 'all':
                figures[f'{name}_share_{label.replace("/", "_")}'] = stage.ms / total.ms
        figures |= {f'{name}_ms': total.ms, f'{name}_floor_ms': total.floor_ms,
                    f'{name}_over_floor': total.ms / total.floor_ms, f'{name}_gmac': total.gmac}
    finish(figures, args)


def refuse_quantised(path: Path) -> None:
    """Raise SystemExit naming a graph with quantised operators."""
    graph = onnx.load(path, load_external_data=False).graph
    kinds = {node.op_type for node in graph.node}
    found = sorted(kind for kind in kinds if 'Quant' in kind or 'QLinear' in kind
                   or 'Integer' in kind)
    if found:
        raise SystemExit(f'{path}: has quantised operators ({", ".join(found)}), whose floor '
                         'this program does not know')


def product_rate(rounds: int) -> float:
    """Return GFLOP/s of a float32 matrix product that fits the caches.

    The better of numpy's and onnxruntime's: which has the better kernels differs by processor.
    """
    a, b = (np.random.default_rng(i).random((768, 768), np.float32) for i in (0, 1))
    out = np.empty_like(a)
    shape = [768, 768]
    graph = helper.make_graph(
        [helper.make_node('MatMul', ['a', 'b'], ['c'])], 'product',
        [helper.make_tensor_value_info('a', TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info('c', TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(b, 'b')])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                           providers=['CPUExecutionProvider'])
    seconds = min(best(lambda: np.matmul(a, b, out=out), 2 * rounds),
                  best(lambda: session.run(None, {'a': a}), 2 * rounds))
    return 2 * 768 ** 3 / seconds / 1e9


def copy_rate(rounds: int) -> float:
    """Return GB/s, read and written, of copying a block of the size of the largest maps."""
    source = np.ones(6 << 20, np.float32)
    target = np.empty_like(source)
    return 2 * source.nbytes / best(lambda: np.copyto(target, source), 2 * rounds) / 1e9


def best(call: Callable[[], Any], rounds: int) -> float:
    """Return the shortest time of a call, seconds: the rate without what else runs here."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def profile(path: Path, size: tuple[int, int], rounds: int, gflops: float,
            copy: float) -> dict[str, Stage]:
    """Run a graph with the profiler; return its stages, each operator at its median."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_profiling = True
    for name, length in {**free_sides(size), 'n': 8}.items():
        options.add_free_dimension_override_by_name(name, length)
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / 'profile')
        session = onnxruntime.InferenceSession(str(path), options,
                                               providers=['CPUExecutionProvider'])
        rng = np.random.default_rng(0)
        inputs = {i.name: rng.integers(0, 255, i.shape, np.uint8) if i.type == 'tensor(uint8)'
                  else rng.random(i.shape, np.float32) for i in session.get_inputs()}
        for _ in range(rounds + 2):
            session.run(None, inputs)
        events = json.loads(Path(session.end_profiling()).read_text())
    spent: dict[str, list[float]] = defaultdict(list)
    what: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get('cat') == 'Node' and event['name'].endswith('_kernel_time'):
            spent[event['name']].append(event['dur'] / 1e3)
            what[event['name']] = event['args']
    stages: dict[str, Stage] = defaultdict(Stage)
    for name, times in spent.items():
        gmac, megabytes, label = cost(what[name], size)
        stage = stages[label]
        stage.ms += float(np.median(times))
        stage.floor_ms += max(2 * gmac / gflops, megabytes / 1e3 / copy) * 1e3
        stage.gmac += gmac
        stage.megabytes += megabytes
    return stages


def cost(args: dict[str, Any], size: tuple[int, int]) -> tuple[float, float, str]:
    """Return GMAC, megabytes and stage of an operator from the shapes in its profile."""
    tensors = [next(iter(entry.items())) for key in ('input_type_shape', 'output_type_shape')
               for entry in args.get(key, [])]
    shapes = [shape for _, shape in tensors]
    outputs = [next(iter(entry.values())) for entry in args.get('output_type_shape', [])]
    megabytes = sum(SIZES[kind] * np.prod(shape) for kind, shape in tensors) / 1e6
    output = outputs[0] if outputs else []
    gmac = 0.0
    if args['op_name'] == 'Conv':
        gmac = np.prod(output) * np.prod(shapes[1][1:]) / 1e9
    elif args['op_name'] in ('MatMul', 'FusedMatMul', 'Gemm'):
        gmac = np.prod(output) * shapes[0][-1] / 1e9
    elif args['op_name'] in ('Reshape', 'Flatten', 'Unsqueeze', 'Squeeze'):
        megabytes = 0.0         # could be free
    label = 'queries'
    if len(output) == 4 and output[2] and size[0] % output[2] == 0 \
            and size[0] // output[2] == size[1] // output[3]:
        label = f'1/{size[0] // output[2]}'
    return float(gmac), float(megabytes), label if label in STAGES else 'queries'


if __name__ == '__main__':
    main()
