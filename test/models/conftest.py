# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The tests of this folder need torch, which the run-time environment does not have."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec('torch') else ['test_*.py']


def pytest_report_header():
    return [] if find_spec('torch') else 'test/models is left out: torch is not installed'
