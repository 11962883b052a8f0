# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The memory tracker node: follows what a user designates, through occlusion and restarts."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import fields
from dataclasses import replace
from pathlib import Path
import sys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from vos_ros.budget.calibration import CalibrationError
from vos_ros.budget.calibration import read_calibration
from vos_ros.budget.ladder import memory_points
from vos_ros.budget.ladder import MemoryBounds
from vos_ros.budget.ladder import short_sides
from vos_ros.budget.ladder import SizeCost
from vos_ros.budget.ladder import working_costs
from vos_ros.budget.point import OperatingPoint
from vos_ros.msg import MemoryUsage
from vos_ros.nodes.base import TrackerNode
from vos_ros.nodes.image_input import Arrival
from vos_ros.nodes.live_parameters import Values
from vos_ros.nodes.memory_file import default_directory
from vos_ros.nodes.memory_file import MemoryFile
from vos_ros.nodes.memory_messages import usage_message
from vos_ros.nodes.memory_services import MemoryServices
from vos_ros.nodes.recent import Recent
from vos_ros.nodes.run import run
from vos_ros.nodes.tables import MEMORY_TRACKER
from vos_ros.runtime.package import load_package
from vos_ros.runtime.xmem import load_network
from vos_ros.tracking.engine import MemoryTracker
from vos_ros.tracking.following import Following
from vos_ros.tracking.memory_network import MemoryNetwork
from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.picture import working_size
from vos_ros.tracking.tracks import StepResult

_MIB = 2 ** 20
# The ceiling depends on the image's shape, which is not known before the first image.
_ASSUMED_SIZE = (480, 854)
# What writing a frame into the memory costs beside a frame, until that is measured.
_WRITING = 0.6


def tracker_params(values: Values, model_side: int = 0) -> MemoryTrackerParams:
    """Return the tracker's part of the parameters; raise ValueError when they contradict.

    model_side: what a short_side of -1 stands for.
    """
    chosen = {entry.name: values[entry.name] for entry in fields(MemoryTrackerParams)}
    if chosen['short_side'] < 0:
        chosen['short_side'] = model_side
    return MemoryTrackerParams(**chosen)


