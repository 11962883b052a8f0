#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Time the instance tracker: key and reuse frames and their stages, against a peer if given.

Ratios: reuse frame over key frame; mean time per frame at the given reuse interval over the peer;
time outside the network over the whole step.  The peer is any ONNX model with one image input; it
is timed on random numbers of its own input size, without whatever it needs before and after.
"""

from common import finish
from common import flat
from common import interleaved
from common import machine
from common import parser
from common import print_table
from common import rounds_of
from common import Timing
import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.runtime.letterbox import Letterbox
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.package import REUSE_FEATURES
from vos_ros.runtime.session import Graph
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.labels import LabelPainter
from vos_ros.tracking.params import InstanceTrackerParams

FRAME_SIZES = {'vga': (480, 640), '720p': (720, 1280), '1080p': (1080, 1920)}
_TYPES = {'tensor(float)': np.float32, 'tensor(uint8)': np.uint8, 'tensor(float16)': np.float16}


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__ or '', rounds=40, quick_rounds=5)
    arguments.add_argument('--model', default='mobileinst-lite0', help='a model package')
    arguments.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'),
                           help="input size (default: the package's own)")
    arguments.add_argument('--peer', help='another ONNX model to time in the same rounds')
    arguments.add_argument('--peer-size', type=int, nargs=2, metavar=('H', 'W'),
                           help="the peer's input size where its graph leaves it open")
    arguments.add_argument('--reuse-features', choices=REUSE_FEATURES, default='cached',
                           help='what runs on the frames between keyframes')
    arguments.add_argument('--networks-only', action='store_true', help='time the graphs alone')
    arguments.add_argument('--interval', type=int, default=3, help='reuse interval T')
    arguments.add_argument('--tracks', type=int, default=8, help='tracks followed and painted')
    args = arguments.parse_args()
    rounds = rounds_of(args)
    package = load_package(args.model)
    print(f'{package}\n{machine()}')
    figures: dict[str, float] = {}
    for threads in (1, 2):
        cv2.setNumThreads(threads)
        figures.update(networks(args, threads, rounds))
    if not args.networks_only:
        cv2.setNumThreads(1)
        figures.update(pictures(args, rounds))
        figures.update(steps(args, rounds))
    finish(figures, args)


def networks(args, threads: int, rounds: int) -> dict[str, float]:
    """Time the graphs alone, and the peer."""
    network = MobileInst(load_package(args.model), threads, reuse_features=args.reuse_features,
                         input_size=args.size and tuple(args.size))
    image = np.random.default_rng(0).integers(0, 255, (*network.input_size, 3), dtype=np.uint8)
    output = network.key(image)
    kernels = output.kernels[:args.tracks]
    contenders = {'key': lambda: network.key(image),
                  'reuse': lambda: network.reuse(image, kernels, output.context)}
    if args.peer:
        peer = Graph(args.peer, threads)
        feed = peer_input(peer, args.peer_size)
        contenders['peer'] = lambda: peer(**feed)
    timings = interleaved(contenders, rounds)
    print_table(f'networks, {threads} thread{"s" * (threads > 1)}', timings, baseline='key')
    interval = args.interval
    mean = (timings['key'].median + (interval - 1) * timings['reuse'].median) / interval
    print(f'mean per frame at T={interval}: {mean:.2f} ms')
    suffix = f'_{threads}t'
    figures = {f'{name}{suffix}_ms': t.median for name, t in timings.items()}
    figures |= {f'{name}{suffix}_p95_ms': t.p95 for name, t in timings.items()}
    figures[f'mean{suffix}_ms'] = mean
    figures[f'reuse_over_key{suffix}'] = timings['reuse'].median / timings['key'].median
    if args.peer:
        figures[f'mean_over_peer{suffix}'] = mean / timings['peer'].median
        print(f'ratio to the peer: {figures[f"mean_over_peer{suffix}"]:.3f}')
    return figures


def pictures(args, rounds: int) -> dict[str, float]:
    """Time what depends on the camera's frame size: letterbox and label map, one thread."""
    network = MobileInst(load_package(args.model), 1, input_size=args.size and tuple(args.size))
    input_size = network.input_size
    mask_size = tuple(network.enlargement * side for side in network.mask_size)
    rng = np.random.default_rng(0)
    contenders = {}
    for name, size in FRAME_SIZES.items():
        frame = rng.integers(0, 255, (*size, 3), dtype=np.uint8)
        letterbox = Letterbox(size, input_size)
        painter = LabelPainter(letterbox, mask_size)
        masks = discs(args.tracks, painter.cells)
        ids = list(range(1, len(masks) + 1))
        contenders[f'resize {name}'] = lambda box=letterbox, frame=frame: box.apply(frame)
        contenders[f'labels {name}'] = \
            lambda painter=painter, ids=ids, masks=masks: painter.paint(ids, masks, 0.0)
    timings = interleaved(contenders, rounds)
    print_table(f'frames in and label maps out, input {input_size[0]} x {input_size[1]}, '
                f'{args.tracks} tracks, 1 thread', timings)
    return flat('', timings)


