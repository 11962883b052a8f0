# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A float ONNX graph to an int8 one (QDQ), with the parts that suffer most left in float.

Activations are uint8 and weights int8 with a scale for each output channel.  The ranges come from
MinMax calibration on real inputs. Which parts stay in float is measured: the quantisable nodes
are cut into groups along the graph; where all in int8 are too noisy each group is quantised
alone, and groups are put back into float, worst first, until they are not. Then each of the
others is put back where the graph is faster so: large maps with little arithmetic often are.
Dimensions that the float graph leaves free stay free.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import tempfile
import time

import numpy as np
from numpy.typing import NDArray
import onnx
from onnxruntime import GraphOptimizationLevel
from onnxruntime import InferenceSession
from onnxruntime import SessionOptions
from onnxruntime.quantization import CalibrationDataReader
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from vos_ros.runtime.session import keep_int8_exact

Inputs = Mapping[str, NDArray]

# The nodes with weights, and what is quantised between them so that int8 is not left and entered.
# Norms and softmax stay in float: they cost little and lose much.
_WEIGHTED = ('Conv', 'Gemm', 'MatMul')
_QUANTISED = (*_WEIGHTED, 'Add', 'Mul', 'Clip', 'Relu', 'Resize', 'AveragePool', 'MaxPool',
              'Concat', 'Split', 'Reshape', 'Transpose', 'Flatten', 'Unsqueeze')

_OF_ITS_SIZE = 0.1
# A group is put back into float for so much speed, by the best of so many runs.
_FASTER = 1.02
_ROUNDS = 12


@dataclass(frozen=True)
class Quantised:
    """What became of a graph.

    noise: root mean square difference to the float graph's outputs over their own deviation, the
    worst output.  groups: weighted nodes of each group; kept: indices of the groups left in
    float.  speed: processor time of the float graph over that of this one, one thread.
    """

    model: onnx.ModelProto
    noise: float
    speed: float
    groups: tuple[tuple[str, ...], ...]
    kept: tuple[int, ...]


def quantise(path: str | Path, samples: Sequence[Inputs], limit: float = 0.3, groups: int = 12,
             sides: Mapping[str, int] | None = None, timed: bool = True,
             report: Callable[[str], None] = print) -> Quantised:
    """Quantise a graph.

    samples: real inputs, by name; the noise is measured on the first four.
    sides: lengths of dimensions that the graph leaves free, as the samples have them.
    limit: noise above which further groups are left in float.
    timed: whether groups are put back into float for speed.
    Raises ValueError without samples, or when nothing in the graph can be quantised.
    """
    if not samples:
        raise ValueError(f'{path}: no samples to calibrate with')
    with tempfile.TemporaryDirectory() as folder:
        plain = prepare(path, Path(folder) / 'plain.onnx')
        graph = onnx.load(str(plain))
        names = [node.name for node in graph.graph.node if node.op_type in _WEIGHTED]
        if not names:
            raise ValueError(f'{path}: has no {", ".join(_WEIGHTED)}')
        parts = tuple(tuple(str(name) for name in part)
                      for part in np.array_split(names, min(groups, len(names))))
        ranges = calibrate(plain, samples, Path(folder) / 'augmented.onnx')
        judge = _Judge(plain, samples[:4], sides or {})
        members = _members(graph, parts)

        def attempt(kept: Sequence[int]) -> tuple[onnx.ModelProto, float]:
            exclude = [name for index in kept for name in members[index]]
            model = _quantised(plain, ranges, exclude)
            return model, judge.noise(model)

        kept: list[int] = []
        model, noise = attempt(kept)
        report(f'all in int8: noise {noise:.4f}')
        order: list[int] = []
        if noise > limit:
            # Dear, a graph for each group, so only where it is needed.
            alone = []
            for index, part in enumerate(parts):
                alone.append(attempt([i for i in range(len(parts)) if i != index])[1])
                report(f'group {index}, {part[0]} to {part[-1]}: noise {alone[-1]:.4f} alone')
            order = sorted(range(len(parts)), key=lambda index: -alone[index])
        while noise > limit and len(kept) < len(parts) - 1:
            kept.append(order[len(kept)])
            model, noise = attempt(kept)
            report(f'groups {kept} in float: noise {noise:.4f}')
        for index in range(len(parts)) if timed else ():
            if index in kept or len(kept) == len(parts) - 1:
                continue
            other, other_noise = attempt([*kept, index])
            gain = judge.speed(other, model)
            if gain > _FASTER:
                kept.append(index)
                model, noise = other, other_noise
                report(f'group {index} in float too: {gain:.2f} times as fast, noise {noise:.4f}')
        speed = judge.speed(model, onnx.load(str(plain)))
        report(f'{speed:.2f} times as fast as in float')
    return Quantised(model, noise, speed, parts, tuple(kept))


