#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The latency budget: real nodes on real video at its own rate, while the cores come under load.

Every run has three phases, quiet, loaded and quiet again; in the loaded one a second process keeps
as many cores busy as the machine has.  The first run has no budget: its p50 in the first phase is
1x.  Then come runs with budgets of 2x, 1x, 0.7x and 0.5x of it, and beside each the figures that
the run without a budget has against the same bound.

The two seconds after a start and after each load step are left out of p50, p95, p99 and misses.

p95_over_budget_<n>x: p95 of pipeline latency (image stamp to published) over the budget.
plain_p95_over_budget_<n>x: the same without a budget: no governor, and no priority over the load.
priority_p95_over_budget_<n>x: without the governor, but with the priority that a budget asks for
    (`budget_nice`); nice is what the node's process really had.
recover_s_<n>x: seconds from a load step until a second begins in which at most 5 % miss, the
    longer of both steps; recover_s is the longest of the 1x and 0.7x runs.
changes_per_10s_<n>x: most changes of the operating point in any 10 s that hold no load step, nor
    the two seconds after one; changes_per_10s is the most of the 1x and 0.7x runs.
quality_<n>x: mask IoU (all objects together) of each published frame with the same frame of a run
    in which every frame is computed and none is late; quality_plain is that of the run without a
    budget.  published_<n>x: share of the camera's frames that were published.
"""

import argparse
from collections.abc import Mapping
from collections.abc import Sequence
import itertools
import json
import math
import os
import subprocess
import sys

from budget_run import NODES
from budget_run import play
from budget_run import Run
from budget_run import video_length
from common import machine
from nodes import PROFILE_SETTINGS
from nodes import ROOT
import numpy as np
from numpy.typing import NDArray

from vos_ros.budget.clock import percentile
from vos_ros.nodes.tables import TRACKER

SETTLE = 2.0
SHARES = (2.0, 1.0, 0.7, 0.5)
PRIORITY = next(spec.default for spec in TRACKER if spec.name == 'budget_nice')


def steady(run: Run, phase: int | None = None) -> list[tuple[float, float]]:
    """Return (begin, end) of the phases without what follows a step; or of one phase."""
    edges = [run.lead, *run.steps, run.seconds]
    parts = [(begin + SETTLE, end) for begin, end in itertools.pairwise(edges)]
    return parts if phase is None else [parts[phase]]


def latencies(run: Run, phase: int | None = None) -> list[float]:
    """Return the latencies of the steady parts."""
    parts = steady(run, phase)
    return [latency for stamp, latency, *_ in run.frames
            if any(begin <= stamp < end for begin, end in parts)]


def recovery(run: Run, budget: float) -> float:
    """Return the seconds after a load step until one begins in which at most 5 % miss."""
    worst = 0.0
    ends = (*run.steps[1:], run.seconds)
    for begin, end in zip(run.steps, ends, strict=True):
        inside = [(stamp, latency) for stamp, latency, *_ in run.frames if begin <= stamp < end]
        for stamp, _ in inside:
            second = [latency for other, latency in inside if stamp <= other < stamp + 1.0]
            if sum(latency > budget for latency in second) <= 0.05 * len(second):
                worst = max(worst, stamp - begin)
                break
        else:
            worst = max(worst, end - begin)
    return worst


def changes(run: Run) -> int:
    """Return the most changes in any steady 10 s."""
    most = 0
    for begin, end in steady(run):
        seen = [(stamp, count) for stamp, _, _, count in run.frames if begin <= stamp < end]
        for stamp, count in seen:
            most = max(most, max(c for s, c in seen if s < stamp + 10.0) - count)
    return most


def quality(run: Run, reference: Sequence[NDArray[np.uint8] | None]) -> float:
    """Return the mean IoU with the reference's masks of the same pictures."""
    number = {stamp: i for i, stamp in enumerate(run.stamps, run.unheard)}
    values = []
    for stamp, mask in run.masks.items():
        index = number.get(stamp)
        other = None if index is None else reference[index % len(reference)]
        if other is None:
            continue
        union = int(np.unpackbits(mask | other).sum())
        values.append(int(np.unpackbits(mask & other).sum()) / union if union else 1.0)
    return sum(values) / len(values) if values else math.nan


def figures_of(run: Run, budget: float, suffix: str) -> dict[str, float]:
    """Return the figures of a run against a budget."""
    seen = latencies(run)
    loaded = latencies(run, 1)
    return {
        f'p50_ms{suffix}': percentile(seen, 0.5), f'p95_ms{suffix}': percentile(seen, 0.95),
        f'p99_ms{suffix}': percentile(seen, 0.99),
        f'misses{suffix}': sum(latency > budget for latency in seen) / len(seen),
        f'p95_over_budget{suffix}': percentile(seen, 0.95) / budget,
        f'loaded_p95_over_budget{suffix}': percentile(loaded, 0.95) / budget,
        f'recover_s{suffix}': recovery(run, budget),
        f'changes_per_10s{suffix}': changes(run)}


def row(name: str, figures: Mapping[str, float], suffix: str, quality_of: float,
        published: float) -> str:
    """Return a line of the table."""
    def value(key: str) -> float:
        return figures[f'{key}{suffix}']
    return (f'{name:<18}{value("p50_ms"):>8.1f}{value("p95_ms"):>8.1f}{value("p99_ms"):>8.1f}'
            f'{value("misses"):>8.1%}{value("p95_over_budget"):>9.2f}'
            f'{value("loaded_p95_over_budget"):>9.2f}{value("recover_s"):>9.1f}'
            f'{value("changes_per_10s"):>9.0f}{quality_of:>9.3f}{published:>10.0%}')


