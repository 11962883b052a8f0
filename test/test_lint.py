# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The house style, held by ruff and mypy where they are installed (the test extras)."""

import importlib.util
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize('command', (('ruff', 'check', '.'), ('mypy', 'vos_ros')),
                         ids=lambda command: command[0])
def test_style(command):
    if importlib.util.find_spec(command[0]) is None:
        pytest.skip(f'{command[0]} is not installed (requirements/test.txt)')
    done = subprocess.run([sys.executable, '-m', *command], cwd=ROOT, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr
