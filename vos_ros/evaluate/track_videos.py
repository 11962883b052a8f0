# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Videos with known ids for `vos-ros evaluate tracks`: rendered here, or read from disk."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from vos_ros.evaluate.davis import find_sequences
from vos_ros.evaluate.davis import VOID

# Of --quick: videos that are rendered, and frames of any.
_FEW, _SHORT = 2, 12


class Frame(NamedTuple):
    """image: uint8 [H, W, 3] RGB.  truth: true ids, uint16 [H, W]; None where nobody annotated.

    void: bool [H, W], where objects may be that are not labelled; None: nowhere.
    crowds: what of it is known to be of a class, an index into the network's; None: nobody knows.
    """

    image: NDArray[np.uint8]
    truth: NDArray[np.uint16] | None
    void: NDArray[np.bool_] | None = None
    crowds: Mapping[int, NDArray[np.bool_]] | None = None


class Video(NamedTuple):
    """classes: the class of each true id as an index into the network's; None: not known."""

    name: str
    frames: Iterator[Frame]
    classes: Mapping[int, int] | None = None


def synthetic(images: Path, annotations: Path, hold_out: int, clips: int, length: int,
              quick: bool = False) -> Iterator[Video]:
    """Make clips from held-out images of a COCO-style set; DataError where it cannot be read.

    hold_out: see `held_out`; 0 uses all images.
    """
    # Imported here: label maps on disk need none of it.
    from vos_ros.data.coco import CocoImages
    from vos_ros.data.coco import held_out
    from vos_ros.data.coco import load_coco
    from vos_ros.data.cutouts import cut_instances
    from vos_ros.data.instances import SUPERCATEGORIES
    from vos_ros.data.synthetic_video import SyntheticVideo
    from vos_ros.data.synthetic_video import VideoConfig
    keep: set[int | str] | None = None
    if hold_out > 0:
        entries = load_coco(annotations).dataset['images']
        keep = {e['id'] for e in entries if held_out(e['id'], hold_out)}
    pictures = list(CocoImages(images, annotations, SUPERCATEGORIES, keep))
    video = SyntheticVideo(pictures, cut_instances(pictures), VideoConfig(height=384, width=640))
    clips, length = (_FEW, _SHORT) if quick else (clips, length)
    for seed in tqdm(range(clips), unit='clip', disable=None):
        scene = video.scene(seed)
        yield Video(f'synthetic {seed}', (Frame(*scene.frame(t)) for t in range(length)))


def labelled(folder: Path, only: Sequence[str] | None, quick: bool = False) -> Iterator[Video]:
    """Read sequences with label maps in the layout of DAVIS; ValueError where there is none."""
    for sequence in find_sequences(folder, only):
        length = min(_SHORT, len(sequence.frames)) if quick else len(sequence.frames)

        def frames(sequence=sequence, length=length):
            for index in range(length):
                labels, image = sequence.labels(index, void=True), sequence.image(index)
                if labels is None:
                    yield Frame(image, None)
                else:
                    void = labels == VOID
                    yield Frame(image, np.where(void, 0, labels).astype(np.uint16), void)
        yield Video(sequence.name, frames())


def is_youtube_vis(annotations: Path) -> bool:
    """Say whether a JSON file describes videos rather than images; OSError if it is not there."""
    return '"videos"' in annotations.read_text(encoding='utf-8')


def youtube_vis(images: Path, annotations: Path, classes: Sequence[str],
                only: Sequence[str] | None = None, quick: bool = False) -> Iterator[Video]:
    """Read the videos of a YouTube-VIS file; DataError where it or a frame cannot be read.

    classes: the network's. Unless it has every category of the file, none of a track is told.
    only: names of videos, the folders that their frames lie in; ValueError for one not there.
    """
    from vos_ros.data.ytvis import YoutubeVis
    data = YoutubeVis(images, annotations)
    names = [Path(video['file_names'][0]).parent.name or str(video['id'])
             for video in data.videos]
    missing = [name for name in only or () if name not in names]
    if missing:
        raise ValueError(f'{annotations}: no video {", ".join(missing)}; '
                         f'there are: {", ".join(names)}')
    known = {name: index for index, name in enumerate(classes)}
    tell = set(data.classes) <= known.keys()
    for index, name in enumerate(names):
        if only and name not in only:
            continue
        length = min(_SHORT, data.length(index)) if quick else data.length(index)

        def frames(index=index, length=length):
            for number in range(length):
                clip = data.clip(index, [number])
                # What an object hides of a crowd is the object's.
                free = clip.labels[0] == 0
                crowds = {kind: crowd & free
                          for kind, crowd in data.crowds(index, number).items()}
                void = np.any([np.zeros_like(free), *crowds.values()], axis=0)
                yield Frame(clip.frames[0], clip.labels[0], void, {
                    known[data.classes[kind]]: crowd
                    for kind, crowd in crowds.items()} if tell else None)
        yield Video(name, frames(), {
            row + 1: known[data.classes[kind]]
            for row, kind in enumerate(data.track_classes(index))} if tell else None)
