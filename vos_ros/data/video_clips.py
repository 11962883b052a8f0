# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Short training clips from annotated video in the layout of DAVIS, real or simulated."""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.data.clip_looks import develop
from vos_ros.data.compose import chain
from vos_ros.data.compose import F32
from vos_ros.data.compose import similarity
from vos_ros.data.compose import warp_image
from vos_ros.data.static_clips import LabelledClip
from vos_ros.evaluate.davis import VideoSequence
from vos_ros.evaluate.davis import VOID

U8 = NDArray[np.uint8]


@dataclass(frozen=True)
class VideoClipConfig:
    """How clips are cut from video.

    size: height and width of the frames in pixels. frames: frames in a clip.
    skip: two frames of a clip lie 1 to this many annotated frames apart; a clip of more than two
        draws its own greatest distance up to this: there are slow clips and clips of jumps.
    zoom: range of the cut's short side, as a share of the video's. share: range of the size of the
        object that the cut is made round (square root of its area), as a share of that side,
        as far as the zoom allows.
    turn: largest rotation of a whole clip, radians.
    returns: probability that a clip of at least 4 frames goes back from its middle on: what leaves
        the picture in the first half comes back.
    alike: how much more readily an object is chosen that looks like one chosen already.
    """

    size: tuple[int, int] = (224, 224)
    frames: int = 3
    skip: int = 5
    zoom: tuple[float, float] = (0.45, 1.1)
    share: tuple[float, float] = (0.12, 0.6)
    turn: float = 0.15
    alike: float = 6.0
    returns: float = 0.0


class VideoClips:
    """Cut clips at random from videos; the same generator, the same clip."""

    def __init__(self, sequences: Sequence[VideoSequence], config: VideoClipConfig) -> None:
        """Take the videos; files are read when a clip is cut.

        Raises ValueError when no video has as many annotated frames as a clip, for a clip size,
        length or skip that is too small, or a zoom or share that is no range.
        """
        if min(config.size) < 32 or config.frames < 1 or config.skip < 1:
            raise ValueError(f'clip size {config.size} (at least 32), frames {config.frames} or '
                             f'skip {config.skip} (at least 1) too small')
        for name in ('zoom', 'share'):
            value = getattr(config, name)
            if len(value) != 2 or not 0 < value[0] <= value[1]:
                raise ValueError(f'{name} {value}: two numbers above 0, the smaller first')
        self.config = config
        self._videos = [(s, [i for i, mask in enumerate(s.annotations) if mask is not None])
                        for s in sequences]
        self._videos = [(s, known) for s, known in self._videos if len(known) >= config.frames]
        if not self._videos:
            raise ValueError(f'no video has {config.frames} annotated frames')

    def __len__(self) -> int:
        """Return the number of videos in use."""
        return len(self._videos)

    def clip(self, rng: np.random.Generator, objects: int | None = 1, tries: int = 30,
             ) -> LabelledClip:
        """Cut one clip with up to `objects` objects, at least one of them in the first frame.

        None keeps all objects, with the numbers that they have in the video.
        tries: random frames that may show nothing (or too little) before frames that show an
        object are searched for.  Raises ValueError when no frame of any video does.
        """
        for _ in range(tries):
            video, known = self._videos[int(rng.integers(len(self._videos)))]
            clip = self._attempt(
                rng, objects, video, [known[i] for i in self._times(rng, len(known))])
            if clip is not None:
                return clip
        for video, known, start in self._shuffled(rng):
            steps = np.cumsum(rng.integers(1, self.config.skip + 1, self.config.frames)) \
                * rng.choice((-1, 1))
            places = (start + steps - steps[0]).clip(0, len(known) - 1)
            clip = self._attempt(rng, objects, video, [known[i] for i in places], least=1)
            if clip is not None:
                return clip
        raise ValueError('no frame of any video shows an object')

    def _shuffled(self, rng: np.random.Generator,
                  ) -> Iterator[tuple[VideoSequence, list[int], int]]:
        """Go through all annotated frames: the video, its annotated frames, a place in them."""
        for number in rng.permutation(len(self._videos)):
            video, known = self._videos[number]
            for place in rng.permutation(len(known)):
                yield video, known, int(place)

    def _attempt(self, rng: np.random.Generator, objects: int | None, video: VideoSequence,
                 indices: Sequence[int], least: int | None = None) -> LabelledClip | None:
        config = self.config
        table = np.arange(256, dtype=np.uint8)
        table[VOID] = 0
        first = video.labels(indices[0], void=True)
        if first is None or not table[first].any():
            return None
        matrix = self._view(rng, table[first])
        cut = _cut(first, matrix, config.size)
        rgb = warp_image(video.image(indices[0]), matrix, *config.size)
        most = 255 if objects is None else objects
        chosen = choose_alike(rng, rgb, table[cut], most, config.alike, least)
        if not len(chosen):
            return None
        if objects is not None:
            table[:] = 0
            table[chosen] = np.arange(1, len(chosen) + 1)
        frames = np.empty((config.frames, *config.size, 3), np.uint8)
        labels = np.zeros(frames.shape[:3], np.uint8)
        void = np.zeros(labels.shape, np.bool_)
        frames[0], labels[0], void[0] = rgb, table[cut], cut == VOID
        for t, index in enumerate(indices[1:], 1):
            frames[t] = warp_image(video.image(index), matrix, *config.size)
            label = video.labels(index, void=True)
            if label is not None:
                cut = _cut(label, matrix, config.size)
                labels[t], void[t] = table[cut], cut == VOID
        return LabelledClip(develop(rng, frames), labels, void)

    def _times(self, rng: np.random.Generator, length: int) -> NDArray[np.intp]:
        """Draw places in a list of annotated frames: in order, backwards, or there and back."""
        steps = self.config.frames - 1
        returns = bool(self.config.returns and steps > 2 and rng.random() < self.config.returns)
        back = steps // 2 if returns else 0
        most = self.config.skip
        if steps > 1 and not returns:
            most = int(rng.integers(1, most + 1))
        gaps = rng.integers(1, most + 1, steps - back)
        while gaps.sum() > length - 1:
            gaps[int(gaps.argmax())] -= 1
        start = int(rng.integers(length - int(gaps.sum())))
        times = start + np.concatenate([[0], np.cumsum(gaps)]).astype(np.intp)
        if back:
            home = rng.choice(np.arange(times[0], times[-1]), back, replace=False)
            times = np.concatenate([times, np.sort(home)[::-1]])
        # Backwards: mirrored within the stretch, so that a way back stays one.
        return times.min() + times.max() - times if rng.random() < 0.5 else times

    def _view(self, rng: np.random.Generator, labels: U8) -> F32:
        """Draw the map from the video's pixels to the clip's: a cut round one of the objects."""
        config = self.config
        height, width = labels.shape
        numbers = np.flatnonzero(np.bincount(labels.ravel(), minlength=2)[1:]) + 1
        ys, xs = np.nonzero(labels == numbers[int(rng.integers(len(numbers)))])
        pick = int(rng.integers(len(ys)))
        wanted = math.sqrt(len(ys)) / math.exp(rng.uniform(*np.log(config.share)))
        side = float(np.clip(wanted, *(np.array(config.zoom) * min(height, width))))
        scale = min(config.size) / side
        middle = np.array([xs[pick], ys[pick]]) + rng.normal(0, 0.15, 2) * side
        # As much of the cut inside the picture as there can be.
        extent = np.array([width, height])
        half = np.minimum(np.array(config.size[::-1]) / scale, extent) / 2
        low, high = half, extent - half
        middle = np.clip(middle, low, high)
        aspect = math.exp(rng.normal(0, 0.06))
        matrix = similarity(scale, float(rng.uniform(-1, 1)) * config.turn,
                            bool(rng.random() < 0.5), (float(middle[0]), float(middle[1])),
                            (0.0, 0.0))
        stretch = np.array([[aspect, 0, config.size[1] / 2], [0, 1 / aspect, config.size[0] / 2]],
                           np.float32)
        return chain(stretch, matrix)