class MemoryTrackerNode(TrackerNode):
    """XMem on a camera, with services to say what to follow; see docs/operating.md."""

    def __init__(self) -> None:
        """Load model and memory, and start; raise PackageError, GraphError or OSError else."""
        super().__init__('memory_tracker', MEMORY_TRACKER)
        values = self.parameters.values
        threads = values['threads']
        cv2.setNumThreads(threads)
        package = load_package(values['model_path'])
        network = load_network(
            package, values['runtime'], threads, values['providers'], values['device'])
        for message in getattr(network, 'messages', ()):
            self.get_logger().warning(message)
        self._model_side = min(package.input_size)
        params = tracker_params(values, self._model_side)
        _warm(network, params, package.input_size)
        self.last_header = Header()
        self._usage = MemoryUsage()
        self._frame_size: tuple[int, int] | None = None     # that settings go by
        self._last_size: tuple[int, int] | None = None
        self._ceiling = ''
        tracker = MemoryTracker(network, params)
        # No mask waits for the memory to be written.
        tracker.late = True
        self._following = Following(tracker)
        self.get_logger().info(f'{package}, {threads} threads, {values["runtime"]}')
        self._log_ceiling(_ASSUMED_SIZE)
        self._memory = self.create_publisher(MemoryUsage, '~/memory', QoSProfile(depth=1))
        self._file = MemoryFile(self._following, values['memory_path'],
                                lambda: self.parameters['save_period'], self.get_logger())
        self._file.load()
        self._measure()
        self._recent = Recent(self, values)
        directory = values['memory_directory']
        MemoryServices(self, self._following, self._recent, self._file,
                       Path(directory).expanduser() if directory else default_directory())
        self.start()

    scaled_stages = frozenset({'resize', 'key', 'read', 'segment', 'value', 'memory'})
    heavy_stages = frozenset({'value'})
    budget_parameters = (*TrackerNode.budget_parameters, 'min_short_side', 'short_side',
                         'mem_every', 'max_mem_every', 'working_memory_max_frames',
                         'working_memory_min_frames', 'top_k', 'min_top_k', 'read_long_term',
                         'may_skip_long_term')

    def check_parameters(self, values: Values) -> None:
        """Refuse values that contradict each other."""
        tracker_params(values)

    def apply_parameters(self, values: Values) -> None:
        """Give the tracker and the rings their new parameters."""
        params = tracker_params(values, self._model_side)
        if params != self._following.tracker.params:
            self._following.tracker.params = params
        self._log_ceiling(self._frame_size or _ASSUMED_SIZE)
        self._recent.configure(values)

    def on_image(self, arrival: Arrival) -> None:
        """Keep every image for a while: a click may be on one that was never computed."""
        self._recent.put(arrival.message)

    def step(self, frame: NDArray[np.uint8], stamp: float | None) -> StepResult:
        """Follow the objects into a frame."""
        before, self._last_size = self._last_size, (frame.shape[0], frame.shape[1])
        # Where images of two sizes come in turns, the first one's stays: all that follows from a
        # size would be made anew, and told, for every image.
        if self._last_size != self._frame_size and (
                self._frame_size is None or self._last_size == before):
            self._frame_size = self._last_size
            self._log_ceiling(self._frame_size)
            self.governing.renew(self.parameters.values)
        result = self._following.step(frame)
        # The node calls the reading of an image message decode.
        return replace(result, timings={
            'segment' if name == 'decode' else name: spent
            for name, spent in result.timings.items()})

    def operating_points(self, values: Values) -> tuple[list[OperatingPoint], str, bool]:
        """Return the working sizes and memory cadences that the bounds allow.

        Without a calibration the cost of a size is taken for that of its pixels.
        """
        params = tracker_params(values, self._model_side)
        frame = self._frame_size or _ASSUMED_SIZE
        known: list[SizeCost] = []
        if values['calibration_path']:
            known = read_calibration(
                values['calibration_path'], threads=values['threads'],
                digest=self._following.tracker.network.digest)
        full = params.short_side or min(frame)
        if known and not params.short_side and self._frame_size is None:
            full = min(known[0].size)       # made for the camera whose images are still to come
        costs = [cost for cost in known if min(cost.size) == full
                 or values['min_short_side'] <= min(cost.size) <= full]
        if known and (not costs or min(costs[0].size) != full):
            raise CalibrationError(f'{values["calibration_path"]}: lacks the short side {full}')
        for side in () if known else short_sides(full, values['min_short_side']):
            # Of one scale, whatever the size of the images.
            share = (side / min(_ASSUMED_SIZE)) ** 2
            costs.append(SizeCost((side, side), share, (1 + _WRITING) * share))
        costs = working_costs(costs, min(frame))
        limits = ', '.join(f'{name} is {values[name]}' for name in (
            'min_short_side', 'max_mem_every', 'min_top_k', 'may_skip_long_term',
            'max_frame_skip'))
        return memory_points(costs, MemoryBounds(
            params.mem_every, values['max_mem_every'], params.working_memory_max_frames,
            params.working_memory_min_frames, params.top_k, values['min_top_k'],
            params.long_term and params.read_long_term and values['may_skip_long_term']),
            values['max_frame_skip'], min(frame)), limits, bool(known)

    def still_meant(self, best: OperatingPoint, values: Values) -> bool:
        """Return whether points made before have the working size that is asked for now."""
        frame = min(self._frame_size or _ASSUMED_SIZE)
        full = tracker_params(values, self._model_side).short_side or frame
        return min(int(best.settings['short_side']), frame) == min(full, frame)

    def take_point(self, settings: Mapping[str, Any]) -> None:
        """Go on at a working size and a memory cadence; the memories live on."""
        params = tracker_params(self.parameters.values, self._model_side)
        # Until points of its own are there, a working memory that was just set larger is left so.
        least = params.working_memory_min_frames + 1
        settings = {name: max(value, least) if name == 'working_memory_max_frames' else value
                    for name, value in settings.items()}
        params = replace(params, **settings)
        if params != self._following.tracker.params:
            self._following.tracker.params = params

    def reset(self) -> None:
        """End all objects."""
        self._following.reset()
        self.objects_changed()

    def objects_changed(self) -> None:
        """Save, and tell in /diagnostics, that objects came or went.  Worker's thread."""
        self._file.changed()
        self._measure()

    def after_step(self, header: Header, frame: NDArray[np.uint8], result: StepResult) -> None:
        """Write the memory; publish what the memories hold; save them when it is time."""
        self.made_up(self._following.tracker.finish())
        self.last_header = header
        self._measure()
        if self._memory.get_subscription_count():
            self._memory.publish(self._usage)
        self._file.tick()

    def before_stop(self) -> None:
        """Save for the last time."""
        self._file.close()

    def operating_point(self) -> str:
        """Return memory cadence, working size and number of objects."""
        params = self._following.tracker.params
        size = '' if self._frame_size is None \
            else '{}x{} '.format(*working_size(self._frame_size, params.short_side))
        return f'r={params.mem_every} {size}objects={len(self._following.tracker.objects)}'

    def status(self) -> dict[str, Any]:
        """Return objects and memory against its ceiling."""
        usage = self._usage
        return {'objects': usage.objects, 'memory_bytes': usage.total_bytes,
                'memory_ceiling_bytes': usage.total_max_bytes,
                'working_elements': usage.working_elements,
                'long_term_elements': usage.long_term_elements,
                'recent_images': len(self._recent.images),
                'recent_bytes': self._recent.held_bytes}

    def trouble(self) -> str:
        """Return why the memory was not saved."""
        return self._file.trouble

    def _measure(self) -> None:
        self._usage = usage_message(self._following.tracker, self.last_header)

    def _log_ceiling(self, size: tuple[int, int]) -> None:
        # Of the settings given: the budget may have the tracker at smaller ones just now.
        params = tracker_params(self.parameters.values, self._model_side)
        tracker, most = self._following.tracker, params.max_objects
        one, all_of_them = (tracker.ceiling_bytes(size, count, params) for count in (1, most))
        text = f'{one / _MIB:.0f} MiB for one object, {all_of_them / _MIB:.0f} MiB for ' \
            f'max_objects = {most}' if one else 'none: memory grows with every memory frame'
        text = f'ceiling of the memories at {size[1]}x{size[0]}: {text}'
        if text != self._ceiling:
            self._ceiling = text
            self.get_logger().info(text)


def _warm(network: MemoryNetwork, params: MemoryTrackerParams, size: tuple[int, int]) -> None:
    """Run every graph once, so that the first object does not wait for them to be laid out."""
    tracker = MemoryTracker(network, params)
    image = np.zeros((*size, 3), np.uint8)
    mask = np.zeros(size, np.uint16)
    mask[:size[0] // 2, :size[1] // 2] = 1
    tracker.step(image, mask)
    tracker.step(image)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run(MemoryTrackerNode, args)


if __name__ == '__main__':
    sys.exit(main())
