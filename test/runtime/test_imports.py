# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What running on a board must not drag in."""

from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ('torch', 'scipy', 'pandas', 'matplotlib', 'rclpy', 'onnx')


@pytest.mark.parametrize('module', [
    'vos_ros.tracking.instances', 'vos_ros.tracking.command', 'vos_ros.runtime.mobileinst',
    'vos_ros.budget.clock', 'vos_ros.cli'])
def test_run_time_modules_import_nothing_heavy(module):
    code = (f'import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}; '
            f'print([name for name in {HEAVY!r} if name in sys.modules])')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.strip() == '[]', done.stdout + done.stderr


def test_blas_pools_are_limited_before_numpy_and_users_values_stay(monkeypatch):
    code = (f'import sys; sys.path.insert(0, {str(ROOT)!r}); '
            'from vos_ros.budget.threads import one_blas_thread; one_blas_thread(); '
            'assert "numpy" not in sys.modules; import os; '
            'print(os.environ["OPENBLAS_NUM_THREADS"], os.environ["MKL_NUM_THREADS"])')
    monkeypatch.delenv('OPENBLAS_NUM_THREADS', raising=False)
    monkeypatch.setenv('MKL_NUM_THREADS', '3')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.split() == ['1', '3'], done.stderr
