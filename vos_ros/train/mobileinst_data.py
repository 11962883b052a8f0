# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The material of a MobileInst run in memory, and the torch data sets over it."""

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch.utils.data import Sampler

from vos_ros.data.augment import AugmentConfig
from vos_ros.data.augment import Augmenter
from vos_ros.data.coco import CocoImages
from vos_ros.data.coco import held_out
from vos_ros.data.coco import load_coco
from vos_ros.data.coco import read_names
from vos_ros.data.cutouts import cut_instances
from vos_ros.data.cutouts import Cutout
from vos_ros.data.cutouts import fetch_stamps
from vos_ros.data.cutouts import load_stamps
from vos_ros.data.instances import Clip
from vos_ros.data.instances import MaskedImage
from vos_ros.data.synthetic_video import SyntheticVideo
from vos_ros.data.synthetic_video import VideoConfig
from vos_ros.data.video_clips import VideoClipConfig
from vos_ros.data.video_clips import VideoClips
from vos_ros.data.ytvis import YoutubeVis
from vos_ros.evaluate.davis import find_sequences
from vos_ros.train.matching import Target
from vos_ros.train.mobileinst_config import ConfigError
from vos_ros.train.mobileinst_config import expand
from vos_ros.train.mobileinst_config import ImageData
from vos_ros.train.mobileinst_config import read_part
from vos_ros.train.mobileinst_config import Stage
from vos_ros.train.mobileinst_config import TrainConfig

# Targets travel and rest at a quarter of the input's size: the loss is taken there.
TARGET_STRIDE = 4
# Ids of the second of two unrelated images begin here: no object is in both.
_APART = 1 << 20
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Material:
    """Images with their instances (decoded already, unless preload is off), and cut-outs."""

    images: Sequence[MaskedImage] | CocoImages
    cutouts: tuple[Cutout, ...]


@dataclass(frozen=True)
class Batch:
    """images uint8 [B, H, W, 3], or the trunk's maps of them, and B targets at a quarter size.

    For clips, `later` is the second frame's batch and ids in both tell which object is which.
    """

    images: Tensor | tuple[Tensor, ...]
    targets: list[Target]
    later: 'Batch | None' = None


def select(data: ImageData, classes: Sequence[str], validation: bool) -> CocoImages:
    """Open the training or the validation part of an image set."""
    keep: set[int | str] | None = None
    annotations = expand(data.annotations)
    if data.hold_out or data.only:
        coco = load_coco(annotations)
        entries = coco.dataset['images']
        if data.hold_out:
            entries = [e for e in entries if held_out(e['id'], data.hold_out) == validation]
        if data.only:
            names = set(read_names(expand(data.only), annotations,
                                   {e['file_name'] for e in coco.dataset['images']}))
            entries = [e for e in entries if e['file_name'] in names]
        keep = {int(e['id']) for e in entries}
    return CocoImages(expand(data.images), annotations, classes or None, keep)


def load_material(config: TrainConfig) -> Material:
    """Open what training samples are made of; decode it into memory with config.preload."""
    images: Sequence[MaskedImage] | CocoImages = ()
    if config.train.annotations:
        # Beside annotated video the video's classes are the network's, whatever the images' order.
        classes = class_names(config) if config.video.annotations else config.classes
        images = select(config.train, classes, validation=False)
        if config.preload:
            images = tuple(images)
    cutouts = cut_instances(images) if config.cutouts else []
    if config.stamps:
        cutouts += load_stamps(fetch_stamps(expand(config.stamps)))
    return Material(images, tuple(cutouts))


def class_names(config: TrainConfig) -> tuple[str, ...]:
    """Return the configured classes, or those of the data; ConfigError when they disagree."""
    if config.video.annotations:
        video = YoutubeVis(expand(config.video.frames), expand(config.video.annotations))
        if config.classes and config.classes != video.classes:
            raise ConfigError(f'classes: {config.video.annotations} has others; leave them empty')
        return video.classes
    return config.classes or select(config.train, (), validation=False).classes


def settings(kind: Any, part: str, values: dict[str, Any], **fixed: Any) -> Any:
    """Make a generator's configuration from that part of the run's.

    fixed: what other settings of the run decide. ConfigError naming the key at fault.
    """
    for key in fixed:
        if key in values:
            raise ConfigError(f'{part}.{key}: is decided by other settings of the run')
    try:
        return replace(read_part(kind, values, f'{part}.'), **fixed)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f'{part}: {error}') from error


