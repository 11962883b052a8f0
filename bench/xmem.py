# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""XMem: the memory read against the dense formulation, the whole step against the reference.

Without arguments: the read with full memories, and the step of the full network and of the shipped
XMem-Lite (lite_to_official_N: its time over that of the official network, N objects).
--reference DIR adds the official implementation, from a checkout of hkchengrex/XMem, stepped in
turns with ours in a process of its own: milliseconds, peak memory, and how many pixels of the
label maps differ.  --soak runs 10,000 frames and shows that memory and step time do not grow.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
import json
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import Any

from common import finish
from common import flat
from common import interleaved
from common import machine
from common import parser
from common import print_table
from common import rounds_of
import numpy as np
from xmem_networks import make_packages
from xmem_soak import soak

from vos_ros.budget.clock import percentile
from vos_ros.runtime.memory_ops import ReadGroup
from vos_ros.runtime.memory_ops_numpy import NumpyOps

QUERIES = 1620          # 30 x 54 cells: 480p
CELLS = 1620
TOP_K = 30
LITE = Path(__file__).resolve().parent.parent / 'weights' / 'xmem-lite'
WORKER = Path(__file__).resolve().parent / 'xmem_worker.py'


def dense_read(key: np.ndarray, selection: np.ndarray, memory: np.ndarray, shrinkage: np.ndarray,
               values: np.ndarray) -> np.ndarray:
    """Read as the formula is written: full similarity, top-k, full affinity, dense product."""
    similarity = memory ** 2 @ selection.T
    similarity *= -1
    similarity += 2 * (memory @ (key * selection).T)
    similarity -= (selection * key ** 2).sum(1)
    similarity *= (shrinkage / np.sqrt(memory.shape[1]))[:, None]
    rank = np.argpartition(similarity, len(memory) - TOP_K, axis=0)[-TOP_K:]
    best = np.exp(np.take_along_axis(similarity, rank, 0))
    best /= best.sum(0)
    affinity = np.zeros_like(similarity)
    np.put_along_axis(affinity, rank, best, 0)
    affinity.sum(1)
    return np.stack([value @ affinity for value in values])


def bench_read(rounds: int, threads: int) -> dict[str, float]:
    """Time the read of one object over a full working memory, and with a full long-term memory."""
    figures: dict[str, float] = {}
    rng = np.random.default_rng(0)
    pool = ThreadPoolExecutor(threads)
    for tokens in (10 * CELLS, 10 * CELLS + 10000):
        key = rng.standard_normal((QUERIES, 64)).astype(np.float32)
        selection = rng.random((QUERIES, 64)).astype(np.float32)
        memory = rng.standard_normal((tokens, 64)).astype(np.float32)
        shrinkage = (1 + rng.random(tokens)).astype(np.float32)
        values = rng.standard_normal((1, tokens, 512)).astype(np.float32)
        columns = np.ascontiguousarray(values.transpose(0, 2, 1))
        parts = np.array_split(np.arange(QUERIES), threads)
        ops = NumpyOps(threads)
        stored = ops.stored(memory, shrinkage)
        group = ReadGroup(None, [values[0]])

        def fast(ops: NumpyOps = ops, stored: np.ndarray = stored, group: ReadGroup = group,
                 key: np.ndarray = key, selection: np.ndarray = selection) -> np.ndarray:
            return ops.read(key, selection, stored, [group], TOP_K)[0][0][0]

        def dense(key: np.ndarray = key, selection: np.ndarray = selection,
                  memory: np.ndarray = memory, shrinkage: np.ndarray = shrinkage,
                  columns: np.ndarray = columns, parts: list[np.ndarray] = parts) -> np.ndarray:
            # BLAS has one thread here (common): the queries are shared out, as ours are.
            return np.concatenate(list(pool.map(lambda rows: dense_read(
                key[rows], selection[rows], memory, shrinkage, columns), parts)), 2)

        # Rounding may exchange the elements at rank 30 and 31 of a query, seldom.
        wrong = (np.abs(fast().T - dense()[0]).max(0) > 1e-3).mean()
        if wrong > 0.01:
            raise SystemExit(f'the fast read is wrong for {100 * wrong:.2f} % of the queries')
        timings = interleaved({'dense': dense, 'ours': fast}, rounds, warm=1)
        print_table(f'read of {tokens:,} elements by {QUERIES:,} queries, {threads} thread(s)',
                    timings, 'dense')
        prefix = f'read_{tokens}_threads{threads}_'
        figures.update(flat(prefix, timings))
        figures[prefix + 'speedup'] = timings['dense'].median / timings['ours'].median
    return figures


class Contender:
    """A worker process that steps when told."""

    def __init__(self, kind: str, objects: int, threads: int, size: tuple[int, int],
                 folder: Path, **paths: str) -> None:
        self.labels = folder / f'{kind}.npy'
        command = [sys.executable, str(WORKER), kind, '--objects', str(objects), '--threads',
                   str(threads), '--height', str(size[0]), '--width', str(size[1]), '--labels',
                   str(self.labels)]
        for name, path in paths.items():
            command += [f'--{name}', path]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.loaded = self.answer()['loaded_mib']
        self.times: list[float] = []

    def answer(self) -> dict[str, Any]:
        """Read one line; SystemExit when the worker has died."""
        line = self.process.stdout.readline() if self.process.stdout else ''
        if not line:
            raise SystemExit('a worker ended early; its message is above')
        return json.loads(line)

    def step(self, number: int) -> np.ndarray:
        """Step a frame; returns its label map."""
        self.tell(number)
        self.times.append(self.answer()['ms'])
        return np.load(self.labels)

    def tell(self, number: int) -> None:
        """Send a frame number."""
        if self.process.stdin:
            self.process.stdin.write(f'{number}\n')
            self.process.stdin.flush()

    def close(self) -> dict[str, Any]:
        """Return the worker's last words and end it."""
        self.tell(-1)
        report = self.answer()
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()
        return report


