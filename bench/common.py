# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: contenders timed in turns, medians and p95, ratios, one JSON line.

On a machine that others use too, only figures of the same moment can be compared.  So contenders
are never timed one after the other: each round calls every one of them once, in an order that
changes from round to round, and ratios are taken of medians over the same rounds.

CPU time beside wall time shows what a figure is worth: wall well above CPU / threads means that
the machine was busy with something else.
"""

import argparse
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import json
import os
from pathlib import Path
import random
import sys
import time

# Benchmarks run from a bare checkout as well as beside an installed package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vos_ros.budget.clock import percentile
from vos_ros.budget.threads import one_blas_thread

one_blas_thread()


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one contender over all rounds."""

    median: float
    p95: float
    best: float
    cpu_median: float
    rounds: int


def parser(about: str, rounds: int, quick_rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every benchmark has."""
    result = argparse.ArgumentParser(
        description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    result.add_argument('--json', action='store_true',
                        help='print the figures as one JSON object, last line')
    result.add_argument('--quick', action='store_true', help=f'{quick_rounds} rounds')
    result.add_argument('--rounds', type=int, default=rounds, help='how often each one is timed')
    result.set_defaults(quick_rounds=quick_rounds)
    return result


def rounds_of(args: argparse.Namespace) -> int:
    """Return how many rounds the command line asks for; SystemExit for fewer than one."""
    rounds = args.quick_rounds if args.quick else args.rounds
    if rounds < 1:
        raise SystemExit(f'--rounds is {rounds}, must be at least 1')
    return rounds


def interleaved(
        contenders: Mapping[str, Callable[[], object]], rounds: int, warm: int = 2,
        ) -> dict[str, Timing]:
    """Time functions in turns; return each one's Timing by name.

    warm: untimed calls before.  The order is shuffled each round (from a fixed seed), so that no
    contender always follows the one that leaves the caches as it likes them.
    """
    for call in contenders.values():
        for _ in range(warm):
            call()
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    shuffler = random.Random(0)
    for _ in range(rounds):
        shuffler.shuffle(order)
        for name in order:
            cpu_begin, begin = time.process_time(), time.perf_counter()
            contenders[name]()
            wall[name].append((time.perf_counter() - begin) * 1e3)
            cpu[name].append((time.process_time() - cpu_begin) * 1e3)
    return {name: Timing(percentile(wall[name], 0.5), percentile(wall[name], 0.95),
                         min(wall[name]), percentile(cpu[name], 0.5), rounds)
            for name in contenders}


def print_table(title: str, timings: Mapping[str, Timing], baseline: str | None = None) -> None:
    """Print timings, with the ratio of each median to the baseline's when one is named."""
    width = max(len(name) for name in timings)
    ratio = f'{"ratio":>8}' if baseline else ''
    print(f'\n{title}\n{"":<{width}}{"median ms":>11}{"p95":>9}{"best":>9}{"cpu":>9}{ratio}')
    for name, timing in timings.items():
        ratio = f'{timing.median / timings[baseline].median:>8.3f}' if baseline else ''
        print(f'{name:<{width}}{timing.median:>11.2f}{timing.p95:>9.2f}{timing.best:>9.2f}'
              f'{timing.cpu_median:>9.2f}{ratio}')


def machine() -> str:
    """Return the processor's name, its cores and the load, for the head of a report."""
    name = 'unknown processor'
    cpuinfo = Path('/proc/cpuinfo')
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.lower().startswith(('model name', 'hardware')):
                name = line.split(':', 1)[1].strip()
                break
    load = os.getloadavg()[0]
    busy = '' if load < 0.5 else ', NOT QUIET: figures are worth little beyond their ratios'
    return f'{name}, {os.cpu_count()} cores, load {load:.2f}{busy}'


def finish(figures: Mapping[str, float], args: argparse.Namespace) -> None:
    """Print the figures as the last line when --json asks for it."""
    if args.json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def flat(prefix: str, timings: Mapping[str, Timing]) -> dict[str, float]:
    """Return timings as flat JSON figures: ``<prefix><name>_ms`` and ``…_p95_ms``."""
    figures: dict[str, float] = {}
    for name, timing in timings.items():
        key = f'{prefix}{name}'.replace(' ', '_')
        figures[f'{key}_ms'] = timing.median
        figures[f'{key}_p95_ms'] = timing.p95
    return figures


def ratios(timings: Mapping[str, Timing], names: Sequence[str], baseline: str) -> list[float]:
    """Return the medians of some contenders over the baseline's."""
    return [timings[name].median / timings[baseline].median for name in names]