def published(run: Run) -> float:
    """Return the share of the camera's frames that were published."""
    return len(run.frames) / (len(run.stamps) + run.unheard)


def points_used(run: Run) -> str:
    """Return the operating points in the order of their use."""
    used: list[str] = []
    for _, _, point, _ in run.frames:
        if not used or used[-1] != point:
            used.append(point)
    return ', '.join(used)


def stage_line(run: Run) -> str:
    """Return the p95 of every stage in the loaded phase."""
    (begin, end), = steady(run, 1)
    spent: dict[str, list[float]] = {}
    for stamp, stages in run.stages:
        if begin <= stamp < end:
            for name, value in stages.items():
                spent.setdefault(name, []).append(value)
    return ', '.join(f'{name} {percentile(values, 0.95):.1f}' for name, values in spent.items())


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Play all runs; print the table; return the figures."""
    phases = (9.0, 10.0, 9.0) if args.quick else (25.0, 25.0, 25.0)
    print(machine())
    exact = play(args, 0.0, (), video_length(args.video))
    reference = [None] * exact.unheard + [exact.masks.get(stamp) for stamp in exact.stamps]
    plain = play(args, 0.0, phases)
    p50 = percentile(latencies(plain, 0), 0.5)
    figures: dict[str, float] = {
        'unbounded_p50_ms': p50, 'threads': args.threads, 'load': args.load,
        'quality_plain': quality(plain, reference)}
    # The same with the priority that a budget brings, but without a governor.
    priority = play(args, 0.0, phases, nice=args.nice or PRIORITY) if args.nice != 0 else None
    others = {'plain': ('without', plain)} \
        | ({} if priority is None else {'priority': ('priority only', priority)})
    print(f'unbounded p50 {p50:.1f} ms at {points_used(plain)}\n'
          f'{"":<18}{"p50 ms":>8}{"p95":>8}{"p99":>8}{"misses":>8}{"p95/bud":>9}{"loaded":>9}'
          f'{"recover":>9}{"changes":>9}{"quality":>9}{"published":>10}')
    for share in SHARES:
        budget, suffix = share * p50, f'_{share:g}x'
        run = play(args, budget, phases)
        figures |= figures_of(run, budget, suffix)
        figures |= {f'quality{suffix}': quality(run, reference), 'nice': run.nice,
                    f'published{suffix}': published(run), f'dropped_late{suffix}': run.late}
        print(row(f'{share:g}x = {budget:.0f} ms', figures, suffix, figures[f'quality{suffix}'],
                  published(run)))
        for key, (name, other) in others.items():
            without = figures_of(other, budget, suffix)
            for figure in ('p95_over_budget', 'loaded_p95_over_budget'):
                figures[f'{key}_{figure}{suffix}'] = without[f'{figure}{suffix}']
            print(row(f'  {name}', without, suffix, quality(other, reference), published(other)))
        print(f'  nice {run.nice}; {points_used(run)}\n'
              f'  p95 by stage under load, ms: {stage_line(run)}')
        for text in sorted(run.unmet)[:3]:
            print(f'  said: {text}')
        sys.stdout.flush()
    for key in ('recover_s', 'changes_per_10s'):
        figures[key] = max(figures[f'{key}_1x'], figures[f'{key}_0.7x'])
    return figures


def main() -> int:
    """Run the benchmark; return 0, or 1 with the reason when it cannot run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true',
                        help='print the figures as one JSON object, last line')
    parser.add_argument('--quick', action='store_true', help='phases of 9 instead of 25 s')
    parser.add_argument('--video', default='', help='video file; the sample video if not given')
    parser.add_argument('--node', choices=NODES, default='instances', help='which tracker')
    parser.add_argument('--model', default='', help="model package (default: the node's)")
    parser.add_argument('--threads', type=int, default=2, help='threads of the network')
    parser.add_argument('--calibration', default='', help='YAML of vos-ros calibrate')
    parser.add_argument('--nice', type=int, choices=range(-20, 1), metavar='-20..0',
                        help="budget_nice of the node (default: the node's)")
    parser.add_argument('--set', action='append', default=[], metavar='NAME=VALUE',
                        help='another parameter of the node (repeatable)')
    parser.add_argument('--load', type=int, default=os.cpu_count() or 1,
                        help='cores that the other process keeps busy')
    parser.add_argument('--domain', type=int, default=1 + os.getpid() % 90,
                        help='ROS domain of the nodes')
    args = parser.parse_args()
    os.environ.update(PROFILE_SETTINGS)
    if not args.video:
        sys.path.insert(0, str(ROOT / 'scripts'))
        from demo import SAMPLE_AT
        from demo import SAMPLE_BOX
        from demo import sample_video
        args.video, args.box, args.at = str(sample_video()), SAMPLE_BOX, SAMPLE_AT
    elif args.node == 'memory':
        parser.error('--node memory designates an object of the sample video')
    args.model = args.model or NODES[args.node][1]
    try:
        figures = measure(args)
    except (RuntimeError, ImportError, subprocess.SubprocessError) as error:
        print(f'budget: {error}', file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
