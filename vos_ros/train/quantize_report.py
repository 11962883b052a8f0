# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What quantising cost and gained: both packages side by side, and a model card that says it."""

from collections.abc import Mapping
import os
from pathlib import Path
import platform
import time
from typing import Any

import numpy as np

from vos_ros.budget.clock import percentile
from vos_ros.data.coco import CocoImages
from vos_ros.evaluate.instances import asking
from vos_ros.evaluate.masks import evaluate_masks
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import ModelPackage

_ROUNDS = 30
_KERNELS = 8
_INTERVAL = 3
_FIGURES = ('AP', 'AR@100')


def compare(before: ModelPackage, after: ModelPackage, data: Path | None,
            annotations: Path | None, held_out: set[str] | None) -> dict[str, float]:
    """Print and return how many times as fast `after` is, and AP and AR of both where given.

    key, reuse, mean_<n>t: medians of `before` over those of `after`, in turns, on n threads; mean
    is of a frame at T = 3.  AP, AR are class-agnostic, percent, of the images that held_out names,
    all of them where it is None.  Raises DataError.
    """
    figures: dict[str, float] = {}
    for threads in (1, 2):
        spent = _times(before, after, threads)
        ms = [[percentile(values, 0.5) for values in one] for one in spent]
        for one in ms:
            one.append((one[0] + (_INTERVAL - 1) * one[1]) / _INTERVAL)
        for name, old, new in zip(('key', 'reuse', 'mean'), *ms, strict=True):
            figures[f'{name}_{threads}t'] = round(old / new, 3)
            print(f'{name} frame, {threads} threads: {old:.2f} -> {new:.2f} ms, '
                  f'{old / new:.2f} times as fast')
    if data is None or annotations is None:
        return figures
    for word, package in (('before', before), ('after', after)):
        found = _quality(package, CocoImages(data, annotations, package.classes, held_out))
        for name in _FIGURES:
            figures[f'{name}_{word}'] = round(100 * found[f'agnostic_{name}'], 2)
            print(f'class-agnostic {name} {word}: {figures[f"{name}_{word}"]:.1f}')
    return figures


def _times(before: ModelPackage, after: ModelPackage,
           threads: int) -> list[tuple[list[float], list[float]]]:
    """Return for both packages the milliseconds of key and reuse frames, timed in turns."""
    networks = [MobileInst(package, threads) for package in (before, after)]
    image = np.random.default_rng(0).integers(0, 255, (*networks[0].input_size, 3), np.uint8)
    spent: list[tuple[list[float], list[float]]] = [([], []), ([], [])]
    for round_ in range(_ROUNDS + 2):
        for network, (key, reuse) in zip(networks, spent, strict=True):
            begin = time.perf_counter()
            output = network.key(image)
            middle = time.perf_counter()
            network.reuse(image, output.kernels[:_KERNELS], output.context)
            if round_ >= 2:
                key.append((middle - begin) * 1e3)
                reuse.append((time.perf_counter() - middle) * 1e3)
    return spent


def _quality(package: ModelPackage, data: CocoImages) -> Mapping[str, float]:
    ask, turns = asking(package)
    return evaluate_masks(ask, data, package.input_size, lambda _: None, turns)


def write_card(path: Path, source: ModelPackage, name: str, noted: Mapping[str, Any],
               measured: Mapping[str, float]) -> None:
    """Write the model card of a quantised package."""
    rows = [f'| {key} frame, {threads} thread{"s" * (threads > 1)} | '
            f'{measured[f"{key}_{threads}t"]:.2f} |'
            for threads in (1, 2) for key in ('key', 'reuse', 'mean')]
    quality = [f'| class-agnostic {key} | {measured[f"{key}_before"]:.1f} | '
               f'{measured[f"{key}_after"]:.1f} |' for key in _FIGURES
               if f'{key}_before' in measured]
    parts = [
        f'# {name}', f'`{source.name}` ({source.digest[:12]}) in {noted["precision"]}, made by '
        '`vos-ros quantize`. What it was trained on, its licence and its limits are those of '
        f'`{source.name}`: see its card. To use it: `model_path:={name}`.']
    if 'pictures' in noted:
        parts.append(
            f'Calibrated on {noted["pictures"]} of its training pictures; graphs or layers that '
            'int8 made worse or slower stay in float32: `figures` in model.yaml names them.')
    parts.append(
        'How many times as fast as the float32 package, onnxruntime on '
        f'{processor()}, medians in turns (mean: a frame at T = 3):\n\n'
        '| | times as fast |\n|---|---|\n' + '\n'.join(rows))
    if quality:
        parts.append('On held-out images, percent:\n\n| | float32 | this |\n|---|---|---|\n'
                     + '\n'.join(quality))
    path.write_text('\n\n'.join(parts) + '\n', encoding='utf-8')


def processor() -> str:
    """Return the processor's name and its cores."""
    name = platform.machine()
    info = Path('/proc/cpuinfo')
    if info.is_file():
        for line in info.read_text(encoding='utf-8').splitlines():
            if line.startswith('model name'):
                name = line.split(':', 1)[1].strip()
                break
    return f'{name}, {os.cpu_count()} cores'
