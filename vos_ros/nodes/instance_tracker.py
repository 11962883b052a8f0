# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The instance tracker node: images in, instance masks with lasting ids out."""

from collections.abc import Sequence
from dataclasses import fields
import sys

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.nodes.base import TrackerNode
from vos_ros.nodes.live_parameters import Values
from vos_ros.nodes.run import run
from vos_ros.nodes.tables import INSTANCE_TRACKER
from vos_ros.runtime.mobileinst import MobileInst
from vos_ros.runtime.package import load_package
from vos_ros.tracking.instances import InstanceTracker
from vos_ros.tracking.params import InstanceTrackerParams
from vos_ros.tracking.tracks import StepResult


def tracker_params(values: Values) -> InstanceTrackerParams:
    """Return the tracker's part of the parameters; raise ValueError when they contradict."""
    return InstanceTrackerParams(
        **{entry.name: values[entry.name] for entry in fields(InstanceTrackerParams)})


class InstanceTrackerNode(TrackerNode):
    """MobileInst with kernel reuse and association on a camera; see docs/topics.md."""

    def __init__(self) -> None:
        """Load the model and start; raise PackageError or GraphError when it cannot be used."""
        super().__init__('instance_tracker', INSTANCE_TRACKER)
        threads = self.parameters['threads']
        cv2.setNumThreads(threads)
        package = load_package(self.parameters['model_path'])
        self._network = MobileInst(package, threads, self.parameters['providers'])
        for message in self._network.messages:
            self.get_logger().warning(message)
        self._network.warm()
        self._tracker = InstanceTracker(self._network, tracker_params(self.parameters.values))
        self.get_logger().info(
            f'{package}, {threads} threads, {", ".join(self._network.providers)}')
        self.outputs.publish_classes(self._network.classes, self.parameters['birth_score'])
        self.start()

    def check_parameters(self, values: Values) -> None:
        """Refuse values that contradict each other."""
        tracker_params(values)

    def apply_parameters(self, values: Values) -> None:
        """Give the tracker its new parameters."""
        self._tracker.params = tracker_params(values)

    def step(self, frame: NDArray[np.uint8], stamp: float | None) -> StepResult:
        """Track a frame."""
        if self._tracker.ids_exhausted:
            self.get_logger().error('every id was given; starting over at 1')
            self._tracker.reset(restart_ids=True)
        return self._tracker.step(frame, stamp)

    def reset(self) -> None:
        """End all tracks."""
        self._tracker.reset()

    def operating_point(self) -> str:
        """Return reuse interval and input size."""
        height, width = self._network.input_size
        return f'T={self._tracker.params.reuse_interval} {height}x{width}'


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run(InstanceTrackerNode, args)


if __name__ == '__main__':
    sys.exit(main())