def prepare(path: str | Path, out: Path, sides: Mapping[str, int] | None = None) -> Path:
    """Write a graph with its constants and norms folded, and every node named."""
    options = SessionOptions()
    for name, length in (sides or {}).items():
        options.add_free_dimension_override_by_name(name, length)
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(out)
    options.log_severity_level = 3
    InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    model = onnx.load(str(out))
    for index, node in enumerate(model.graph.node):
        node.name = f'{node.op_type}_{index}'
    onnx.save(model, str(out))
    return out


def calibrate(path: Path, samples: Sequence[Inputs], augmented: Path) -> TensorsData:
    """Return the range of every tensor over the samples."""

    class Reader(CalibrationDataReader):
        """Hand the samples out one by one."""

        def __init__(self) -> None:
            self._rest = iter(samples)

        def get_next(self) -> dict[str, NDArray] | None:
            """Return the next sample, None at the end."""
            sample = next(self._rest, None)
            return None if sample is None else dict(sample)

    calibrator = create_calibrator(str(path), list(_QUANTISED), str(augmented),
                                   calibrate_method=CalibrationMethod.MinMax)
    calibrator.collect_data(Reader())
    return calibrator.compute_data()


def _quantised(path: Path, ranges: TensorsData, exclude: Sequence[str]) -> onnx.ModelProto:
    model = onnx.load(str(path))
    constants = {tensor.name for tensor in model.graph.initializer}
    # Whose first factor is constant, as learnt queries are: that would get a scale for each of its
    # columns, which no kernel takes there.
    left = [node.name for node in model.graph.node
            if node.op_type == 'MatMul' and node.input[0] in constants]
    quantizer = QDQQuantizer(
        model, per_channel=True, reduce_range=False, weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8, tensors_range=ranges, nodes_to_quantize=[],
        nodes_to_exclude=[*exclude, *left], op_types_to_quantize=list(_QUANTISED),
        extra_options={'DedicatedQDQPair': False})
    quantizer.quantize_model()
    return quantizer.model.model


def _members(model: onnx.ModelProto, parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return for each part the names of all nodes from its first to the next part's first."""
    heads = {part[0]: index for index, part in enumerate(parts)}
    members: list[list[str]] = [[] for _ in parts]
    current = 0
    for node in model.graph.node:
        current = heads.get(node.name, current)
        members[current].append(node.name)
    return members


class _Judge:
    """Compares graphs on fixed samples: a quantised one with the float one, two by their speed."""

    def __init__(self, plain: Path, samples: Sequence[Inputs], sides: Mapping[str, int]) -> None:
        self._samples = samples
        self._sides = sides
        self._expected = self._run(self._session(onnx.load(str(plain))))

    def _session(self, model: onnx.ModelProto) -> InferenceSession:
        options = SessionOptions()
        keep_int8_exact(options)
        options.log_severity_level = 3
        options.intra_op_num_threads = 1
        for name, length in self._sides.items():
            options.add_free_dimension_override_by_name(name, length)
        return InferenceSession(model.SerializeToString(), options,
                                providers=['CPUExecutionProvider'])

    def _run(self, session: InferenceSession) -> list[list[NDArray]]:
        return [session.run(None, dict(sample)) for sample in self._samples]

    def speed(self, model: onnx.ModelProto, than: onnx.ModelProto) -> float:
        """Return how many times as fast as the other a graph is, by the best processor times.

        In turns: what else the machine does meanwhile hits both.
        """
        sessions = [self._session(one) for one in (model, than)]
        sample = dict(self._samples[0])
        best = [float('inf')] * 2
        for _ in range(_ROUNDS):
            for index, session in enumerate(sessions):
                begin = time.process_time()
                session.run(None, sample)
                best[index] = min(best[index], time.process_time() - begin)
        return best[1] / best[0]

    def noise(self, model: onnx.ModelProto) -> float:
        """Return the noise of the worst output."""
        found = self._run(self._session(model))
        worst = 0.0
        for index in range(len(found[0])):
            error = np.concatenate([(a[index] - b[index]).ravel() for a, b
                                    in zip(found, self._expected, strict=True)])
            values = np.concatenate([b[index].ravel() for b in self._expected])
            # An output that hardly varies, as a score that was calibrated away, by its size.
            spread = max(values.std(), _OF_ITS_SIZE * np.abs(values).mean(), 1e-9)
            worst = max(worst, float(np.sqrt((error ** 2).mean()) / spread))
        return worst
