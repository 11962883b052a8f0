# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Pictures into a video file, a contact sheet and a summary; knows no ROS."""

from collections import Counter
from collections import deque
from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.budget.clock import percentile
from vos_ros.tracking.drawing import contact_sheet
from vos_ros.tracking.tracks import Tracks
from vos_ros.tracking.video_file import VideoFile

_SHEET_PICTURES = 24
_SHEET_WIDTH = 480
# So many pictures are looked at before the file's frame rate is fixed.
_RATE_PICTURES = 8
# Times are those of the last frames, or a recording of days would fill the memory.
_TIMED_FRAMES = 20000


class Recorder:
    """Writes drawn pictures as they come.

    output: .mp4, '' writes none; its frame size is that of the first picture, others are scaled.
    sheet: .png with up to 24 pictures spread over the video, '' writes none.
    fps: frame rate of the file, 0 takes it from the stamps of the first pictures.
    Folders are made.  Raises ValueError or OSError, once, when the file cannot be written or the
    disk is nearly full, which ends the file; the rest goes on.
    """

    def __init__(self, output: str, sheet: str, fps: float = 0.0) -> None:
        """Start without a picture."""
        self._output = output
        self._sheet = str(Path(sheet).expanduser()) if sheet else ''
        self._fps = fps
        self._waiting: list[tuple[float, NDArray[np.uint8]]] = []
        self._video: VideoFile | None = None
        self._kept: list[NDArray[np.uint8]] = []
        self._keep_every = 1
        self._frames_of: Counter[int] = Counter()
        self._label_of: dict[int, str] = {}
        self._stages: dict[str, deque[float]] = {}
        self.written = 0        # pictures taken; fewer are in the video when it ended early
        self._in_video = 0

    @property
    def recording(self) -> bool:
        """Return whether pictures still go into a video."""
        return bool(self._output)

    def add(self, picture: NDArray[np.uint8], seconds: float, tracks: Tracks) -> None:
        """Take a drawn picture, uint8 [H, W, 3] RGB, with its stamp and its tracks."""
        for row in np.flatnonzero(tracks.areas):
            self._frames_of[int(tracks.ids[row])] += 1
            self._label_of[int(tracks.ids[row])] = tracks.labels[row]
        if self._sheet and self.written % self._keep_every == 0:
            self._kept.append(contact_sheet([picture], 1, _SHEET_WIDTH))
            # Bounded however long the video is: when full, every other one goes.
            if len(self._kept) == 2 * _SHEET_PICTURES:
                self._kept = self._kept[::2]
                self._keep_every *= 2
        self.written += 1
        if self._output:
            self._waiting.append((seconds, picture))
            if self._video is not None or len(self._waiting) >= _RATE_PICTURES:
                self._flush()

    def timed(self, stages: Mapping[str, float]) -> None:
        """Take the milliseconds of a frame's stages."""
        for name, spent in stages.items():
            if spent == spent:  # not NaN
                self._stages.setdefault(name, deque(maxlen=_TIMED_FRAMES)).append(spent)

    def close(self) -> None:
        """Write what is left, and the contact sheet."""
        try:
            self._flush()
            video, self._video = self._video, None
            if video is not None:
                try:
                    video.close()
                finally:
                    self._in_video = video.pictures
        finally:
            self._write_sheet()

    def _write_sheet(self) -> None:
        if self._sheet and self._kept:
            # Rounded indices, so that the first and the last kept picture are both there.
            count = min(_SHEET_PICTURES, len(self._kept))
            chosen = [self._kept[index] for index in
                      np.linspace(0, len(self._kept) - 1, count).round().astype(int)]
            Path(self._sheet).parent.mkdir(parents=True, exist_ok=True)
            sheet = cv2.cvtColor(contact_sheet(chosen, 4, _SHEET_WIDTH), cv2.COLOR_RGB2BGR)
            try:
                done = cv2.imwrite(self._sheet, sheet)
            except cv2.error:           # a name that ends like no picture's
                done = False
            if not done:
                raise ValueError(f'{self._sheet}: OpenCV cannot write a picture there')

    def summary(self) -> dict[str, Any]:
        """Return counts and times as one flat mapping; times in milliseconds."""
        result: dict[str, Any] = {
            'pictures': self.written, 'in_video': self._in_video, 'tracks': len(self._frames_of),
            'longest_tracks': ', '.join(
                f'{track_id} {self._label_of[track_id]} {100 * frames / self.written:.0f} %'
                for track_id, frames in self._frames_of.most_common(8))}
        for name, spent in self._stages.items():
            result[f'{name}_p50_ms'] = round(percentile(spent, 0.5), 3)
            result[f'{name}_p95_ms'] = round(percentile(spent, 0.95), 3)
        return result

    def _flush(self) -> None:
        if not self._waiting:
            return
        # Nothing is kept, and no second try made, for a file that cannot be had.
        output, self._output = self._output, ''
        waiting, self._waiting = self._waiting, []
        video, self._video = self._video, None
        if video is None:
            video = VideoFile(output, waiting[0][1].shape[:2], self._rate(waiting))
        try:
            for _, picture in waiting:
                video.write(picture)
        finally:
            self._in_video = video.pictures
        self._output, self._video = output, video

    def _rate(self, waiting: list[tuple[float, NDArray[np.uint8]]]) -> float:
        if self._fps:
            return round(self._fps, 2)
        stamps = np.array([seconds for seconds, _ in waiting])
        gaps = np.diff(stamps)
        gaps = gaps[gaps > 0]
        # MPEG-4 counts time in fractions with small denominators only.
        return round(float(np.clip(1 / np.median(gaps), 1, 120)), 2) if len(gaps) else 30.0


def write_json(path: str, content: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, making the folder."""
    file = Path(path).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')


def table(summary: Mapping[str, Any]) -> str:
    """Return a summary as lines to read: first the counts, then the times as a table."""
    lines = [f'{name.replace("_", " "):<16} {value}' for name, value in summary.items()
             if not name.endswith('_ms')]
    stages = [name[:-len('_p50_ms')] for name in summary if name.endswith('_p50_ms')]
    if stages:
        lines.append(f'{"stage":<16} {"p50 ms":>9} {"p95 ms":>9}')
    lines += [f'{name:<16} {summary[f"{name}_p50_ms"]:>9.2f} {summary[f"{name}_p95_ms"]:>9.2f}'
              for name in stages]
    return '\n'.join(lines)