class ImageSamples(Dataset):
    """Augmented images; sample i depends on the seed and i alone, whoever computes it."""

    def __init__(self, material: Material, config: TrainConfig) -> None:
        """Take the material; nothing is copied."""
        if not len(material.images):
            raise ConfigError('stages: images need train.annotations')
        self.images = material.images
        self.seed = config.seed
        self._order = (-1, np.zeros(0, np.int64))
        self.augmenter = Augmenter(material.cutouts, settings(
            AugmentConfig, 'augment', config.augment, height=config.size[0], width=config.size[1]))

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], Target]:
        """Return an image [H, W, 3] and its target."""
        # Every image comes once in each round through the set, in a new order each round.
        round_, place = divmod(index, len(self.images))
        if self._order[0] != round_:
            drawn = np.random.default_rng([self.seed, 1, round_]).permutation(len(self.images))
            self._order = (round_, drawn)
        rng = np.random.default_rng([self.seed, 2, index])
        sample = self.augmenter.sample(rng, self.images[int(self._order[1][place])])
        return sample.rgb, make_target(sample.masks, sample.classes, void=sample.void)


class ClipSamples(Dataset):
    """Two frames of a clip each, synthetic, from a YouTube-VIS set or from folders with ids."""

    def __init__(self, material: Material, config: TrainConfig, stage: Stage) -> None:
        """Take the material, or open the video set that the configuration names."""
        self.seed = config.seed
        self.gap = stage.gap
        self.size = config.size
        self.source: SyntheticVideo | YoutubeVis
        if config.video.annotations:
            self.source = YoutubeVis(expand(config.video.frames), expand(config.video.annotations))
        else:
            if not isinstance(material.images, tuple):
                raise ConfigError('stages: synthetic clips need preload: true')
            self.source = SyntheticVideo(material.images, material.cutouts, settings(
                VideoConfig, 'synthetic', config.synthetic, height=config.size[0],
                width=config.size[1]))
        self.folders: VideoClips | None = None
        self.share = config.video.share
        if config.video.folders:
            videos = [v for f in config.video.folders for v in find_sequences(expand(f))]
            self.folders = VideoClips(videos, VideoClipConfig(
                config.size, 2, stage.gap, zoom=config.video.zoom))
        self.stills: ImageSamples | None = None
        if stage.stills:
            self.stills = ImageSamples(material, config)
        self.still_share = stage.stills

    def __getitem__(self, index: int) -> tuple[tuple[NDArray[np.uint8], Target], ...]:
        """Return the two frames, each with its target; ids agree between them."""
        rng = np.random.default_rng([self.seed, 3, index])
        gap = int(rng.integers(1, self.gap + 1))
        if self.stills is not None and rng.random() < self.still_share:
            first, (image, target) = self.stills[2 * index], self.stills[2 * index + 1]
            apart = torch.arange(len(target.labels)) + _APART
            return first, (image, target._replace(ids=apart))
        void: NDArray[np.bool_] | None = None
        if self.folders is not None and rng.random() < self.share:
            cut = self.folders.clip(rng, None)
            void = cut.void
            unknown = np.full(int(cut.labels.max()), -1, np.int64)
            clip = Clip(cut.frames, cut.labels.astype(np.uint16), unknown)
        elif isinstance(self.source, SyntheticVideo):
            start = int(rng.integers(0, 30))
            pair = [start, start + gap]
            if rng.random() < 0.5:
                pair.reverse()
            clip = self.source.clip([self.seed, 4, index], pair)
        else:
            clip, void = self._real_clip(self.source, rng)
        return tuple((clip.frames[t], make_target(clip.masks(t), clip.classes, min_area=48,
                                                  void=None if void is None else void[t]))
                     for t in range(2))

    def _real_clip(self, source: YoutubeVis, rng: np.random.Generator,
                   ) -> tuple[Clip, NDArray[np.bool_]]:
        """Return two frames of a video, and where they show crowds, bool [2, H, W]."""
        video = int(rng.integers(len(source)))
        length = source.length(video)
        # Only a video of a single frame is its own pair.
        gap = int(rng.integers(1, min(self.gap, length - 1) + 1)) if length > 1 else 0
        start = int(rng.integers(length - gap))
        pair = [start, start + gap]
        if rng.random() < 0.5:
            pair.reverse()
        clip = source.clip(video, pair)
        height, width = self.size
        h, w = clip.frames.shape[1:3]
        scale = min(height / h, width / w) * float(rng.uniform(0.75, 1.0))
        size = (max(1, round(w * scale)), max(1, round(h * scale)))
        flip = rng.random() < 0.5
        frames = np.empty((2, height, width, 3), np.uint8)
        frames[:] = (124, 116, 104)
        labels = np.zeros((2, height, width), np.uint16)
        void = np.zeros(labels.shape, np.bool_)
        for t in range(2):
            # What an object hides of a crowd is the object's.
            crowd = source.crowd(video, pair[t]) & (clip.labels[t] == 0)
            hidden = cv2.resize(crowd.astype(np.uint8), size,
                                interpolation=cv2.INTER_NEAREST_EXACT) != 0
            image = cv2.resize(clip.frames[t], size, interpolation=cv2.INTER_AREA)
            label = cv2.resize(clip.labels[t], size, interpolation=cv2.INTER_NEAREST_EXACT)
            frames[t, :size[1], :size[0]] = image[:, ::-1] if flip else image
            labels[t, :size[1], :size[0]] = label[:, ::-1] if flip else label
            void[t, :size[1], :size[0]] = hidden[:, ::-1] if flip else hidden
        return Clip(frames, labels, clip.classes), void


