# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmark program on a small package: that it runs, and that its ratios are of its times."""

import json
from pathlib import Path
import re
import subprocess
import sys

import pytest

BENCH = Path(__file__).resolve().parents[2] / 'bench' / 'instances.py'


def bench(*arguments):
    return subprocess.run([sys.executable, str(BENCH), *arguments], capture_output=True,
                          text=True, timeout=240)


def test_quick_json(tiny_package):
    done = bench('--quick', '--json', '--model', str(tiny_package), '--peer',
                 str(tiny_package / 'key.onnx'), '--peer-size', '128', '192')
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    for threads in ('1t', '2t'):
        key, reuse = figures[f'key_{threads}_ms'], figures[f'reuse_{threads}_ms']
        assert 0 < key < 5000 and key <= figures[f'key_{threads}_p95_ms']
        mean = (key + 2 * reuse) / 3
        assert figures[f'mean_{threads}_ms'] == pytest.approx(mean, rel=1e-3)
        assert figures[f'mean_over_peer_{threads}'] == pytest.approx(
            mean / figures[f'peer_{threads}_ms'], rel=1e-3)
    assert 0 < figures['outside_network_share'] < 1
    assert all(isinstance(value, (int, float)) for value in figures.values())


def test_the_size_asked_for_is_the_one_of_every_table(tiny_package):
    done = bench('--quick', '--rounds', '1', '--size', '96', '160', '--model', str(tiny_package))
    assert done.returncode == 0, done.stderr
    assert len(re.findall(', input 96 x 160,', done.stdout)) == 3


def test_a_peer_with_two_inputs_is_refused(tiny_package):
    done = bench('--quick', '--model', str(tiny_package), '--peer',
                 str(tiny_package / 'reuse.onnx'))
    assert done.returncode == 1 and 'has 2 inputs, a peer must have one' in done.stderr
