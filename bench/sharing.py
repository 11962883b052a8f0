#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Both trackers on one board: which numbers of threads let them share the cores.

The instance tracker and the memory tracker run as two processes on the same real video; the
sample's cyclist is designated.  Every pair of --threads, `instances+memory`, is played in each of
--rounds rounds, so that what else the machine does meets all pairs.

step_<node>_<pair>: median milliseconds from taking an image until its results are published.
p95_<node>_<pair>: p95 of pipeline latency, image stamp to published.  rate_<node>_<pair>: results
in a second.  Node is i or m.  The two seconds after the designation are left out.
"""

import argparse
from contextlib import ExitStack
import os
import sys
import time

from budget_run import Recorder
from budget_run import video_rate
from common import finish
from common import machine
from nodes import node
from nodes import PROFILE_SETTINGS
from nodes import ROOT

from vos_ros.budget.clock import percentile

NAMES = {'i': 'instance_tracker', 'm': 'memory_tracker'}
SETTLE = 2.0


def play(args: argparse.Namespace, pair: str) -> dict[str, list[tuple[float, float]]]:
    """Return (step ms, pipeline ms) of every result, by node; RuntimeError when one ended."""
    sys.path.insert(0, str(ROOT / 'scripts'))
    from demo import SAMPLE_AT
    from demo import SAMPLE_BOX
    from demo import sample_video
    video = str(sample_video())
    threads = dict(zip(NAMES, map(int, pair.split('+')), strict=True))
    recorders = {key: Recorder(args.domain, name) for key, name in NAMES.items()}
    try:
        with ExitStack() as stack:
            running = [stack.enter_context(node(name, {
                'threads': threads[key], 'image_timeout': 60.0}, args.domain))
                for key, name in NAMES.items()]
            limit = time.monotonic() + 60
            while recorders['i'].listeners() < len(NAMES):
                recorders['i'].spin(0.2)
                if time.monotonic() > limit:
                    raise RuntimeError('the trackers do not start')
            stack.enter_context(node('video_source', {
                'source': video, 'loop': 'true', 'rate': args.rate}, args.domain))
            recorders['m'].designate(NAMES['m'], SAMPLE_BOX, round(SAMPLE_AT * video_rate(video)))
            begin = time.monotonic()
            while time.monotonic() < begin + args.seconds + SETTLE:
                for recorder in recorders.values():
                    recorder.spin(0.02)
                if any(process.poll() is not None for process in running):
                    raise RuntimeError('a tracker ended')
    finally:
        for recorder in recorders.values():
            recorder.close()
    found = {}
    for key, recorder in recorders.items():
        run = recorder.run
        first = run.stages[-1][0] - args.seconds if run.stages else 0.0
        found[key] = [(spent['step'], latency) for (stamp, spent), (_, latency, *_)
                      in zip(run.stages, run.frames, strict=True) if stamp >= first]
        if not found[key]:
            raise RuntimeError(f'{NAMES[key]} published nothing')
    return found


def main() -> int:
    """Run the benchmark; return 0, or 1 with the reason when it cannot run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--threads', nargs='+', default=['1+1', '2+1', '1+2', '2+2'],
                        metavar='I+M', help='threads of the instance and the memory tracker')
    parser.add_argument('--rate', type=float, default=10.0, help='images in a second')
    parser.add_argument('--seconds', type=float, default=12.0, help='measured, each time')
    parser.add_argument('--rounds', type=int, default=2, help='times that every pair is played')
    parser.add_argument('--quick', action='store_true', help='one round of 6 s')
    parser.add_argument('--json', action='store_true',
                        help='print the figures as one JSON object, last line')
    parser.add_argument('--domain', type=int, default=1 + os.getpid() % 90,
                        help='ROS domain of the nodes')
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 6.0
    os.environ.update(PROFILE_SETTINGS)
    print(machine())
    seen: dict[tuple[str, str], list[tuple[float, float]]] = {}
    try:
        for _ in range(args.rounds):
            for pair in args.threads:
                for key, values in play(args, pair).items():
                    seen.setdefault((key, pair), []).extend(values)
    except (RuntimeError, ImportError, ValueError) as error:
        print(f'sharing: {error}', file=sys.stderr)
        return 1
    figures = {}
    print(f'{"threads":<10}' + ''.join(f'{name:<18}{"step ms":>8}{"p95":>8}{"a second":>10}  '
                                       for name in NAMES.values()))
    for pair in args.threads:
        line = f'{pair:<10}'
        for key in NAMES:
            values = seen[key, pair]
            step = percentile([one[0] for one in values], 0.5)
            p95 = percentile([one[1] for one in values], 0.95)
            rate = len(values) / (args.seconds * args.rounds)
            figures |= {f'step_{key}_{pair}': step, f'p95_{key}_{pair}': p95,
                        f'rate_{key}_{pair}': rate}
            line += f'{"":<18}{step:>8.1f}{p95:>8.1f}{rate:>10.1f}  '
        print(line)
    finish(figures, args)
    return 0


if __name__ == '__main__':
    sys.exit(main())
