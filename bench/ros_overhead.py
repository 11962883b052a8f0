#!/usr/bin/env python3
# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Frames lost on the way to a node, and what the node costs beside its network.

Three processes over real DDS, as a user has them: the video source (synthetic pattern, bgr8), the
instance tracker, and this program, which subscribes labels, tracks and latency, so that the
tracker really builds and publishes them.  The tracker accepts instances of any score, but eight
at most, so that there are tracks to paint, about as many with any weights: tracks_<size> says how
many a frame had in the median.

lost_<size>: images of the 30 Hz run that the source published and the tracker's callback never
    got, with config/fastdds.xml, which the launch files set.  lost_<size>_default is the same with
    Fast DDS's defaults, the baseline, and lost_<size>_large_data with
    FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA.  Images that the tracker had but replaced by a newer one
    while computing are another thing and are given as busy_<size>.
overhead_ms_<size>: median over the images of a run at 10 Hz (--pace), or slower where the tracker
    would not be idle when an image comes (pace_<size> says at how many a second), of everything
    in the tracker's process that is not its network:
        receive   from the middleware having the image (its reception timestamp) until Python has
                  it as a message: executor wake-up, take, conversion
      + wait      hand-over to the worker's thread
      + step      decode, resize, association, label map, building and publishing of labels and
                  tracks
      - network   the onnxruntime call
    node_ms_<size> is the part of it that is not the tracker's own (resize, association, label map;
    bench/instances.py measures those): the price of ROS around the library.
    overhead_p95_ms_<size> is its 95th percentile, transport_ms_<size> the median from the stamp
    until the middleware has the image, network_ms_<size> the network's median.
bare_ms_<size>: the same of bench/bare_node.py, a Python node that takes the same images and
    answers each with a label map made beforehand: what is left when a node does nothing.
    overhead_to_bare_<size> is the ratio of the two, overhead_to_step_<size> that of the overhead
    to all of the node's time, network included.

The bounds: lost_* 0; overhead 2 ms at VGA and 8 ms at 1080p on a quiet two-core machine.
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from dataclasses import field
import json
import math
import multiprocessing
import os
import subprocess
import sys
import time
from typing import Any

from nodes import node
from nodes import PROFILE

from vos_ros.budget.clock import percentile
from vos_ros.nodes.transport import profile_variable
from vos_ros.nodes.transport import PROFILE_VARIABLES

SIZES = {'vga': (640, 480), '720p': (1280, 720), '1080p': (1920, 1080)}
# suffix of the figure → what is set in the environment of every process; nothing else is.
TRANSPORTS: dict[str, dict[str, str]] = {
    '': {profile_variable(): PROFILE},
    '_default': {},
    '_large_data': {'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'},
}
TRACKER = '/instance_tracker'
TRACKER_STAGES = ('resize', 'network', 'associate', 'labels')
START_SECONDS = 60
# Slower, the processor sleeps and its caches are another's: at 4 Hz a node that does nothing takes
# half as long again.
PACE = 10.0
IDLE = 0.8          # of the time between two images, what a step may take
# Whatever the weights find in the pattern: up to eight tracks.
EAGER = {'birth_score': 0.02, 'keep_score': 0.01, 'confirm_keyframes': 1, 'min_area': 0.0005,
         'lost_keyframes': 1, 'max_tracks': 8}


@dataclass
class Seen:
    """What one run showed.

    frames_in: images that the tracker's callback got, None before it said.  images: for each
    computed image its milliseconds by stage, with 'step' and 'pipeline' beside them.  busy:
    images replaced by a newer one.  visible: tracks in each image.
    """

    frames_in: int | None = None
    images: list[dict[str, float]] = field(default_factory=list)
    busy: int = 0
    visible: list[int] = field(default_factory=list)


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
        self.seen = Seen()
        profile = QoSProfile(depth=10)
        listen = self._node.create_subscription
        listen(Latency, f'{TRACKER}/latency', self._on_latency, profile)
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

    def _on_latency(self, message: Any) -> None:
        self.seen.busy = message.dropped_busy
        self.seen.images.append({
            **dict(zip(message.stages, message.stage_ms, strict=True)),
            'step': message.step_ms, 'pipeline': message.pipeline_ms})

    def _on_tracks(self, message: Any) -> None:
        self.seen.visible.append(sum(track.area > 0 for track in message.tracks))

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            for entry in status.values:
                if entry.key == 'frames_in':
                    self.seen.frames_in = int(entry.value)


