# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Second part of the demo: an object is designated by a box and followed to the end."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from vos_ros.msg import ObjectPrompt
from vos_ros.msg import Track
from vos_ros.msg import TrackArray
from vos_ros.srv import AddObjects

from vos_ros.tracking.video_file import VideoFile

TRACKS = '/demo/memory_tracker/tracks'
SERVICE = '/demo/memory_tracker/add_objects'


class DesignationError(Exception):
    """The object cannot be followed; the text is for the user."""


class Designator:
    """A user of the memory tracker: watches its results, and at one of them calls add_objects.

    The image is named by its stamp.  Images go on meanwhile, as they do while a person draws a
    box.  After that it counts in how many images the object was seen, lost and found again.
    """

    def __init__(self, box: list[float], frame: int, seconds: float | None) -> None:
        """Take part in ROS.  frame: number of the image; seconds: after the first one instead."""
        rclpy.init()
        self._node = rclpy.create_node('designator', namespace='/demo')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._box, self._frame, self._seconds = box, frame, seconds
        self._node.create_subscription(TrackArray, TRACKS, self._look, QoSProfile(depth=1000))
        self._client = self._node.create_client(AddObjects, SERVICE)
        self._count = 0
        self._first = 0
        self._future = None
        self._was: int | None = None
        self.told: list[str] = []
        self.seen = self.lost = self.found_again = 0

    def ready(self) -> bool:
        """Return whether the memory tracker is heard and listens."""
        self.spin()
        return self._node.count_publishers(TRACKS) > 0 and self._client.service_is_ready()

    def spin(self, seconds: float = 0.1) -> None:
        """Take part for a moment; raise DesignationError when the object was refused."""
        end = self._node.get_clock().now().nanoseconds + int(seconds * 1e9)
        while self._node.get_clock().now().nanoseconds < end:
            self._executor.spin_once(timeout_sec=0.02)
        if self._future is not None and self._future.done():
            reply, self._future = self._future.result(), None
            if not reply.success:
                raise DesignationError(f'the object was refused: {reply.message}')
            self.told.append(
                f'designated on image {self._frame} by a box, mask by {reply.methods[0]}; '
                f'{self._count - self._frame} images had come when the reply did')

    def close(self) -> None:
        """Leave ROS."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def summary(self) -> str:
        """Return what became of the object, in words."""
        return (f'seen in {self.seen} images, lost in {self.lost}, found again '
                f'{self.found_again} times under id 1')

    def _look(self, message: TrackArray) -> None:
        stamp = message.header.stamp.sec * 10 ** 9 + message.header.stamp.nanosec
        self._first = self._first or stamp
        due = self._count == self._frame if self._seconds is None \
            else self._was is None and stamp - self._first >= self._seconds * 1e9
        if due and self._was is None:
            self._was = Track.NEW
            self._frame = self._count
            self._future = self._client.call_async(AddObjects.Request(
                stamp=message.header.stamp,
                objects=[ObjectPrompt(name='object', box=self._box)]))
        self._count += 1
        for track in message.tracks:
            lost = track.state == Track.LOST
            self.lost += lost
            self.seen += not lost
            self.found_again += not lost and self._was == Track.LOST
            self._was = track.state


def follow(
        nodes: 'Nodes', source: dict[str, object], files: dict[str, Path], model: str,  # noqa: F821
        threads: int, box: list[float], frame: int, seconds: float | None,
        progress: Callable[[], None], rate: float) -> Designator:
    """Run memory tracker, overlay and source with a designator until the video ends.

    The source starts last, when everybody listens: the first image is nobody's to miss.
    """
    designator = Designator(box, frame, seconds)
    try:
        # A click may be as late as the machine is slow; specks after a cut are not the object.
        nodes.start('memory_tracker', {'model_path': model, 'threads': threads, 'min_area': 0.01,
                                       'ring_seconds': 60.0, 'ring_frames': 200})
        nodes.start('overlay', {**{k: str(v) for k, v in files.items()}, 'fps': rate}, {
            'labels': 'memory_tracker/labels', 'tracks': 'memory_tracker/tracks',
            'latency': 'memory_tracker/latency', 'finished': 'video_source/finished'})
        while not designator.ready():
            nodes.check()
        nodes.start('video_source', source, {'consumed': 'overlay/written'})
        while not nodes.ended('overlay'):
            nodes.check()
            designator.spin()
            progress()
        nodes.check()
    finally:
        designator.close()
    return designator


def beside(left: Path, right: Path, output: Path, rate: float) -> int:
    """Write two videos of equal length side by side; return the number of pictures."""
    videos = [cv2.VideoCapture(str(path)) for path in (left, right)]
    both: VideoFile | None = None
    count = 0
    try:
        while True:
            pairs = [video.read() for video in videos]
            if not all(there for there, _ in pairs):
                return count
            one, other = (image for _, image in pairs)
            if other.shape != one.shape:
                other = cv2.resize(other, one.shape[1::-1])
            picture = np.hstack([one, other])
            if both is None:
                both = VideoFile(output, picture.shape[:2], rate)
            both.write(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            count += 1
    finally:
        for video in videos:
            video.release()
        if both is not None:
            both.close()


def below(upper: Path, lower: Path) -> None:
    """Put one contact sheet below the other, into the upper one's file."""
    sheets = [cv2.imread(str(path)) for path in (upper, lower)]
    width = max(sheet.shape[1] for sheet in sheets)
    cv2.imwrite(str(upper), np.vstack([
        np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0))) for sheet in sheets]))
