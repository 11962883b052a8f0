# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Read video object segmentation data in the folder layouts of DAVIS and its relatives."""

from collections.abc import Sequence as Many
from dataclasses import dataclass
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

VOID = 255

_PICTURES = ('.jpg', '.jpeg', '.png')


@dataclass(frozen=True)
class VideoSequence:
    """A video with masks on some of its frames.

    frames: picture files in order. annotations: for each frame its mask file, or None.
    """

    name: str
    frames: tuple[Path, ...]
    annotations: tuple[Path | None, ...]

    def image(self, index: int) -> NDArray[np.uint8]:
        """Read a frame: uint8 [H, W, 3] RGB."""
        data = cv2.imread(str(self.frames[index]), cv2.IMREAD_COLOR)
        if data is None:
            raise ValueError(f'{self.frames[index]}: not a readable picture')
        return cv2.cvtColor(data, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)

    def labels(self, index: int, void: bool = False) -> NDArray[np.uint8] | None:
        """Read a frame's label map: uint8 [H, W], 0 = background; None without annotation.

        void: see `read_labels`.
        """
        path = self.annotations[index]
        return None if path is None else read_labels(path, void)


def read_labels(path: str | os.PathLike[str], void: bool = False) -> NDArray[np.uint8]:
    """Read a mask PNG as object numbers: uint8 [H, W], 0 = background.

    A palette or grey PNG holds the numbers themselves. A grey mask that holds only 0 and 255 is a
    single object (DAVIS 2016) and becomes 0 and 1; otherwise 255 is void (DAVIS 2017) and
    becomes background, as the semi-supervised protocol has it. With `void` it stays VOID: there
    is an object that is not labelled. Raises ValueError naming the file for other kinds of
    picture and for numbers above 255.
    """
    try:
        with Image.open(path) as picture:
            mode, array = picture.mode, np.array(picture)
    except OSError as error:
        raise ValueError(f'{path}: not a readable mask: {error}') from error
    if mode in ('RGB', 'RGBA') and (array[..., :1] == array[..., :3]).all():
        array = array[..., 0]           # a few DAVIS 2016 masks are grey pictures stored as RGB
    if array.ndim != 2:
        raise ValueError(f'{path}: a mask must be a palette or grey PNG, not {mode}')
    if array.max(initial=0) > 255:
        raise ValueError(f'{path}: holds object number {int(array.max())}, above 255')
    labels = array.astype(np.uint8)
    # A palette mask may show void and nothing else: all objects have left.
    if mode != 'P' and labels.any() and np.isin(labels, (0, VOID)).all():
        return (labels == VOID).astype(np.uint8)
    if void:
        return labels
    return np.where(labels == VOID, 0, labels).astype(np.uint8)


def find_sequences(
    root: str | os.PathLike[str], names: Many[str] | None = None, image_set: str | None = None
) -> list[VideoSequence]:
    """List the sequences under a folder.

    Known layouts: JPEGImages[/480p]/SEQ with Annotations[/480p]/SEQ (DAVIS, YouTube-VOS), and
    SEQ/JPEGImages with SEQ/Annotations (PUMaVOS); `root` may also be one such SEQ folder.
    names: keep only these. image_set: keep those listed in ImageSets/<image_set>.txt, for
    example 2017/val. Raises FileNotFoundError for a folder of another layout, ValueError for a
    name that is not there or a sequence without any annotation.
    """
    folder = Path(root)
    pairs: dict[str, tuple[Path, Path]] = {}
    if (folder / 'JPEGImages').is_dir() and (folder / 'Annotations').is_dir():
        images, masks = folder / 'JPEGImages', folder / 'Annotations'
        if _has_pictures(images):
            pairs[folder.resolve().name] = (images, masks)
        else:
            if (images / '480p').is_dir() and (masks / '480p').is_dir():
                images, masks = images / '480p', masks / '480p'
            pairs = {p.name: (p, masks / p.name) for p in sorted(images.iterdir()) if p.is_dir()}
    elif folder.is_dir():
        pairs = {p.name: (p / 'JPEGImages', p / 'Annotations') for p in sorted(folder.iterdir())
                 if (p / 'JPEGImages').is_dir() and (p / 'Annotations').is_dir()}
    if not pairs:
        raise FileNotFoundError(
            f'{folder}: found neither JPEGImages[/480p]/SEQ with Annotations[/480p]/SEQ nor '
            'SEQ/JPEGImages with SEQ/Annotations')
    wanted = list(names) if names else None
    if image_set is not None:
        listing = folder / 'ImageSets' / f'{image_set}.txt'
        if not listing.is_file():
            raise FileNotFoundError(f'{listing}: no such list of sequences')
        listed = listing.read_text(encoding='utf-8').split()
        wanted = [n for n in listed if wanted is None or n in wanted]
    if wanted is not None:
        missing = [n for n in wanted if n not in pairs]
        if missing:
            raise ValueError(f'{folder}: no sequence {", ".join(missing)}; '
                             f'there are: {", ".join(pairs)}')
        pairs = {n: pairs[n] for n in wanted}
    return [_sequence(name, *pair) for name, pair in pairs.items()]


def _sequence(name: str, images: Path, masks: Path) -> VideoSequence:
    frames = tuple(sorted(p for p in images.iterdir() if p.suffix.lower() in _PICTURES))
    known = {p.stem: p for p in masks.iterdir() if p.suffix.lower() == '.png'} \
        if masks.is_dir() else {}
    annotations = tuple(known.get(p.stem) for p in frames)
    if not any(annotations):
        raise ValueError(f'{masks}: no mask belongs to a frame of {images}')
    return VideoSequence(name, frames, annotations)


def _has_pictures(folder: Path) -> bool:
    return any(p.suffix.lower() in _PICTURES for p in folder.iterdir())
