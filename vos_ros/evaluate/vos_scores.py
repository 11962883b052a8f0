# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Semi-supervised protocol: run a tracker over a sequence and score it object by object."""

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import math
import time
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vos_ros.evaluate.davis import VideoSequence
from vos_ros.evaluate.davis_metrics import boundary_accuracy
from vos_ros.evaluate.davis_metrics import region_similarity
from vos_ros.evaluate.figures import mean
from vos_ros.tracking.designation import to_size

Labels = NDArray[np.integer]


class VosTracker(Protocol):
    """What is evaluated: frames in, label maps out."""

    def step(self, image: NDArray[np.uint8], labels: Labels | None) -> Labels:
        """Take an RGB frame [H, W, 3], and the label map of objects that begin here or None.

        Returns the label map [H, W] of this frame under the numbers given so far.
        """
        ...


@dataclass(frozen=True)
class ObjectScore:
    """Scores of one object of one sequence: mean J and F over `frames` frames (NaN with none).

    tenths: J over the first and over the last tenth of those frames, as DAVIS counts it: where
        an object is out of view and nothing is predicted, J is 1.
    seen, seen_tenths: the same, J only, over the frames in which there is something of it to see.
    """

    sequence: str
    object: int
    J: float
    F: float
    frames: int
    tenths: tuple[float, float] = (math.nan, math.nan)
    seen: float = math.nan
    seen_tenths: tuple[float, float] = (math.nan, math.nan)


@dataclass(frozen=True)
class SequenceScore:
    """Scores of a sequence; `seconds` is the time spent in the tracker for `frames` frames."""

    name: str
    objects: tuple[ObjectScore, ...]
    frames: int
    seconds: float


Watcher = Callable[[int, NDArray[np.uint8], Labels], None]