def measure(size: tuple[int, int], rate: float, frames: int, model: str, threads: int,
            domain: int, tracker: str = 'instance_tracker') -> Seen:
    """Return what one run showed; raise RuntimeError if a node ends or hangs."""
    observer = Observer(domain)
    settings = {'model_path': model, 'threads': threads, **EAGER}
    source = {'source': 'pattern', 'width': size[0], 'height': size[1], 'rate': float(rate),
              'max_frames': frames, 'loop': 'true'}
    try:
        with node(tracker, settings, domain) as tracking:
            # Loading the model must not compete with the first images.
            ready = time.monotonic() + START_SECONDS
            while observer.seen.frames_in is None and tracking.poll() is None:
                observer.spin(0.2)
                if time.monotonic() > ready:
                    raise RuntimeError('the tracker sends no diagnostics')
            with node('video_source', source, domain) as playing:
                _play(observer, tracking, playing, 15 + 2 * frames / rate)
        return observer.seen
    finally:
        observer.close()


def _play(observer: Observer, tracking: subprocess.Popen, playing: subprocess.Popen,
          seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while playing.poll() is None:
        observer.spin(0.2)
        if tracking.poll() is not None:
            raise RuntimeError(f'instance_tracker ended with {tracking.poll()}')
        if time.monotonic() > deadline:
            raise RuntimeError('the video source does not come to its end')
    if playing.returncode:
        raise RuntimeError(f'video_source ended with {playing.returncode}')
    # The last count comes with a status, once a second.
    observer.spin(2.2)


def in_own_process(settings: dict[str, str], *run: Any) -> Seen:
    """Measure with an environment: Fast DDS reads its profile once in the life of a process."""
    choose(settings)
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, *run).result()