def _cut(labels: U8, matrix: F32, size: tuple[int, int]) -> U8:
    out = cv2.warpAffine(labels, matrix, size[::-1], flags=cv2.INTER_NEAREST,
                         borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(out, np.uint8)


def choose_alike(rng: np.random.Generator, rgb: U8, labels: U8, objects: int, alike: float,
                 least: int | None = None) -> NDArray[np.intp]:
    """Choose up to so many of the objects in a frame, look-alikes together when there are any.

    rgb uint8 [H, W, 3], labels uint8 [H, W]. alike: an object of the very colours of a chosen
    one is chosen 1 + alike times as readily as one of quite other colours.  least: pixels below
    which an object is not chosen; None for one frame in 250.
    """
    areas = np.bincount(labels.ravel(), minlength=2)
    if least is None:
        # Smaller than about one cell of the stride-16 maps, an object teaches little.
        least = max(24, labels.size // 250)
    numbers = np.flatnonzero(areas[1:] >= least) + 1
    if not len(numbers):
        return numbers
    looks = []
    for number in numbers:
        pixels = rgb[labels == number].astype(np.float32)
        looks.append(np.concatenate([pixels.mean(0), pixels.std(0)]))
    features = np.stack(looks)
    weights = np.sqrt(areas[numbers])
    chosen: list[int] = []
    while len(chosen) < min(objects, len(numbers)):
        now = weights.copy()
        if chosen:
            apart = np.abs(features[:, None] - features[chosen]).mean(-1).min(1)
            now *= 1 + alike * np.exp(-((apart / 12) ** 2))
            now[chosen] = 0
        chosen.append(int(rng.choice(len(numbers), p=now / now.sum())))
    return numbers[chosen]
