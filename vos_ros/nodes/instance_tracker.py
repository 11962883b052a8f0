# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The instance tracker node: images in, instance masks with lasting ids out."""

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import fields
from dataclasses import replace
import sys
from typing import Any
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from vos_ros.budget.calibration import CalibrationError
from vos_ros.budget.calibration import read_calibration
from vos_ros.budget.ladder import input_sizes
from vos_ros.budget.ladder import instance_points
from vos_ros.budget.ladder import SizeCost
from vos_ros.budget.point import OperatingPoint
from vos_ros.nodes.base import TrackerNode
from vos_ros.nodes.live_parameters import Values
from vos_ros.nodes.run import run
from vos_ros.nodes.tables import INSTANCE_TRACKER
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.runtime.sizes import Sizes
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.tracks import StepResult


def tracker_params(values: Values) -> InstanceTrackerParams:
    """Return the tracker's part of the parameters; raise ValueError when they contradict."""
    return InstanceTrackerParams(
        **{entry.name: values[entry.name] for entry in fields(InstanceTrackerParams)})


class InstanceTrackerNode(TrackerNode):
    """MobileInst with kernel reuse and association on a camera; see docs/topics.md."""

    # The letterbox swaps the channels of the small picture.
    takes_reversed = True

    def __init__(self) -> None:
        """Load the model and start; raise PackageError or GraphError when it cannot be used."""
        super().__init__('instance_tracker', INSTANCE_TRACKER)
        threads = self.parameters['threads']
        cv2.setNumThreads(threads)
        providers = self.parameters['providers']
        package = load_package(self.parameters['model_path'])
        self._network = MobileInst(package, threads, providers,
                                   reuse_features=self.parameters['reuse_features'])
        for message in self._network.messages:
            self.get_logger().warning(message)
        self._network.warm()
        self._sizes = Sizes.of(self._network, package, threads, providers)
        self._tracker = InstanceTracker(self._network, tracker_params(self.parameters.values))
        self._tracker.late_keyframes = self.parameters['late_keyframes']
        self.get_logger().info(
            f'{package}, {threads} threads, {", ".join(self._network.providers)}')
        self.outputs.publish_classes(self._network.classes, self.parameters['birth_score'])
        self.start()

    scaled_stages = frozenset({'network'})
    budget_parameters = (*TrackerNode.budget_parameters, 'min_short_side', 'reuse_interval',
                         'max_reuse_interval', 'late_keyframes', 'may_delay_keyframes')

    def check_parameters(self, values: Values) -> None:
        """Refuse values that contradict each other."""
        tracker_params(values)

    def apply_parameters(self, values: Values) -> None:
        """Give the tracker its new parameters."""
        self._tracker.params = tracker_params(values)
        self._tracker.late_keyframes = values['late_keyframes']

    def step(self, frame: NDArray[np.uint8], stamp: float | None) -> StepResult:
        """Track a frame."""
        if self._tracker.ids_exhausted:
            self.get_logger().error('every id was given; starting over at 1')
            self._tracker.reset(restart_ids=True)
        network = cast(MobileInst, self._tracker.network)
        self._tracker.network = self._sizes.facing(network, frame.shape[:2])
        return self._tracker.step(frame, stamp, self.labels.canvas)

    def after_step(self, header: Header, frame: NDArray[np.uint8], result: StepResult) -> None:
        """Make up for a keyframe that the step left out."""
        self.made_up(self._tracker.finish())

    def operating_points(self, values: Values) -> tuple[list[OperatingPoint], str, bool]:
        """Return the input sizes and reuse intervals that the bounds allow."""
        wanted = input_sizes(self._network.input_size, values['min_short_side'])
        known: list[SizeCost] = []
        if values['calibration_path']:
            known = read_calibration(values['calibration_path'], threads=values['threads'],
                                     digest=self._network.package.digest,
                                     reuse_features=self._network.reuse_features)
            wanted = [size for size in wanted if size in {cost.size for cost in known}]
            if self._network.input_size not in wanted:
                raise CalibrationError(f'{values["calibration_path"]}: lacks the input size '
                                       f'{self._network.input_size}')
        sizes = self._sizes.load(wanted)
        for message in self._sizes.messages:
            self.get_logger().warning(message)
        self._sizes.messages.clear()
        costs = [cost for cost in known if cost.size in sizes] or self._sizes.costs(sizes)
        limits = ', '.join(f'{name} is {values[name]}' for name in (
            'min_short_side', 'max_reuse_interval', 'may_delay_keyframes', 'max_frame_skip'))
        late = (True,) if values['late_keyframes'] \
            else (False, True) if values['may_delay_keyframes'] else (False,)
        return instance_points(costs, values['reuse_interval'], values['max_reuse_interval'],
                               values['max_frame_skip'], late), limits, True

    def take_point(self, settings: Mapping[str, Any]) -> None:
        """Go on at an input size and a reuse interval; the tracks live on."""
        self._tracker.params = replace(
            tracker_params(self.parameters.values),
            **{name: value for name, value in settings.items() if name == 'reuse_interval'})
        self._tracker.late_keyframes = settings.get(
            'late_keyframes', self.parameters['late_keyframes'])
        size = settings.get('input_size', self._network.input_size)
        self._tracker.network = self._sizes.motion(size) if 'reuse_features' in settings \
            else self._sizes[size]

    def reset(self) -> None:
        """End all tracks."""
        self._tracker.reset()

    def operating_point(self) -> str:
        """Return reuse interval, input size, and what runs between keyframes if not as set."""
        network = self._tracker.network
        height, width = network.input_size
        motion = '' if network in (self._network, self._sizes[network.input_size]) else ' motion'
        late = ' late' if self._tracker.late_keyframes > self.parameters['late_keyframes'] else ''
        return f'T={self._tracker.params.reuse_interval} {height}x{width}{motion}{late}'


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run(InstanceTrackerNode, args)


if __name__ == '__main__':
    sys.exit(main())
