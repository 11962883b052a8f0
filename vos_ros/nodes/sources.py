# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where a video source takes its frames: file, folder, webcam, bag, synthetic pattern."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.nodes import images
from vos_ros.tracking.folder import pictures_in

BAG_SUFFIXES = ('.mcap', '.db3', '.bag')
DEFAULT_RATE = 30.0
# An endless pattern would never end a test or a demo.
PATTERN_FRAMES = 300


@dataclass(frozen=True)
class SourceFrame:
    """image: uint8 [H, W, 3] BGR.  seconds: its time in the source.

    nanoseconds: the same to the last digit, where the source has it: seconds since 1970 leave a
        float64 a quarter of a microsecond.
    """

    image: NDArray[np.uint8]
    seconds: float
    nanoseconds: int | None = None


class Source:
    """Frames in order, and the rate they were taken at (per second).

    Iterating starts from the beginning each time.  Raises ValueError or OSError that names what
    cannot be read.
    """

    rate: float = DEFAULT_RATE

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yield the frames."""
        raise NotImplementedError


class VideoFile(Source):
    """A video file, or with a number a webcam."""

    def __init__(self, source: str | int) -> None:
        """Look whether it opens."""
        self._source = source
        capture = self._open()
        rate = capture.get(cv2.CAP_PROP_FPS)
        capture.release()
        # Containers without a rate say 0, nan or 1000 and more.
        self.rate = rate if 0 < rate <= 500 else DEFAULT_RATE

    def __iter__(self) -> Iterator[SourceFrame]:
        """Decode from the first frame on."""
        capture = self._open()
        count = 0
        try:
            while True:
                there, image = capture.read()
                if not there:
                    break
                yield SourceFrame(image, count / self.rate)  # type: ignore[arg-type]  # uint8
                count += 1
        finally:
            capture.release()
        if not count:
            raise ValueError(f'{self._source}: opens, but no frame can be decoded')

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self._source)
        if not capture.isOpened():
            what = f'webcam {self._source}' if isinstance(self._source, int) else self._source
            raise ValueError(f'{what}: cannot be opened as video')
        return capture


class ImageFolder(Source):
    """The pictures of a folder in the order of their names, 9.png before 10.png."""

    def __init__(self, folder: Path) -> None:
        """List the folder."""
        self._files = pictures_in(folder)

    def __iter__(self) -> Iterator[SourceFrame]:
        """Read picture after picture."""
        for index, file in enumerate(self._files):
            image = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if image is None:
                raise ValueError(f'{file}: cannot be read as a picture')
            yield SourceFrame(image, index / self.rate)  # type: ignore[arg-type]  # uint8


class Bag(Source):
    """An image topic of a rosbag2 (.mcap, .db3, or its folder), read without ROS by rosbags."""

    def __init__(self, path: Path, topic: str = '') -> None:
        """Open the bag and choose the topic; the first image topic when none is named."""
        try:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import get_typestore
            from rosbags.typesys import Stores
        except ImportError as error:
            raise ValueError(f'{path}: reading bags needs the Python package rosbags') from error
        # A recording is a folder with metadata.yaml; one file of it is as good a name for it.
        if path.is_file() and path.suffix != '.bag' and (path.parent / 'metadata.yaml').exists():
            path = path.parent
        self._path = path
        self._make = lambda: AnyReader(
            [path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        with self._make() as reader:
            found = [entry for entry in reader.connections
                     if entry.msgtype in ('sensor_msgs/msg/Image',
                                          'sensor_msgs/msg/CompressedImage')
                     and topic in ('', entry.topic) and entry.msgcount]
            if not found:
                listing = ', '.join(sorted(
                    f'{entry.topic} ({entry.msgtype})' for entry in reader.connections)) or 'none'
                raise ValueError(f'{path}: no images on {topic or "any topic"}; topics: {listing}')
            self._topic = found[0].topic
            times = [time for _, time, _ in self._messages(reader)]
        span = (times[-1] - times[0]) / 1e9
        self.rate = (len(times) - 1) / span if span > 0 else DEFAULT_RATE

    def __iter__(self) -> Iterator[SourceFrame]:
        """Read and decode image after image; stamps are those of the images' headers."""
        with self._make() as reader:
            for connection, time, raw in self._messages(reader):
                message: Any = reader.deserialize(raw, connection.msgtype)
                decode = images.to_rgb if connection.msgtype.endswith('/Image') \
                    else images.from_compressed
                stamp = message.header.stamp
                exact = stamp.sec * 10 ** 9 + stamp.nanosec or time
                image: Any = cv2.cvtColor(decode(message), cv2.COLOR_RGB2BGR)
                yield SourceFrame(image, exact / 1e9, exact)

    def _messages(self, reader: Any) -> Any:
        return reader.messages(connections=[
            entry for entry in reader.connections if entry.topic == self._topic])


class Pattern(Source):
    """Three discs moving over a graded ground, one behind another from time to time."""

    def __init__(self, width: int = 640, height: int = 480) -> None:
        """Set the size in pixels."""
        self._size = (height, width)
        rows, columns = np.mgrid[:height, :width]
        self._ground = np.stack(
            [60 + 90 * rows / height, 90 + 60 * columns / width, np.full((height, width), 80.0)],
            axis=-1).astype(np.uint8)

    def __iter__(self) -> Iterator[SourceFrame]:
        """Draw picture after picture."""
        height, width = self._size
        for index in range(PATTERN_FRAMES):
            image = self._ground.copy()
            for disc, colour in enumerate(((40, 40, 220), (60, 200, 60), (230, 120, 40))):
                phase = index / 60 * (disc + 1) + 2 * disc
                centre = (int(width * (0.5 + 0.35 * np.sin(phase))),
                          int(height * (0.5 + 0.25 * np.cos(0.7 * phase))))
                cv2.circle(image, centre, min(height, width) // (7 + disc), colour, -1,
                           cv2.LINE_AA)
            yield SourceFrame(image, index / self.rate)


def open_source(name: str, *, width: int = 0, height: int = 0, bag_topic: str = '') -> Source:
    """Return the source that a name means; raise ValueError or OSError when there is none."""
    if name == 'pattern':
        width = width or 640
        return Pattern(width, height or width * 3 // 4)
    if name.isdigit():
        return VideoFile(int(name))
    path = Path(name).expanduser()
    if not path.exists():
        raise FileNotFoundError(f'{name}: no such file or folder')
    if path.suffix in BAG_SUFFIXES or (path / 'metadata.yaml').exists():
        return Bag(path, bag_topic)
    return ImageFolder(path) if path.is_dir() else VideoFile(str(path))