def steps(args, rounds: int) -> dict[str, float]:
    """Time whole steps on a VGA frame; by stage, and the share outside the graphs."""
    network = MobileInst(load_package(args.model), 1, reuse_features=args.reuse_features,
                         input_size=args.size and tuple(args.size))
    height, width = network.input_size
    every = dict(birth_score=0.0, keep_score=0.0, min_area=0.0, confirm_keyframes=1,
                 max_tracks=args.tracks, max_gap=3600.0)
    params = InstanceTrackerParams(reuse_interval=args.interval, **every)
    tracker = InstanceTracker(network, params)
    rng = np.random.default_rng(1)
    frame = cv2.GaussianBlur(rng.integers(0, 255, (480, 640, 3), dtype=np.uint8), (0, 0), 7)
    spent: dict[str, dict[str, list[float]]] = {'key': {}, 'reuse': {}}
    tracks = 0
    for _ in range(max(2, rounds) * args.interval):
        result = tracker.step(frame)
        tracks = max(tracks, int((result.tracks.areas > 0).sum()))
        kind = spent['key' if result.keyframe else 'reuse']
        total = sum(result.timings.values())
        for name, value in (*result.timings.items(), ('step', total)):
            kind.setdefault(name, []).append(value)
    figures: dict[str, float] = {}
    for kind, stages in spent.items():
        if not stages:
            continue
        timings = {name: Timing(float(np.median(v)), float(np.percentile(v, 95)), min(v),
                                float('nan'), len(v)) for name, v in stages.items()}
        print_table(f'{kind} frame, VGA, input {height} x {width}, {tracks} tracks shown, '
                    '1 thread', timings)
        figures |= flat(f'{kind}_', timings)
    everything = sum(sum(v['step']) for v in spent.values() if v)
    inside = sum(sum(v['network']) for v in spent.values() if v)
    figures['outside_network_share'] = 1 - inside / everything
    print(f'\noutside the network: {100 * figures["outside_network_share"]:.1f} % of the step')
    return figures


def discs(count: int, cells: tuple[int, int]) -> list[NDArray[np.float32]]:
    """Return mask logits of discs spread over the cells, each about a twentieth of the frame."""
    rows, columns = np.mgrid[:cells[0], :cells[1]]
    rng = np.random.default_rng(2)
    centres = rng.random((count, 2)) * cells
    radius = (cells[0] * cells[1] / 20 / np.pi) ** 0.5
    return [(radius - np.hypot(rows - y, columns - x)).astype(np.float32) for y, x in centres]


def peer_input(peer: Graph, size: list[int] | None) -> dict[str, NDArray]:
    """Return random numbers of the size and type that the peer's one input declares."""
    if len(peer.inputs) != 1:
        raise SystemExit(f'{peer.path}: has {len(peer.inputs)} inputs, a peer must have one')
    (name, (kind, shape)), = peer.inputs.items()
    if kind not in _TYPES or len(shape) != 4:
        raise SystemExit(f'{peer.path}: input {name} is {kind}{shape}, must be an image')
    first = 1 if shape[-1] in (1, 3) else 2      # [1, H, W, 3] or [1, 3, H, W]
    sides = list(shape)
    sides[0] = 1
    if size:
        sides[first:first + 2] = size
    if not all(isinstance(side, int) for side in sides):
        raise SystemExit(f'{peer.path}: input {name} is {shape}; give --peer-size H W')
    values = np.random.default_rng(0).random(sides)
    dtype = _TYPES[kind]
    print(f'peer {peer.path.name}: {name} {kind[7:-1]}{sides}')
    return {name: (values * 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)}


if __name__ == '__main__':
    main()
