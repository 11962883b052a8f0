# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Read video object segmentation data in the folder layouts of DAVIS and its relatives."""

from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from functools import cached_property
import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vos_ros.runtime.reading import read_picture
from vos_ros.tracking.folder import IMAGE_SUFFIXES
from vos_ros.tracking.folder import pictures_in

VOID = 255

# Masks of a sequence that are looked at, at most, to tell what 255 means in it: all of DAVIS's.
_LOOK = 104


@dataclass(frozen=True)
class VideoSequence:
    """A video with masks on some of its frames.

    frames: picture files in order. annotations: for each frame its mask file, or None.
    """

    name: str
    frames: tuple[Path, ...]
    annotations: tuple[Path | None, ...]

    def image(self, index: int) -> NDArray[np.uint8]:
        """Read a frame: uint8 [H, W, 3] RGB; ValueError naming one that cannot be read whole."""
        data = read_picture(self.frames[index])
        return cv2.cvtColor(data, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)

    def labels(self, index: int, void: bool = False) -> NDArray[np.uint8] | None:
        """Read a frame's label map: uint8 [H, W], 0 = background; None without annotation.

        void: see `read_labels`. What 255 means is the same in all grey masks of a sequence.
        """
        path = self.annotations[index]
        return None if path is None else read_labels(path, void, lambda: self._numbered)

    @cached_property
    def _numbered(self) -> bool:
        """Whether masks hold numbers besides 0 and 255; of many masks, some all over are read."""
        paths = [path for path in self.annotations if path is not None]
        chosen = np.linspace(0, len(paths) - 1, min(len(paths), _LOOK)).astype(int)
        return any(not np.isin(_read(paths[i])[0], (0, VOID)).all() for i in chosen)


def read_labels(path: str | os.PathLike[str], void: bool = False,
                numbered: Callable[[], bool] = lambda: False) -> NDArray[np.uint8]:
    """Read a mask PNG as object numbers: uint8 [H, W], 0 = background.

    A palette or grey PNG holds the numbers themselves. A grey mask that holds only 0 and 255 is a
    single object (DAVIS 2016) and becomes 0 and 1; otherwise 255 is void (DAVIS 2017) and
    becomes background, as the semi-supervised protocol has it. With `void` it stays VOID: there
    is an object that is not labelled.
    numbered: says whether the masks that belong with this one hold other numbers, so that 255 is
        void in it, too; asked only when it matters.
    Raises ValueError naming the file for other kinds of picture and for numbers above 255.
    """
    labels, mode = _read(path)
    # A mask may show void and nothing else: all objects have left.
    if mode != 'P' and labels.any() and np.isin(labels, (0, VOID)).all() and not numbered():
        return (labels == VOID).astype(np.uint8)
    if void:
        return labels
    return np.where(labels == VOID, 0, labels).astype(np.uint8)


def _read(path: str | os.PathLike[str]) -> tuple[NDArray[np.uint8], str]:
    """Return the numbers that a mask holds, uint8 [H, W], and the mode of the picture."""
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
    return array.astype(np.uint8), mode


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
        unlisted = [n for n in wanted or () if n not in listed]
        if unlisted:
            raise ValueError(f'{listing}: does not list {", ".join(unlisted)}')
        wanted = [n for n in listed if wanted is None or n in wanted]
    if wanted is not None:
        missing = [n for n in wanted if n not in pairs]
        if missing:
            raise ValueError(f'{folder}: no sequence {", ".join(missing)}; '
                             f'there are: {", ".join(pairs)}')
        pairs = {n: pairs[n] for n in wanted}
    return [_sequence(name, *pair) for name, pair in pairs.items()]


def _sequence(name: str, images: Path, masks: Path) -> VideoSequence:
    frames = tuple(pictures_in(images))
    known = {p.stem: p for p in masks.iterdir() if p.suffix.lower() == '.png'} \
        if masks.is_dir() else {}
    annotations = tuple(known.get(p.stem) for p in frames)
    if not any(annotations):
        raise ValueError(f'{masks}: no mask belongs to a frame of {images}')
    return VideoSequence(name, frames, annotations)


def _has_pictures(folder: Path) -> bool:
    return any(p.suffix.lower() in IMAGE_SUFFIXES for p in folder.iterdir())