@contextmanager
def naming(sequence: str) -> Iterator[None]:
    """Put a sequence's name before the message of a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f'{sequence}: {error}') from error


def first_appearances(sequence: VideoSequence) -> dict[int, int]:
    """Give for every object the first frame in which its mask is annotated."""
    first: dict[int, int] = {}
    for index in range(len(sequence.frames)):
        labels = sequence.labels(index)
        if labels is not None:
            for number in np.unique(labels):
                if number:
                    first.setdefault(int(number), index)
    return first


def follow(
    sequence: VideoSequence, tracker: VosTracker, first: dict[int, int], frames: int | None = None
) -> Iterator[tuple[int, NDArray[np.uint8], Labels, float]]:
    """Yield (index, frame, predicted labels, seconds) from the first annotated object on.

    The tracker is shown an object's true mask on the frame where it first appears, never again.
    """
    start = min(first.values())
    stop = len(sequence.frames) if frames is None else min(len(sequence.frames), start + frames)
    for index in range(start, stop):
        image = sequence.image(index)
        new = [number for number, frame in first.items() if frame == index]
        labels = None
        truth = sequence.labels(index) if new else None
        if truth is not None:
            labels = _given(truth, new, image.shape[:2])
        begin = time.perf_counter()
        predicted = tracker.step(image, labels)
        yield index, image, predicted, time.perf_counter() - begin


def score_sequence(
    sequence: VideoSequence, tracker: VosTracker, frames: int | None = None,
    watch: Watcher | None = None,
) -> SequenceScore:
    """Follow a sequence's objects and score them by the DAVIS definitions.

    As in the semi-supervised DAVIS evaluation (2016 and 2017) the frame whose mask was given and
    the sequence's last frame do not count; for an object that appears late, no frame up to and
    including its first one counts (as in YouTube-VOS; without late objects this is DAVIS). Frames
    without annotation are tracked but not scored.
    frames: stop after so many frames. watch: called with (index, frame, prediction).
    Raises ValueError naming the sequence when no object is annotated, a file cannot be read, the
    tracker refuses a mask or the prediction has another size.
    """
    with naming(sequence.name):
        return _score(sequence, tracker, frames, watch)


def _score(sequence: VideoSequence, tracker: VosTracker, frames: int | None,
           watch: Watcher | None) -> SequenceScore:
    first = first_appearances(sequence)
    if not first:
        raise ValueError('no object in any annotation')
    scores: dict[int, list[tuple[float, float, bool]]] = {number: [] for number in first}
    last = len(sequence.frames) - 1
    seconds, count = 0.0, 0
    for index, image, predicted, spent in follow(sequence, tracker, first, frames):
        seconds, count = seconds + spent, count + 1
        if predicted.shape != image.shape[:2]:
            raise ValueError(f'prediction {predicted.shape} for a frame {image.shape[:2]}')
        if watch is not None:
            watch(index, image, predicted)
        truth = sequence.labels(index)
        if truth is None or index == last:
            continue
        predicted = _fit(predicted, truth.shape)
        for number, begin in first.items():
            if index > begin:
                own, true = predicted == number, truth == number
                scores[number].append((region_similarity(own, true),
                                       boundary_accuracy(own, true), bool(true.any())))
    objects = []
    for number in sorted(scores):
        j = [score[0] for score in scores[number]]
        seen = [score[0] for score in scores[number] if score[2]]
        objects.append(ObjectScore(
            sequence.name, number, mean(j), mean(score[1] for score in scores[number]),
            len(j), _tenths(j), mean(seen), _tenths(seen)))
    return SequenceScore(sequence.name, tuple(objects), count, seconds)


def _tenths(values: list[float]) -> tuple[float, float]:
    part = max(1, len(values) // 10)
    return mean(values[:part]), mean(values[-part:])


def summary(scores: list[SequenceScore]) -> dict[str, float | int]:
    """Average over objects: J, F, J&F (0..1), fps and the numbers of what was measured.

    J_first_tenth, J_last_tenth and J_tenths_ratio (last over first) tell whether long videos hold
    out to the end; with J_seen before them, over the frames in which an object is in view.
    Every object counts the same, as in DAVIS 2017; NaN stands for what none of them has, such as
    J_seen where all are out of view after the first frame. Raises ValueError when nothing was
    scored.
    """
    objects = [o for s in scores for o in s.objects if o.frames]
    if not objects:
        raise ValueError('no frame was scored: the sequences are too short or not annotated')
    j, f = mean(o.J for o in objects), mean(o.F for o in objects)
    frames, seconds = sum(s.frames for s in scores), sum(s.seconds for s in scores)
    return {
        'J': j, 'F': f, 'J&F': (j + f) / 2, **_over_time('J', [o.tenths for o in objects]),
        'J_seen': mean(o.seen for o in objects),
        **_over_time('J_seen', [o.seen_tenths for o in objects]),
        'fps': frames / seconds if seconds else 0.0, 'sequences': len(scores),
        'objects': len(objects), 'frames': frames,
        'scored_frames': sum(o.frames for o in objects),
    }


def _over_time(name: str, tenths: list[tuple[float, float]]) -> dict[str, float]:
    first, last = mean(first for first, _ in tenths), mean(last for _, last in tenths)
    return {f'{name}_first_tenth': first, f'{name}_last_tenth': last,
            f'{name}_tenths_ratio': last / first if first else math.nan}


def _given(truth: Labels, new: list[int], size: tuple[int, ...]) -> Labels:
    """Return the masks of new objects as a label map (H, W); thin ones do not vanish."""
    labels = np.where(np.isin(truth, new), truth, 0)
    if truth.shape == tuple(size):
        return labels
    fitted = np.zeros(size, labels.dtype)
    # Where two of them meet in a pixel, the smaller one has it.
    for number in sorted(new, key=lambda n: -np.count_nonzero(truth == n)):
        fitted[to_size(truth == number, (size[0], size[1])) > 0] = number
    return fitted


def _fit(labels: Labels, size: tuple[int, ...]) -> Labels:
    """Bring a label map to (H, W) by nearest neighbour when mask and frame differ in size."""
    if labels.shape == tuple(size):
        return labels
    kind = labels.astype(np.uint16)
    fitted = cv2.resize(kind, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(fitted, np.uint16)
