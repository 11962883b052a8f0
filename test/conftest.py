# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""What every test shares: which ones can run here, and a ROS 2 network of their own."""

import atexit
import importlib.util
import os
from pathlib import Path
import shutil
import sys
import tempfile

import pytest
from tiny_model import export_tiny

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # `pytest` alone does not put the checkout on the path

# Nodes of these tests and nodes elsewhere on this machine or network must not see each other.
os.environ.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
if os.environ.get('ROS_DISTRO') == 'humble':        # which does not know the one above
    os.environ.setdefault('ROS_LOCALHOST_ONLY', '1')
if 'PYTEST_XDIST_WORKER' in os.environ:     # beside another one, so torch has one core
    os.environ.setdefault('OMP_NUM_THREADS', '1')
if 'ROS_LOG_DIR' not in os.environ:
    os.environ['ROS_LOG_DIR'] = tempfile.mkdtemp(prefix='vos_ros_log_')
    atexit.register(shutil.rmtree, os.environ['ROS_LOG_DIR'], True)


def _available(*modules):
    try:
        return all(importlib.util.find_spec(m) is not None for m in modules)
    except ModuleNotFoundError:  # a parent package is missing
        return False


# What all of these import, and the run-time environment does not have.
collect_ignore = [] if _available('torch') else ['train', 'xmem']

HAVE_ROS = _available('rclpy', 'vos_ros.msg')
HAVE_LAUNCH = HAVE_ROS and _available('launch', 'launch_ros', 'launch_testing')


def pytest_configure(config):
    """Fail instead of skipping where the environment is meant to be whole (make test)."""
    if os.environ.get('VOS_ROS_REQUIRE_ROS') and not HAVE_ROS:
        raise pytest.UsageError(
            'rclpy or the built vos_ros messages cannot be imported: run the tests with make test')
    if os.environ.get('VOS_ROS_REQUIRE_ROS'):
        from vos_ros.runtime.native import compiled
        if compiled() is None:
            raise pytest.UsageError('the compiled loops (libvos_ros_native.so) are not there or '
                                    'lack a function, so their tests would be skipped')


def pytest_report_header(config):
    """Say in which ROS the tests run."""
    ros = os.environ.get('ROS_DISTRO', 'unknown distribution') if HAVE_ROS else 'absent'
    torch = 'present' if _available('torch') else 'absent: test/train and test/xmem are left out'
    return (f'ROS 2: {ros}, domain {os.environ["ROS_DOMAIN_ID"]}; '
            f'launch: {"present" if HAVE_LAUNCH else "absent"}; torch: {torch}')


def pytest_itemcollected(item):
    """Say which tests one process runs: a file's, which share what they make, and all of nodes."""
    if item.config.pluginmanager.hasplugin('xdist'):
        # Nodes wait for each other most of the time, so one process can test them, one after the
        # other, while the other computes.
        folder = item.path.parent.name
        group = 'ros' if folder in ('nodes', 'launch') else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_modifyitems(items):
    """Skip what needs ROS or launch where they are absent, and say so."""
    for item in items:
        if item.get_closest_marker('ros') and not HAVE_ROS:
            item.add_marker(pytest.mark.skip(
                reason='needs rclpy and the built vos_ros messages (make test)'))
        if item.get_closest_marker('launch') and not HAVE_LAUNCH:
            item.add_marker(pytest.mark.skip(
                reason='needs launch, launch_ros and launch_testing (a ROS 2 installation)'))


@pytest.fixture(scope='session')
def tiny_package(tmp_path_factory):
    """Export a small MobileInst with random weights: real graphs that run in milliseconds.

    VOS_ROS_TINY_PACKAGE names one that was exported elsewhere, for machines without torch.
    """
    if os.environ.get('VOS_ROS_TINY_PACKAGE'):
        return Path(os.environ['VOS_ROS_TINY_PACKAGE'])
    return export_tiny(tmp_path_factory.mktemp('packages') / 'tiny')
