#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Frames lost on the way to a node, and what the node costs beside its network.

Three processes over real DDS, as a user has them: the video source (synthetic pattern, bgr8), the
instance tracker, and this program, which subscribes labels, tracks and latency, so that the
tracker really builds and publishes them.  The tracker accepts instances of any score, so that
there are tracks to paint: tracks_<size> says how many a frame had in the median.

lost_<size>: images of the 30 Hz run that the source published and the tracker's callback never
    got, with config/fastdds.xml, which the launch files set.  lost_<size>_default is the same with
    Fast DDS's defaults, the baseline, and lost_<size>_large_data with
    FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA.  Images that the tracker had but replaced by a newer one
    while computing are another thing and are given as busy_<size>.
overhead_ms_<size>: median over the images of a 10 Hz run, at which the tracker is idle when an
    image comes, of everything in the tracker's process that is not its network:
        receive   from the middleware having the image (its reception timestamp) until Python has
                  it as a message: executor wake-up, take, conversion
      + wait      hand-over to the worker's thread
      + step      decode, resize, association, label map, building and publishing of labels and
                  tracks
      - network   the onnxruntime call
    overhead_p95_ms_<size> is its 95th percentile, transport_ms_<size> the median from the stamp
    until the middleware has the image, network_ms_<size> the network's median.

The bounds: lost_* 0; overhead 2 ms at VGA and 8 ms at 1080p on a quiet two-core machine.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
import json
import math
import os
from pathlib import Path
import signal
import subprocess
import sys
import time
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vos_ros.budget.clock import percentile

SIZES = {'vga': (640, 480), '720p': (1280, 720), '1080p': (1920, 1080)}
PROFILE = str(Path(__file__).resolve().parent.parent / 'config' / 'fastdds.xml')
# suffix of the figure → what is set in the environment of every process; nothing else is.
TRANSPORTS: dict[str, dict[str, str]] = {
    '': {'FASTDDS_DEFAULT_PROFILES_FILE': PROFILE, 'FASTRTPS_DEFAULT_PROFILES_FILE': PROFILE},
    '_default': {},
    '_large_data': {'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'},
}
TRACKER = '/instance_tracker'
EAGER = {'birth_score': 0.02, 'keep_score': 0.01, 'confirm_keyframes': 1, 'min_area': 0.0005}