class Resumable(Sampler[int]):
    """The indices of one process from an iteration on: no state but the iteration."""

    def __init__(self, first: int, count: int, rank: int, world: int) -> None:
        """Give every world-th index of [first, first + count), beginning at rank."""
        super().__init__()
        self.indices = range(first + rank, first + count, world)

    def __iter__(self) -> Iterator[int]:
        """Go through the indices."""
        return iter(self.indices)

    def __len__(self) -> int:
        """Return their number."""
        return len(self.indices)


def make_target(masks: NDArray[np.uint8], classes: NDArray[np.int64],
                min_area: int = 1, void: NDArray[np.bool_] | None = None) -> Target:
    """Reduce masks uint8 [n, H, W] to a quarter by averaging; objects below min_area go.

    void: bool [H, W], reduced likewise; one without a pixel is none.
    """
    h, w = masks.shape[1] // TARGET_STRIDE, masks.shape[2] // TARGET_STRIDE
    keep = np.flatnonzero(masks.sum((1, 2), dtype=np.int64) >= min_area)
    small = np.empty((len(keep), h, w), np.uint8)
    for row, i in enumerate(keep):
        small[row] = cv2.resize(masks[i] * 255, (w, h), interpolation=cv2.INTER_AREA)
    unlabelled = None
    if void is not None and void.any():
        unlabelled = torch.from_numpy(np.asarray(cv2.resize(
            void.astype(np.uint8) * 255, (w, h), interpolation=cv2.INTER_AREA), np.uint8))
    return Target(torch.from_numpy(np.asarray(classes)[keep].astype(np.int64)),
                  torch.from_numpy(small), torch.from_numpy(keep.astype(np.int64)), unlabelled)


def collate_images(samples: Sequence[tuple[NDArray[np.uint8], Target]]) -> Batch:
    """Stack samples."""
    return Batch(torch.from_numpy(np.stack([s[0] for s in samples])), [s[1] for s in samples])


def collate_clips(samples: Sequence[Any]) -> Batch:
    """Stack the first frames, and the second ones."""
    later = collate_images([s[1] for s in samples])
    return replace(collate_images([s[0] for s in samples]), later=later)


def dequantise(target: Target, device: torch.device) -> Target:
    """Bring a target to the device, masks and void as float32 in 0..1."""
    ids = None if target.ids is None else target.ids.to(device)
    void = None if target.void is None else target.void.to(device).float() / 255
    return Target(target.labels.to(device), target.masks.to(device).float() / 255, ids, void)


def to_network(images: Tensor | tuple[Tensor, ...], device: torch.device) -> Any:
    """Bring images uint8 [B, H, W, 3] RGB to float32 [B, 3, H, W] in ImageNet units.

    Maps that a trunk gave are only moved to the device, and are float32 where nothing casts.
    """
    if isinstance(images, tuple):
        kind = None if torch.is_autocast_enabled(device.type) else torch.float32
        return tuple(m.to(device, kind) for m in images)
    values = images.to(device).float()
    mean, std = values.new_tensor(IMAGENET_MEAN), values.new_tensor(IMAGENET_STD)
    return ((values - mean) / std).permute(0, 3, 1, 2)


def start_worker(_: int) -> None:
    """Keep a loader process to one thread: the network needs the others."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
