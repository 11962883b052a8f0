# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Batches of static clips for XMem training, made by worker processes while the network works."""

from collections.abc import Iterator
from collections.abc import Mapping
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import get_worker_info
from torch.utils.data import IterableDataset

from vos_ros.data.coco import CocoImages
from vos_ros.data.coco import held_out
from vos_ros.data.cutouts import cut_instances
from vos_ros.data.cutouts import Cutout
from vos_ros.data.cutouts import load_stamps
from vos_ros.data.static_clips import ClipConfig
from vos_ros.data.static_clips import StaticClips
from vos_ros.data.static_clips import Still


def load_material(data: Mapping[str, Any]) -> tuple[list[Still], list[Cutout]]:
    """Read photographs and cut-outs named in the `data` part of a training configuration.

    coco: list of {images, annotations}; the fifth of the images that `held_out` keeps for
    validation is never used. stamps: folders of photographic stamps. max_side: size of the
    copies kept in memory. Raises DataError or ValueError for what is not there.
    """
    stills: list[Still] = []
    cutouts: list[Cutout] = []
    side = int(data.get('max_side', 448))
    for source in data.get('coco') or ():
        images = CocoImages(_path(source['images']), _path(source['annotations']))
        images.images = [i for i in images.images if not held_out(i['id'])]
        for image in images:
            stills.append(Still.from_masked(image, side))
            cutouts.extend(cut_instances([image], max_side=side // 2))
    for folder in data.get('stamps') or ():
        cutouts.extend(load_stamps(_path(folder), side // 2))
    if not stills:
        raise ValueError('the configuration names no training images (data.coco)')
    return stills, cutouts


class ClipBatches(IterableDataset):
    """An endless stream of batches: frames uint8 [B, T, S, S, 3], labels uint8 [B, T, S, S], K."""

    def __init__(
        self, clips: StaticClips, batch: int, objects: tuple[float, ...], seed: int,
        skip: int = 0,
    ) -> None:
        """Choose the stream.

        objects: relative frequency of batches with up to 1, 2, 3, … objects per clip.
        seed, skip: batch number i depends on (seed, i) alone, so a run that is resumed after
        `skip` batches sees what it would have seen.
        """
        super().__init__()
        self.clips = clips
        self.batch = batch
        self.objects = np.asarray(objects, np.float64) / float(sum(objects))
        self.seed = seed
        self.skip = skip

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Make batches; each of n workers makes every n-th one."""
        info = get_worker_info()
        number, step = (info.id, info.num_workers) if info else (0, 1)
        if info:
            cv2.setNumThreads(0)
        number += self.skip
        while True:
            rng = np.random.default_rng((self.seed, number))
            objects = int(rng.choice(len(self.objects), p=self.objects)) + 1
            clips = [self.clips.clip(rng, objects) for _ in range(self.batch)]
            frames = torch.from_numpy(np.stack([c.frames for c in clips]))
            labels = torch.from_numpy(np.stack([c.labels for c in clips]))
            yield frames, labels, max(1, int(labels[:, 0].max()))
            number += step


def clip_loader(
    material: tuple[list[Still], list[Cutout]], clip: ClipConfig, batch: int,
    objects: tuple[float, ...], seed: int, skip: int, workers: int,
) -> DataLoader:
    """Make the loader of one training process."""
    stream = ClipBatches(StaticClips(*material, clip), batch, objects, seed, skip)
    return DataLoader(stream, batch_size=None, num_workers=workers,
                      prefetch_factor=4 if workers else None)


def _path(text: str) -> Path:
    """Fill in ~ and environment variables, which may have a default: ${NAME:-default}."""
    if text.startswith('${') and ':-' in text and '}' in text:
        head, tail = text[2:].split('}', 1)
        name, default = head.split(':-', 1)
        text = os.environ.get(name, default) + tail
    return Path(os.path.expandvars(text)).expanduser()
