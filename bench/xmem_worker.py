# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One contender of bench/xmem.py in a process of its own, stepped frame by frame over a pipe.

Processes of their own make peak memory comparable; stepping in turns makes times comparable on a
machine that others use too.
"""

import argparse
import json
from pathlib import Path
import sys
import time
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

PARAMS = {'mem_every': 5, 'working_memory_max_frames': 10, 'working_memory_min_frames': 5,
          'num_prototypes': 128, 'long_term_max_elements': 10000, 'top_k': 30}


def video_frame(number: int, height: int, width: int, objects: int,
                ) -> tuple[np.ndarray, np.ndarray]:
    """Return frame `number` of an endless synthetic video: uint8 [H, W, 3] and labels [H, W]."""
    rng = np.random.RandomState(7)
    ground = rng.randint(40, 216, (height // 16 + 2, width // 16 + 2, 3)).astype(np.uint8)
    ground = ground.repeat(16, 0).repeat(16, 1)
    shift = number % 16
    frame = ground[:height, shift:shift + width].copy()
    labels = np.zeros((height, width), np.uint8)
    yy, xx = np.mgrid[:height, :width]
    for i in range(objects):
        texture = rng.randint(0, 256, (8, 8, 3)).astype(np.uint8).repeat(12, 0).repeat(12, 1)
        radius = int(height * (0.22 - 0.04 * i))
        angle = 2 * np.pi * (number / (90 + 25 * i) + i / 3)
        cx = int(width * (0.5 + 0.3 * np.cos(angle)))
        cy = int(height * (0.5 + 0.22 * np.sin(angle)))
        inside = (xx - cx) ** 2 + (yy - cy) ** 2 <= radius ** 2 if i % 2 == 0 else \
            (np.abs(xx - cx) <= radius) & (np.abs(yy - cy) <= radius)
        frame[inside] = texture[(yy - cy) % 96, (xx - cx) % 96][inside]
        labels[inside] = i + 1
    return frame, labels


def normalised(frame: np.ndarray) -> np.ndarray:
    """Return float32 [3, H, W] with ImageNet's mean and standard deviation."""
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    std = np.array([0.229, 0.224, 0.225], np.float32)
    scaled = (frame.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


class Ours:
    """The core of the memory tracker over a model package, by onnxruntime; no torch."""

    def __init__(self, args: argparse.Namespace) -> None:
        from vos_ros.runtime.package import load_package
        from vos_ros.runtime.xmem import OnnxXMem
        from vos_ros.tracking.memory_params import MemoryTrackerParams
        from vos_ros.tracking.xmem_step import XMemCore
        network = OnnxXMem(load_package(args.package), args.threads)
        self.core = XMemCore(network, MemoryTrackerParams(**PARAMS))

    def step(self, image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """Return probabilities [objects + 1, H, W]."""
        ids = None if mask is None else list(range(1, len(mask) + 1))
        self.core.clock.start()
        probabilities = self.core.step(image, mask, ids, ids).probabilities
        self.core.clock.finish()
        return probabilities

    def report(self) -> dict[str, Any]:
        """Return the tokens held and the median milliseconds of each stage."""
        memory = self.core.memory
        stages = {name: s.median for name, s in self.core.clock.summary().items()}
        return {'tokens': memory.store.size, **stages}


class Official:
    """The reference implementation from a checkout, on the CPU, with its own defaults."""

    def __init__(self, args: argparse.Namespace) -> None:
        sys.path.insert(0, args.reference)
        import torch
        torch.set_num_threads(args.threads)
        from model import resnet
        # Its constructor fetches ImageNet weights, which the state_dict then overwrites.
        resnet.model_zoo.load_url = lambda *a, **k: {}
        resnet.load_weights_add_extra_dim = lambda *a, **k: None
        from inference.inference_core import InferenceCore
        from model.network import XMem
        config = {'top_k': PARAMS['top_k'], 'mem_every': PARAMS['mem_every'],
                  'deep_update_every': -1, 'enable_long_term': True,
                  'enable_long_term_count_usage': False,
                  'max_mid_term_frames': PARAMS['working_memory_max_frames'],
                  'min_mid_term_frames': PARAMS['working_memory_min_frames'],
                  'max_long_term_elements': PARAMS['long_term_max_elements'],
                  'num_prototypes': PARAMS['num_prototypes'],
                  'key_dim': 64, 'value_dim': 512, 'hidden_dim': 64}
        network = XMem(config).eval()
        network.load_weights(torch.load(args.weights, map_location='cpu', weights_only=True))
        self.torch, self.core = torch, InferenceCore(network, config)

    def step(self, image: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        """Return probabilities [objects + 1, H, W]."""
        torch = self.torch
        labels = None
        if mask is not None:
            labels = list(range(1, len(mask) + 1))
            self.core.set_all_labels(labels)
        with torch.inference_mode():
            given = None if mask is None else torch.from_numpy(mask)
            return self.core.step(torch.from_numpy(image), given, labels).numpy()

    def report(self) -> dict[str, Any]:
        """Return nothing: the reference counts nothing."""
        return {}


def resident_mib(entry: str = 'VmHWM') -> float:
    """Return a figure of /proc/self/status in MiB: VmHWM is the peak, VmRSS the present."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(entry + ':'):
            return int(line.split()[1]) / 1024
    return float('nan')


def main() -> None:
    """Answer commands, one JSON line each, until the pipe closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument('kind', choices=('ours', 'official'))
    for name in ('--package', '--reference', '--weights', '--labels'):
        parser.add_argument(name, default='')
    parser.add_argument('--objects', type=int, default=1)
    parser.add_argument('--height', type=int, default=480)
    parser.add_argument('--width', type=int, default=854)
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args()
    out = sys.stdout
    sys.stdout = sys.stderr         # the reference prints
    runner = Ours(args) if args.kind == 'ours' else Official(args)
    print(json.dumps({'ready': True, 'loaded_mib': resident_mib('VmRSS')}), file=out, flush=True)
    for line in sys.stdin:
        number = int(line)
        if number < 0:
            print(json.dumps({'peak_mib': resident_mib(), **runner.report()}), file=out,
                  flush=True)
            continue
        frame, labels = video_frame(number, args.height, args.width, args.objects)
        image = normalised(frame)
        mask = None
        if number == 0:
            mask = np.stack([labels == i + 1 for i in range(args.objects)]).astype(np.float32)
        cpu, begin = time.process_time(), time.perf_counter()
        probabilities = runner.step(image, mask)
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
        if args.labels:
            np.save(args.labels, probabilities.argmax(0).astype(np.uint8))
        print(json.dumps({'ms': wall * 1e3, 'cpu_ms': cpu * 1e3,
                          'rss_mib': resident_mib('VmRSS')}), file=out, flush=True)


if __name__ == '__main__':
    main()
