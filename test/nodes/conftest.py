# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes of their own, and a probe that talks to them over real DDS."""

from collections import defaultdict
import contextlib
import fcntl
import os
from pathlib import Path
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from vos_ros.nodes.transport import profile_variable
from vos_ros.nodes.transport import PROFILE_VARIABLES

# Waits end as soon as what is awaited is there; on a busy machine that can take long.
PATIENCE = 4
PROFILE = Path(__file__).parents[2] / 'config' / 'fastdds.xml'
_DOMAIN = {'next': int(os.environ.get('ROS_DOMAIN_ID', '1'))}


def pytest_collection_modifyitems(items):
    """Mark what uses the ros fixture, so that it is skipped where ROS is absent."""
    for item in items:
        if 'ros' in getattr(item, 'fixturenames', ()):
            item.add_marker(pytest.mark.ros)


class NodeProcess:
    """One node in its own process, its output in a file."""

    def __init__(self, name, parameters, remaps, environment, log):
        arguments = ['--ros-args']
        for key, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            arguments += ['-p', f'{key}:={text}']
        for key, value in remaps.items():
            arguments += ['-r', f'{key}:={value}']
        self._log = log
        python = [sys.executable, '-u', '-X', 'faulthandler']
        self.process = subprocess.Popen(
            [*python, '-m', f'vos_ros.nodes.{name}', *arguments], env=environment,
            stdout=log.open('wb'), stderr=subprocess.STDOUT)

    def output(self):
        return self._log.read_text(errors='replace')

    def interrupt(self, timeout=15.0):
        """Send Ctrl-C and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.wait(timeout)

    def wait(self, timeout=15.0):
        try:
            return self.process.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            # faulthandler writes where every thread stands.
            self.process.send_signal(signal.SIGABRT)
            time.sleep(1)
            self.process.kill()
            self.process.wait()
            raise AssertionError(f'did not end:\n{self.output()}') from None


def free_domain():
    """Return a domain in which no other run of these tests is, and what holds it."""
    for _ in range(100):
        _DOMAIN['next'] = _DOMAIN['next'] % 100 + 1
        with contextlib.suppress(OSError):
            lock = Path(tempfile.gettempdir(), f'vos_ros_domain_{_DOMAIN["next"]}').open('w')
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            return _DOMAIN['next'], lock
    raise AssertionError('all domains are taken')


class Ros:
    """A domain of its own: starts nodes in it and takes part with a node of this process."""

    def __init__(self, folder):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        domain, self._lock = free_domain()
        self._folder = folder
        self._environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain)}
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node('probe', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.processes = []
        self.received = defaultdict(list)

    def start(self, module, /, remaps=None, environment=None, **parameters):
        process = NodeProcess(
            module, parameters, remaps or {}, {**self._environment, **(environment or {})},
            self._folder / f'{module}{len(self.processes)}.log')
        self.processes.append(process)
        return process

    def listen(self, kind, topic, depth=100, **policies):
        """Collect what is published on a topic in ``received[topic]``."""
        from rclpy.qos import QoSProfile
        return self.node.create_subscription(
            kind, topic, self.received[topic].append, QoSProfile(depth=depth, **policies))

    def publisher(self, kind, topic, depth=5, **policies):
        from rclpy.qos import QoSProfile
        return self.node.create_publisher(kind, topic, QoSProfile(depth=depth, **policies))

    def spin(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.02)

    def until(self, condition, timeout=20.0, what=''):
        """Spin until the condition holds; fail with the nodes' output when it does not."""
        end = time.monotonic() + timeout * PATIENCE
        while not condition():
            dead = [p for p in self.processes if p.process.poll() not in (None, 0)]
            if time.monotonic() > end or dead:
                output = '\n'.join(process.output() for process in self.processes)
                raise AssertionError(f'not reached: {what or condition}\n{output}')
            self._executor.spin_once(timeout_sec=0.02)

    def connected(self, publisher, *topics, timeout=20.0):
        """Wait until the publisher is heard and the topics are published."""
        self.until(lambda: publisher.get_subscription_count() > 0
                   and all(self.node.count_publishers(topic) for topic in topics),
                   timeout, f'{publisher.topic_name} heard, {topics} published')
        # The other side may still have to find this one, and would lose a best-effort image.
        self.spin(0.8)

    def call(self, kind, name, request, timeout=15.0):
        client = self.node.create_client(kind, name)
        self.until(client.service_is_ready, timeout, name)
        future = client.call_async(request)
        self.until(future.done, timeout, name)
        self.node.destroy_client(client)
        return future.result()

    def diagnostics(self, name, timeout=15.0, **values):
        """Wait for a status of /diagnostics whose name ends so and whose values are these."""
        from diagnostic_msgs.msg import DiagnosticArray
        topic = '/diagnostics'
        if topic not in self.received:
            self.listen(DiagnosticArray, topic)
        self.received[topic].clear()
        found = []

        def there():
            for message in self.received[topic]:
                for status in message.status:
                    has = {entry.key: entry.value for entry in status.values}
                    if status.name.endswith(name) and all(
                            has.get(key) == value for key, value in values.items()):
                        found.append((status, has))
            return bool(found)

        self.until(there, timeout, f'diagnostics {name} {values}')
        return found[-1]

    def close(self):
        # Asked to end first: what is killed leaves its shared memory, some 35 MB, behind.
        running = [entry.process for entry in self.processes if entry.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGINT)
        end = time.monotonic() + 5 * PATIENCE
        for process in running:
            try:
                process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()
        self._lock.close()


@pytest.fixture
def ros(request, tmp_path, monkeypatch):
    """Give a domain; indirect parametrisation takes the profile for images away."""
    pytest.importorskip('rclpy')
    # What the launch files set. Asked for by name, so that the tests mean the same everywhere.
    for name in ('FASTDDS_BUILTIN_TRANSPORTS', *PROFILE_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    if getattr(request, 'param', None) != 'default transport':
        monkeypatch.setenv(profile_variable(), str(PROFILE))
    network = Ros(tmp_path)
    yield network
    network.close()


# What lets a network with random weights give tracks: everything is accepted at once.
EAGER = {'birth_score': 0.0, 'keep_score': 0.0, 'confirm_keyframes': 1, 'min_area': 0.0,
         'mask_threshold': 0.05, 'duplicate_iou': 1.0, 'duplicate_cover': 1.0, 'threads': 1}


@pytest.fixture
def eager():
    return dict(EAGER)


@pytest.fixture
def scene():
    """Give the n-th picture of a moving disk, uint8 [H, W, 3] RGB."""
    import numpy as np

    def picture(index, height=120, width=160):
        rows, columns = np.mgrid[:height, :width]
        image = np.empty((height, width, 3), np.uint8)
        image[:] = (40, 90, 160)
        image[(rows - height // 2) ** 2 + (columns - 30 - 2 * index) ** 2 < 400] = (220, 60, 30)
        return image

    return picture


@pytest.fixture(scope='session')
def xmem_package(tmp_path_factory):
    """Export a small XMem-Lite with random weights: real graphs that run in milliseconds."""
    torch = pytest.importorskip('torch', reason='exporting a package needs torch')
    from vos_ros.models.xmem.config import XMemConfig
    from vos_ros.models.xmem.export import export_xmem
    from vos_ros.models.xmem.network import XMem
    torch.manual_seed(5)
    network = XMem(XMemConfig.lite(value_dim=16, hidden_dim=8)).eval()
    return export_xmem(
        network, tmp_path_factory.mktemp('packages') / 'xmem-tiny', (128, 160), 'xmem-tiny',
        'Apache-2.0', 'none: random weights for tests', keep_weights=False)
