# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""One run of the budget benchmark: a tracker on real video, recorded, while the cores get busy."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
import math
import os
import subprocess
import sys
import time
from typing import Any

import cv2
from nodes import node
import numpy as np
from numpy.typing import NDArray

# The node, its model, and seconds until it has what to follow: the sample video's cyclist is
# designated then, by a box.
NODES = {'instances': ('instance_tracker', 'mobileinst-lite0', 0.0),
         'memory': ('memory_tracker', 'xmem-lite', 4.0)}
# Only every so manyth pixel of a label map is kept: enough for an IoU.
STEP = 4


@dataclass
class Run:
    """What one run showed; times are seconds since its first image.

    frames: (stamp, latency ms, operating point, changes so far).  stages: (stamp, ms by stage).
    masks: foreground by stamp.
    stamps: of every image that was announced, in order; unheard: of the first images, how many
    were not.  nice: of the tracker's process at the end.
    lead: before anything counts.  steps: when the load began and ended.
    """

    frames: list[tuple[float, float, str, int]] = field(default_factory=list)
    stages: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    masks: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    stamps: list[int] = field(default_factory=list)
    unheard: int = 0
    nice: int = 0
    steps: tuple[float, ...] = ()
    lead: float = 0.0
    seconds: float = 0.0
    unmet: set[str] = field(default_factory=set)
    late: int = 0
    busy: int = 0


def nanoseconds(header: Any) -> int:
    """Return a header's stamp."""
    return header.stamp.sec * 10 ** 9 + header.stamp.nanosec


