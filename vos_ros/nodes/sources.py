# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Where a video source takes its frames: file, folder, webcam, bag, synthetic pattern."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.nodes import images
from vos_ros.runtime.reading import read_picture
from vos_ros.runtime.reading import warn_if_cut_off
from vos_ros.tracking.folder import pictures_in

BAG_SUFFIXES = ('.mcap', '.db3', '.bag')
IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
DEFAULT_RATE = 30.0
# Containers without a rate say 0, nan or 1000 and more; so may the times of a bag.
_MOST_RATE = 500
# Images of a bag whose times tell its rate.
_TIMED_IMAGES = 300
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
    # Whether it sets the pace itself: its frames come when they come.
    live: bool = False

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
        self.rate = rate if 0 < rate <= _MOST_RATE else DEFAULT_RATE
        self.live = isinstance(source, int)
        self._told_short = False

    def __iter__(self) -> Iterator[SourceFrame]:
        """Decode from the first frame on.  OSError when a webcam gives no more.

        Warns, once, when a file has fewer frames than it says.
        """
        capture = self._open()
        count, seconds = 0, -1 / self.rate
        try:
            while True:
                there, image = capture.read()
                if not there:
                    break
                # Where frames come at a varying rate only the file knows when.
                told = capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
                seconds = told if told > max(seconds, 0.0) else seconds + 1 / self.rate
                yield SourceFrame(image, seconds)  # type: ignore[arg-type]  # uint8
                count += 1
            if not self.live and not self._told_short:
                self._told_short = warn_if_cut_off(capture, str(self._source), count)
        finally:
            capture.release()
        if not count:
            raise ValueError(f'{self._source}: opens, but no frame can be decoded')
        if self.live:
            raise OSError(f'webcam {self._source}: gives no more images')

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self._source)
        live = isinstance(self._source, int)
        if not capture.isOpened():
            what = f'webcam {self._source}' if live else self._source
            raise ValueError(f'{what}: cannot be opened as video')
        if live:
            # What is not read in time is old, and stamped as if it were new.
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture


class ImageFolder(Source):
    """The pictures of a folder in the order of their names, 9.png before 10.png."""

    def __init__(self, folder: Path) -> None:
        """List the folder."""
        self._files = pictures_in(folder)

    def __iter__(self) -> Iterator[SourceFrame]:
        """Read picture after picture."""
        for index, file in enumerate(self._files):
            yield SourceFrame(read_picture(file), index / self.rate)


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
        if path.is_file() and path.suffix != '.bag' and _is_recording(path.parent):
            path = path.parent
        self._path = path
        self._make = lambda: AnyReader(
            [path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
        self._topic = topic
        with self._named(), self._make() as reader:
            self._topic = self._choose(reader, topic)
            times = [time for _, time, _ in islice(self._messages(reader), _TIMED_IMAGES)]
        gaps = np.diff(times)
        gaps = gaps[gaps > 0]
        rate = 1e9 / float(np.median(gaps)) if len(gaps) else DEFAULT_RATE
        self.rate = rate if rate <= _MOST_RATE else DEFAULT_RATE

    def __iter__(self) -> Iterator[SourceFrame]:
        """Read and decode image after image; stamps are those of the images' headers."""
        with self._named(), self._make() as reader:
            for connection, time, raw in self._messages(reader):
                message: Any = reader.deserialize(raw, connection.msgtype)
                stamp = message.header.stamp
                exact = stamp.sec * 10 ** 9 + stamp.nanosec or time
                yield SourceFrame(_picture(message, connection.msgtype), exact / 1e9, exact)

    def _choose(self, reader: Any, topic: str) -> str:
        """Return the topic named, or the first whose images can be shown."""
        found = list(dict.fromkeys(
            entry.topic for entry in reader.connections if entry.msgtype in IMAGE_TYPES
            and topic in ('', entry.topic) and entry.msgcount))
        if not found:
            listing = ', '.join(sorted(
                f'{entry.topic} ({entry.msgtype})' for entry in reader.connections)) or 'none'
            raise ValueError(f'{self._path}: no images on {topic or "any topic"}; '
                             f'topics: {listing}')
        if topic:
            return topic
        reasons = []
        for one in found:
            self._topic = one
            connection, _, raw = next(iter(self._messages(reader)))
            try:
                _picture(reader.deserialize(raw, connection.msgtype), connection.msgtype)
            except Exception as error:
                reasons.append(f'{one}: {error}')
            else:
                return one
        raise ValueError(f'{self._path}: no topic has images that can be shown; '
                         + '; '.join(reasons))

    def _messages(self, reader: Any) -> Any:
        return reader.messages(connections=[
            entry for entry in reader.connections
            if entry.topic == self._topic and entry.msgtype in IMAGE_TYPES])

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Have whatever goes wrong in reading name the bag and the topic."""
        try:
            yield
        except Exception as error:
            if isinstance(error, (ValueError, OSError)) and str(self._path) in str(error):
                raise
            where = f'{self._path}' + (f', topic {self._topic}' if self._topic else '')
            raise ValueError(f'{where}: cannot be read: {error}') from error


def _picture(message: Any, kind: str) -> NDArray[np.uint8]:
    decode = images.to_rgb if kind.endswith('/Image') else images.from_compressed
    return cv2.cvtColor(decode(message), cv2.COLOR_RGB2BGR)  # type: ignore[return-value]  # uint8


def _is_recording(folder: Path) -> bool:
    """Return whether a folder is a rosbag2 recording: others have a metadata.yaml, too."""
    file = folder / 'metadata.yaml'
    try:
        return 'rosbag2_bagfile_information' in file.read_text(errors='replace')
    except OSError:
        return False


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
    if path.suffix in BAG_SUFFIXES or _is_recording(path):
        return Bag(path, bag_topic)
    return ImageFolder(path) if path.is_dir() else VideoFile(str(path))