def overheads(images: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return milliseconds by name, one value an image; the first few images warm things up."""
    result: dict[str, list[float]] = {'overhead': [], 'node': [], 'network': [], 'transport': []}
    for spent in images[5:]:
        around = spent['receive'] + spent['wait'] + spent['step']
        if math.isnan(around):
            raise RuntimeError('this middleware gives no reception timestamps')
        result['overhead'].append(around - spent['network'])
        tracker = sum(spent.get(name, 0.0) for name in TRACKER_STAGES)
        result['node'].append(around - tracker)
        result['network'].append(spent['network'])
        result['transport'].append(spent['pipeline'] - around)
        for name, value in spent.items():
            result.setdefault(f'stage {name}', []).append(value)
    if not result['overhead']:
        raise RuntimeError(f'only {len(images)} images were computed')
    return result


def at_a_pace(pace: float, *run: Any) -> tuple[Seen, float]:
    """Measure so slowly that no image waits for the one before; return the run and its pace."""
    for last in (False, False, True):
        seen = in_own_process(TRANSPORTS[''], run[0], pace, *run[1:])
        busy = percentile(overheads(seen.images)['stage step'], 0.95)
        if last or busy * pace < IDLE * 1000:
            break
        pace = round(0.75 * IDLE * 1000 / busy, 2)
    return seen, pace


def choose(settings: dict[str, str]) -> None:
    """Set the transport for this process and those it starts."""
    for name in ('FASTDDS_BUILTIN_TRANSPORTS', *PROFILE_VARIABLES):
        os.environ.pop(name, None)
    os.environ.update(settings)


def run(args: argparse.Namespace) -> dict[str, float]:
    """Measure every size with and without the transport; return the figures."""
    lost_frames, paced_frames = (60, 45) if args.quick else (300, 150)
    figures: dict[str, float] = {'frames': lost_frames, 'threads': args.threads}
    domain = 1 + os.getpid() % 90
    for name in args.sizes:
        size = SIZES[name]
        for suffix, settings in TRANSPORTS.items():
            try:
                seen = in_own_process(
                    settings, size, 30, lost_frames, args.model, args.threads, domain)
            except RuntimeError as error:
                # A baseline that hangs is a result too; our own setting must not.
                if not suffix:
                    raise
                print(f'{name:>6} {suffix[1:]:>10}: {error}', flush=True)
                figures[f'lost_{name}{suffix}'] = lost_frames
                continue
            lost = lost_frames - (seen.frames_in or 0)
            figures[f'lost_{name}{suffix}'] = lost
            if not suffix:
                figures[f'busy_{name}'] = seen.busy
            print(f'{name:>6} {suffix[1:] or "profile":>10}: {lost:4d} of {lost_frames} lost',
                  flush=True)
        settled = size, paced_frames, args.model, args.threads, domain
        seen, pace = at_a_pace(args.pace, *settled)
        spent = overheads(seen.images)
        least = overheads(in_own_process(
            TRANSPORTS[''], size, pace, *settled[1:], 'bare_node.py').images)['overhead']
        figures[f'pace_{name}'] = pace
        figures[f'tracks_{name}'] = percentile(seen.visible, 0.5)
        for kind in ('overhead', 'node', 'network', 'transport'):
            figures[f'{kind}_ms_{name}'] = round(percentile(spent[kind], 0.5), 3)
        figures[f'overhead_p95_ms_{name}'] = round(percentile(spent['overhead'], 0.95), 3)
        overhead, network = figures[f'overhead_ms_{name}'], figures[f'network_ms_{name}']
        figures[f'overhead_to_network_{name}'] = round(overhead / network, 3)
        figures[f'overhead_to_step_{name}'] = round(overhead / (overhead + network), 3)
        figures[f'bare_ms_{name}'] = round(percentile(least, 0.5), 3)
        figures[f'overhead_to_bare_{name}'] = round(overhead / figures[f'bare_ms_{name}'], 2)
        stages = ', '.join(f'{stage[6:]} {percentile(values, 0.5):.2f}'
                           for stage, values in spent.items() if stage.startswith('stage '))
        print(f'{name:>6} overhead {overhead:.2f} ms (p95 '
              f'{figures[f"overhead_p95_ms_{name}"]:.2f}), node '
              f'{figures[f"node_ms_{name}"]:.2f}, network {network:.2f} ms, '
              f'{figures[f"tracks_{name}"]} tracks; {stages}',
              flush=True)
        print(f'{name:>6} a node that does nothing {figures[f"bare_ms_{name}"]:.2f} ms: overhead '
              f'/ that {figures[f"overhead_to_bare_{name}"]:.2f}, overhead / whole step '
              f'{figures[f"overhead_to_step_{name}"]:.3f}', flush=True)
    return figures


def _sizes(text: str) -> list[str]:
    names = text.split(',')
    for name in names:
        if name not in SIZES:
            raise argparse.ArgumentTypeError(f'{name!r} is none of {", ".join(SIZES)}')
    return names


def main() -> int:
    """Run the benchmark; return 0, or 1 with the reason when it cannot run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--json', action='store_true',
                        help='print the figures as one JSON object, last line')
    parser.add_argument('--quick', action='store_true', help='fewer images')
    parser.add_argument('--model', default='mobileinst-lite0', help='model package')
    parser.add_argument('--threads', type=int, default=1, help='threads of the network')
    parser.add_argument('--pace', type=float, default=PACE,
                        help='images a second while overheads are measured, at most')
    parser.add_argument('--sizes', type=_sizes, default=','.join(SIZES),
                        help=f'some of {",".join(SIZES)}, with commas')
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