def bench_step(title: str, contenders: dict[str, Contender], frames: int,
               same: bool) -> dict[str, float]:
    """Step contenders in turns over the same video; the first one is the baseline.

    same: they hold the same network, so their label maps are compared.
    """
    differing, pixels = 0, 0
    for number in range(frames):
        labels = [one.step(number) for one in contenders.values()]
        if same and len(labels) > 1:
            differing += int((labels[0] != labels[1]).sum())
            pixels += labels[0].size
    figures: dict[str, float] = {}
    print(f'\n{title}, {frames} frames\n{"":<10}{"median ms":>11}{"p95":>9}{"fps":>8}{"ratio":>8}'
          f'{"loaded MiB":>12}{"peak MiB":>10}')
    base = None
    for name, one in contenders.items():
        median = percentile(one.times[1:], 0.5)
        base = median if base is None else base
        report = one.close()
        print(f'{name:<10}{median:>11.0f}{percentile(one.times[1:], 0.95):>9.0f}'
              f'{1e3 / median:>8.2f}{base / median:>8.2f}{one.loaded:>12.0f}'
              f'{report["peak_mib"]:>10.0f}')
        stages = {k: round(v, 1) for k, v in report.items() if k not in ('peak_mib', 'step')}
        if stages:
            print(f'{"":<10}{stages}')
        figures.update({f'{name}_ms': median, f'{name}_peak_mib': report['peak_mib']})
        if one.times and base:
            figures[f'{name}_speedup'] = base / median
    if pixels:
        share = 1 - differing / pixels
        print(f'{"":<10}label maps equal on {100 * share:.4f} % of pixels')
        figures['labels_equal'] = share
    return figures


def main() -> int:
    """Run the parts that were asked for."""
    arguments = parser(__doc__ or '', rounds=15, quick_rounds=4)
    arguments.add_argument('--reference', default='', metavar='DIR',
                           help='a checkout of hkchengrex/XMem (needs torch)')
    arguments.add_argument('--weights', default='', metavar='PTH',
                           help='official weights; random ones of the same shapes if not given')
    arguments.add_argument('--frames', type=int, default=60, help='frames of each step benchmark')
    arguments.add_argument('--threads', type=int, default=2)
    arguments.add_argument('--objects', type=int, nargs='+', default=[1, 3])
    arguments.add_argument('--lite-objects', type=int, nargs='+', default=[1, 5])
    arguments.add_argument('--lite', default=str(LITE), metavar='DIR',
                           help='package of XMem-Lite')
    arguments.add_argument('--only', choices=('read', 'step', 'lite'), nargs='+',
                           default=['read', 'step', 'lite'])
    arguments.add_argument('--soak', action='store_true', help='10,000 frames; nothing else')
    arguments.add_argument('--soak-frames', type=int, default=10000)
    args: argparse.Namespace = arguments.parse_args()
    rounds = rounds_of(args)
    frames = 12 if args.quick else args.frames
    print(machine())
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if args.soak:
            finish(soak(Path(args.lite), 300 if args.quick else args.soak_frames), args)
            return 0
        if 'read' in args.only:
            for threads in sorted({1, args.threads}):
                figures.update(bench_read(rounds, threads))
        if {'step', 'lite'} & set(args.only):
            paths = make_packages(folder, args.weights, full='step' in args.only,
                                  reference=bool(args.reference))
            paths['lite'] = args.lite
            figures.update(step_parts(args, folder, paths, frames))
    finish(figures, args)
    return 0


def step_parts(args: argparse.Namespace, folder: Path, paths: dict[str, str],
               frames: int) -> dict[str, float]:
    """Run the step benchmarks, with the reference where there is one."""
    figures: dict[str, float] = {}
    size = (480, 854)
    plans = [('full', n) for n in args.objects if 'step' in args.only]
    plans += [('lite', n) for n in args.lite_objects if 'lite' in args.only]
    for kind, count in plans:
        contenders: dict[str, Contender] = {}
        if args.reference:
            contenders['official'] = Contender(
                'official', count, args.threads, size, folder, reference=args.reference,
                weights=paths['weights'])
        contenders['ours'] = Contender('ours', count, args.threads, size, folder,
                                       package=paths[kind])
        title = f'step, {kind} network, {count} object(s), 480p, {args.threads} thread(s)'
        part = bench_step(title, contenders, frames, same=kind == 'full')
        figures.update({f'{kind}_{count}_{name}': value for name, value in part.items()})
        if kind == 'lite' and args.reference:
            figures[f'lite_to_official_{count}'] = part['ours_ms'] / part['official_ms']
    return figures


if __name__ == '__main__':
    raise SystemExit(main())