class Observer:
    """Takes part in a domain and keeps what the tracker says."""

    def __init__(self, domain: int) -> None:
        """Subscribe."""
        from diagnostic_msgs.msg import DiagnosticArray
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import Image
        from vos_ros.msg import Latency
        from vos_ros.msg import TrackArray
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = rclpy.create_node('bench', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.latencies: list[Any] = []
        self.frames_in: int | None = None
        self.visible: list[int] = []
        profile = QoSProfile(depth=10)
        listen = self._node.create_subscription
        listen(Latency, f'{TRACKER}/latency', self.latencies.append, profile)
        listen(TrackArray, f'{TRACKER}/tracks', self._on_tracks, profile)
        # Serialised is enough: the tracker has built and sent it, this process need not unpack it.
        listen(Image, f'{TRACKER}/labels', lambda message: None, profile, raw=True)
        listen(DiagnosticArray, '/diagnostics', self._on_diagnostics, profile)

    def spin(self, seconds: float) -> None:
        """Listen for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _on_tracks(self, message: Any) -> None:
        self.visible.append(sum(track.area > 0 for track in message.tracks))

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            for entry in status.values:
                if entry.key == 'frames_in':
                    self.frames_in = int(entry.value)


@contextmanager
def node(name: str, parameters: dict[str, Any], domain: int) -> Iterator[subprocess.Popen]:
    """Run a node as a process; interrupt it at the end when it still runs."""
    arguments = [part for key, value in parameters.items() for part in ('-p', f'{key}:={value}')]
    process = subprocess.Popen(
        [sys.executable, '-m', f'vos_ros.nodes.{name}', '--ros-args', '--log-level', 'warn',
         *arguments], env={**os.environ, 'ROS_DOMAIN_ID': str(domain)})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            print(f'{name} did not end by itself', file=sys.stderr)


def measure(size: tuple[int, int], rate: float, frames: int, model: str, threads: int,
            domain: int) -> tuple[int, Observer]:
    """Return (frames lost, what was observed) of one run; raise RuntimeError if a node ends."""
    observer = Observer(domain)
    tracker = {'model_path': model, 'threads': threads, **EAGER}
    source = {'source': 'pattern', 'width': size[0], 'height': size[1], 'rate': float(rate),
              'max_frames': frames, 'loop': 'true'}
    try:
        with node('instance_tracker', tracker, domain) as tracking, \
                node('video_source', source, domain) as playing:
            deadline = time.monotonic() + 15 + 2 * frames / rate
            while playing.poll() is None:
                observer.spin(0.2)
                if tracking.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f'instance_tracker ended with {tracking.poll()}'
                                       if tracking.poll() is not None else 'timed out')
            if playing.returncode:
                raise RuntimeError(f'video_source ended with {playing.returncode}')
            # The last count comes with a status, once a second.
            observer.spin(2.2)
        if observer.frames_in is None:
            raise RuntimeError('the tracker sent no diagnostics')
        return frames - observer.frames_in, observer
    finally:
        observer.close()


def overheads(latencies: list[Any]) -> dict[str, list[float]]:
    """Return milliseconds by name, one value an image; the first few images warm things up."""
    result: dict[str, list[float]] = {'overhead': [], 'network': [], 'transport': []}
    for message in latencies[5:]:
        stages = dict(zip(message.stages, message.stage_ms, strict=True))
        around = stages['receive'] + stages['wait'] + message.step_ms
        if math.isnan(around):
            raise RuntimeError('this middleware gives no reception timestamps')
        result['overhead'].append(around - stages['network'])
        result['network'].append(stages['network'])
        result['transport'].append(message.pipeline_ms - around)
        for name, spent in stages.items():
            result.setdefault(f'stage {name}', []).append(spent)
    return result


def choose(settings: dict[str, str]) -> None:
    """Set the transport for this process and those it starts."""
    for names in TRANSPORTS.values():
        for name in names:
            os.environ.pop(name, None)
    os.environ.update(settings)


def run(args: argparse.Namespace) -> dict[str, float]:
    """Measure every size with and without the transport; return the figures."""
    lost_frames, paced_frames = (60, 40) if args.quick else (300, 150)
    figures: dict[str, float] = {'frames': lost_frames, 'threads': args.threads}
    domain = 1 + os.getpid() % 90
    for name, size in SIZES.items():
        for suffix, settings in TRANSPORTS.items():
            choose(settings)
            lost, seen = measure(size, 30, lost_frames, args.model, args.threads, domain)
            figures[f'lost_{name}{suffix}'] = lost
            if not suffix:
                figures[f'busy_{name}'] = \
                    seen.latencies[-1].dropped_busy if seen.latencies else 0
            print(f'{name:>6} {suffix[1:] or "profile":>10}: {lost:4d} of {lost_frames} lost',
                  flush=True)
        choose(TRANSPORTS[''])
        _, seen = measure(size, 10, paced_frames, args.model, args.threads, domain)
        spent = overheads(seen.latencies)
        figures[f'tracks_{name}'] = percentile(seen.visible, 0.5)
        for kind in ('overhead', 'network', 'transport'):
            figures[f'{kind}_ms_{name}'] = round(percentile(spent[kind], 0.5), 3)
        figures[f'overhead_p95_ms_{name}'] = round(percentile(spent['overhead'], 0.95), 3)
        figures[f'overhead_to_network_{name}'] = round(
            figures[f'overhead_ms_{name}'] / figures[f'network_ms_{name}'], 3)
        stages = ', '.join(f'{stage[6:]} {percentile(values, 0.5):.2f}'
                           for stage, values in spent.items() if stage.startswith('stage '))
        print(f'{name:>6} overhead {figures[f"overhead_ms_{name}"]:.2f} ms (p95 '
              f'{figures[f"overhead_p95_ms_{name}"]:.2f}), network '
              f'{figures[f"network_ms_{name}"]:.2f} ms, '
              f'{figures[f"tracks_{name}"]} tracks; {stages}',
              flush=True)
    return figures


def main() -> int:
    """Run the benchmark; return 0, or 1 with the reason when it cannot run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true',
                        help='print the figures as one JSON object, last line')
    parser.add_argument('--quick', action='store_true', help='fewer images')
    parser.add_argument('--model', default='mobileinst-lite0', help='model package')
    parser.add_argument('--threads', type=int, default=1, help='threads of the network')
    args = parser.parse_args()
    try:
        figures = run(args)
    except (RuntimeError, ImportError) as error:
        print(f'ros_overhead: {error}', file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(figures))
    return 0


if __name__ == '__main__':
    sys.exit(main())
