# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Batches of clips for XMem training, made by worker processes while the network works."""

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
from vos_ros.data.cutouts import fetch_stamps
from vos_ros.data.cutouts import load_stamps
from vos_ros.data.static_clips import ClipConfig
from vos_ros.data.static_clips import StaticClips
from vos_ros.data.static_clips import Still
from vos_ros.data.video_clips import VideoClipConfig
from vos_ros.data.video_clips import VideoClips
from vos_ros.evaluate.davis import find_sequences
from vos_ros.evaluate.davis import VideoSequence

DATA_SETTINGS = ('coco', 'stamps', 'max_side', 'video', 'video_skip', 'video_zoom', 'video_share')


def load_material(data: Mapping[str, Any]) -> tuple[list[Still], list[Cutout]]:
    """Read photographs and cut-outs named in the `data` part of a training configuration.

    coco: list of {images, annotations}; the fifth of the images that `held_out` keeps for
    validation is never used. stamps: folders that hold Debian's photographic stamps, which are
    fetched there when they are not (`fetch_stamps`). max_side: size of the copies kept in memory.
    Both lists are empty when video_share is 1. Raises DataError or ValueError for what is not
    there.
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
        cutouts.extend(load_stamps(fetch_stamps(_path(folder)), side // 2))
    if not stills and not _only_video(data):
        raise ValueError('the configuration names no training images (data.coco)')
    return stills, cutouts


def load_video(data: Mapping[str, Any], clip: ClipConfig) -> VideoClips | None:
    """Open the videos named in the `data` part of a training configuration; None without any.

    video: list of folders in the layout of DAVIS, or of mappings with `root` and, if only a
    part is wanted, `image_set` (a list in ImageSets) or `names`. video_skip: greatest distance of
    two frames of a clip. video_zoom: range of the cut's short side, as a share of the video's.
    Raises FileNotFoundError or ValueError naming what is not there.
    """
    sequences: list[VideoSequence] = []
    for source in data.get('video') or ():
        if isinstance(source, str):
            source = {'root': source}
        sequences += find_sequences(_path(source['root']), source.get('names'),
                                    source.get('image_set'))
    if not sequences:
        return None
    return VideoClips(sequences, VideoClipConfig(
        (clip.size, clip.size), clip.frames, int(data.get('video_skip', 5)),
        tuple(data.get('video_zoom', VideoClipConfig.zoom)), clip.share,
        returns=clip.returns))


def _only_video(data: Mapping[str, Any]) -> bool:
    return bool(data.get('video')) and float(data.get('video_share', 0.6)) == 1


class ClipBatches(IterableDataset):
    """An endless stream of batches: frames uint8 [B, T, S, S, 3], labels uint8 [B, T, S, S], K."""

    def __init__(
        self, clips: StaticClips | None, batch: int, objects: tuple[float, ...], seed: int,
        skip: int = 0, video: VideoClips | None = None, share: float = 0.0,
    ) -> None:
        """Choose the stream.

        clips, video: where clips come from; each one from video with probability `share`.
        objects: relative frequency of batches with up to 1, 2, 3, … objects per clip.
        seed, skip: batch number i depends on (seed, i) alone, so a run that is resumed after
        `skip` batches sees what it would have seen.
        Raises ValueError for a share outside 0..1, or one that needs what is not there.
        """
        super().__init__()
        if not 0 <= share <= 1 or (share > 0 and video is None) or (share < 1 and clips is None):
            raise ValueError(f'data.video_share {share} is not in 0..1, or names a source that '
                             'is not configured (data.coco, data.video)')
        self.video = video
        self.share = share
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
            clips = [self._draw(rng).clip(rng, objects) for _ in range(self.batch)]
            frames = torch.from_numpy(np.stack([c.frames for c in clips]))
            labels = torch.from_numpy(np.stack([c.labels for c in clips]))
            yield frames, labels, max(1, int(labels[:, 0].max()))
            number += step

    def _draw(self, rng: np.random.Generator) -> StaticClips | VideoClips:
        # Without video nothing is drawn, so that such a run's clips are what they always were.
        if self.video is not None and (self.clips is None or rng.random() < self.share):
            return self.video
        assert self.clips is not None  # noqa: S101  (checked by the constructor)
        return self.clips


def clip_loader(
    data: Mapping[str, Any], clip: ClipConfig, batch: int, objects: tuple[float, ...], seed: int,
    skip: int, workers: int,
) -> DataLoader:
    """Make the loader of one training process from the `data` part of its configuration."""
    material, video = load_material(data), load_video(data, clip)
    still = StaticClips(*material, clip) if material[0] else None
    share = float(data.get('video_share', 0.6)) if video else 0.0
    stream = ClipBatches(still, batch, objects, seed, skip, video, share)
    return DataLoader(stream, batch_size=None, num_workers=workers,
                      prefetch_factor=4 if workers else None)


def _path(text: str) -> Path:
    """Fill in ~ and environment variables, which may have a default: ${NAME:-default}."""
    if text.startswith('${') and ':-' in text and '}' in text:
        head, tail = text[2:].split('}', 1)
        name, default = head.split(':-', 1)
        text = os.environ.get(name, default) + tail
    return Path(os.path.expandvars(text)).expanduser()