class Recorder:
    """Keeps what the tracker publishes."""

    def __init__(self, domain: int, name: str) -> None:
        """Subscribe to a tracker's topics."""
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import CameraInfo
        from sensor_msgs.msg import Image
        from vos_ros.msg import Latency
        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self._node = rclpy.create_node(f'bench_{name}', context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self.run = Run()
        profile = QoSProfile(depth=50)
        for kind, topic, call in (
                (Latency, f'/{name}/latency', self._on_latency),
                (Image, f'/{name}/labels', self._on_labels),
                (CameraInfo, '/camera_info', self._on_info)):
            self._node.create_subscription(kind, topic, call, profile)

    def ready(self) -> bool:
        """Return whether the tracker is there."""
        return bool(self.listeners())

    def listeners(self) -> int:
        """Return how many nodes wait for images."""
        return self._node.count_subscribers('/image')

    def spin(self, seconds: float) -> None:
        """Listen for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.05)

    def designate(self, name: str, box: str, at: int) -> None:
        """Wait for an image and have the object in a box of it followed; RuntimeError if not."""
        from builtin_interfaces.msg import Time
        from vos_ros.msg import ObjectPrompt
        from vos_ros.srv import AddObjects
        client = self._node.create_client(AddObjects, f'/{name}/add_objects')
        limit = time.monotonic() + 60
        while len(self.run.stamps) <= at and time.monotonic() < limit:
            self.spin(0.02)
        stamp = self.run.stamps[at]
        future = client.call_async(AddObjects.Request(
            stamp=Time(sec=stamp // 10 ** 9, nanosec=stamp % 10 ** 9),
            objects=[ObjectPrompt(box=[float(side) for side in box.split(',')])]))
        while not future.done() and time.monotonic() < limit:
            self.spin(0.02)
        if not future.done() or not future.result().success:
            raise RuntimeError('the object could not be designated')

    def close(self) -> None:
        """Leave the domain."""
        self._executor.shutdown()
        self._node.destroy_node()
        self._context.try_shutdown()

    def _on_latency(self, message: Any) -> None:
        self.run.frames.append((nanoseconds(message.header) / 1e9, message.pipeline_ms,
                                message.operating_point, message.changes))
        self.run.stages.append((nanoseconds(message.header) / 1e9, {
            **dict(zip(message.stages, message.stage_ms, strict=True)),
            'step': message.step_ms}))
        self.run.late, self.run.busy = message.dropped_late, message.dropped_busy
        if message.unmet:
            self.run.unmet.add(message.unmet)

    def _on_labels(self, message: Any) -> None:
        labels = np.frombuffer(message.data, np.uint16).reshape(message.height, message.width)
        self.run.masks[nanoseconds(message.header)] = np.packbits(labels[::STEP, ::STEP] != 0)

    def _on_info(self, message: Any) -> None:
        self.run.stamps.append(nanoseconds(message.header))


def load_cores(count: int) -> list[subprocess.Popen]:
    """Start processes that keep so many cores busy."""
    return [subprocess.Popen([sys.executable, '-S', '-c', 'while True: pass'])
            for _ in range(count)]


def play(args: argparse.Namespace, budget: float, phases: Sequence[float], frames: int = 0,
         nice: int = 0) -> Run:
    """Return a run.

    frames: instead of phases, so many frames in lockstep, each computed.  nice: for the tracker,
    where there is no budget that sets it.
    """
    domain = args.domain
    name, _, lead = NODES[args.node]
    tracker: dict[str, Any] = {'model_path': args.model, 'threads': args.threads,
                               'latency_budget_ms': float(budget)}
    tracker |= dict(setting.split('=', 1) for setting in args.set)
    if nice:
        tracker['nice'] = nice
    if args.nice is not None:
        tracker['budget_nice'] = args.nice
    if args.calibration:
        tracker['calibration_path'] = args.calibration
    rate = video_rate(args.video)
    count = frames or math.ceil((lead + sum(phases)) * rate)
    source: dict[str, Any] = {'source': args.video, 'loop': 'true', 'max_frames': count}
    remaps = {}
    if frames:
        source |= {'lockstep': 'latency'}
        remaps = {'consumed': f'/{name}/latency'}
    recorder = Recorder(domain, name)
    burning: list[subprocess.Popen] = []
    try:
        with node(name, tracker, domain) as tracking:
            limit = time.monotonic() + 60
            while not recorder.ready():
                recorder.spin(0.2)
                if tracking.poll() is not None or time.monotonic() > limit:
                    raise RuntimeError('the tracker does not start')
            with node('video_source', source, domain, remaps) as playing:
                while not recorder.run.stamps and playing.poll() is None:
                    recorder.spin(0.02)
                begin = time.monotonic()
                if lead:
                    recorder.designate(name, args.box, round(args.at * rate))
                if not frames:
                    recorder.spin(begin + lead + phases[0] - time.monotonic())
                    on = time.monotonic() - begin
                    burning = load_cores(args.load)
                    recorder.spin(phases[1])
                    stop(burning)
                    recorder.run.steps = (on, time.monotonic() - begin)
                while playing.poll() is None and tracking.poll() is None:
                    recorder.spin(0.2)
                recorder.run.seconds = time.monotonic() - begin
                recorder.spin(0.5)
                if tracking.poll() is None:
                    recorder.run.nice = os.getpriority(os.PRIO_PROCESS, tracking.pid)
    finally:
        stop(burning)
        recorder.close()
    run = recorder.run
    run.lead = lead
    # What is not heard is lost at the start, before the recorder is known to the camera.
    run.unheard = count - len(run.stamps)
    if not run.frames or not run.stamps:
        raise RuntimeError('nothing was published')
    first = run.stamps[0] / 1e9
    run.stages = [(stamp - first, spent) for stamp, spent in run.stages]
    run.frames = [(stamp - first, *rest) for stamp, *rest in run.frames]  # type: ignore[misc]
    return run


def stop(burning: list[subprocess.Popen]) -> None:
    """End the load."""
    for process in burning:
        process.kill()
        process.wait()
    burning.clear()


def video_rate(path: str) -> float:
    """Return a video's frames per second."""
    capture = cv2.VideoCapture(path)
    try:
        return capture.get(cv2.CAP_PROP_FPS) or 30.0
    finally:
        capture.release()


def video_length(path: str) -> int:
    """Return how many frames a video has."""
    capture = cv2.VideoCapture(path)
    try:
        count = 0
        while capture.grab():
            count += 1
        return count
    finally:
        capture.release()
