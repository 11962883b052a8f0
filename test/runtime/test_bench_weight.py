# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of footprint and floor run and give figures that can be true."""

import json
from pathlib import Path
import re
import subprocess
import sys

import pytest

BENCH = Path(__file__).resolve().parents[2] / 'bench'


def figures(program, *arguments):
    done = subprocess.run([sys.executable, str(BENCH / program), '--quick', '--json', *arguments],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_footprint(tiny_package):
    found = figures('footprint.py', '--no-nodes', '--rounds', '1', '--model', str(tiny_package))
    assert 0 < found['first_mask_cpu_s'] and found['first_mask_s'] <= found['start_s']
    assert found['install_mb'] > 50 and found['rss_mb'] > 20
    if 'install_torch_mb' in found:
        assert found['install_torch_mb'] > found['install_mb']
        assert found['rss_torch_mb'] > found['rss_mb']


def test_distributions_are_found_under_their_other_names():
    sys.path.insert(0, str(BENCH))
    try:
        from footprint import distributions
    finally:
        sys.path.remove(str(BENCH))
    assert distributions({'numpy': ('no-such-numpy', 'numpy')}) == ['numpy']
    with pytest.raises(LookupError, match='cv2 is of none of no-such-opencv'):
        distributions({'numpy': ('numpy',), 'cv2': ('no-such-opencv',)})


@pytest.mark.parametrize('command, message', [
    ('floor.py --quick --model mobileinst-lite0-int8', r'key\.onnx: has quantised operators'),
    ('xmem.py --soak --soak-frames 60', '--soak-frames is 60, must be at least 100'),
    ('ros_overhead.py --sizes vga,4k', "'4k' is none of vga, 720p, 1080p")])
def test_what_cannot_be_measured_is_refused_by_name(command, message):
    program, *arguments = command.split()
    done = subprocess.run([sys.executable, str(BENCH / program), *arguments],
                          capture_output=True, text=True)
    assert done.returncode and re.search(message, done.stderr)
    assert 'Traceback' not in done.stderr


def test_floor(tiny_package):
    found = figures('floor.py', '--model', str(tiny_package))
    assert found['gemm_gflops'] > 0 and found['copy_gb_s'] > 0
    assert found['reuse_cached_gmac'] < found['reuse_gmac'] < found['key_gmac']
    for graph in ('key', 'reuse_cached'):
        shares = [value for name, value in found.items() if name.startswith(f'{graph}_share_')]
        assert sum(shares) == pytest.approx(1, abs=0.01)
        assert found[f'{graph}_ms'] > 0
