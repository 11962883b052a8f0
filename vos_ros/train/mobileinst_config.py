# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The configuration file of `vos-ros train mobileinst`."""

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from dataclasses import is_dataclass
import math
import os
from pathlib import Path
import typing
from typing import Any

import yaml

from vos_ros.data.instances import SUPERCATEGORIES


class ConfigError(ValueError):
    """A setting that does not exist or cannot work; the message names it."""


@dataclass(frozen=True)
class ImageData:
    """A COCO-style set.

    images, annotations: folder and JSON file; a leading $NAME is taken from the environment.
    hold_out: with n > 0, images whose crc32(id) % n is 0 are kept for validation.
    only: a text file of file names; other images are not used.
    """

    images: str = ''
    annotations: str = ''
    hold_out: int = 0
    only: str = ''


@dataclass(frozen=True)
class VideoData:
    """Video for the clip stages; empty: clips are synthetic, from the image data.

    frames, annotations: a YouTube-VIS-style set.
    folders: sets in the layout of DAVIS, real or simulated, in which every object has an id. Their
        objects are of unknown class: they train masks, objectness and query passing.
    share: how many of the clips come from the folders, when there are any.
    zoom: range of the short side of what is cut out of their frames, as a share of the frames'.
    """

    frames: str = ''
    annotations: str = ''
    folders: tuple[str, ...] = ()
    share: float = 0.5
    zoom: tuple[float, float] = (0.45, 1.1)


@dataclass(frozen=True)
class Stage:
    """A stretch of the training.

    kind: 'images', or 'clips' (two frames each, trained with query passing).
    iterations: of the optimiser.  batch: images, or clips, for each process.
    gap: the two frames of a clip are 1..gap frames apart.
    passing: query passing on clips; false trains the two frames alone.
    cache: with n > 0 the trunk rests in this stage and n samples are kept as its maps; with
        freeze.blocks 11 or more, but less than all 16, only its first 11 blocks.
    stills: share of the clips that are two unrelated augmented images instead.
    """

    kind: str = 'images'
    iterations: int = 1000
    batch: int = 8
    gap: int = 8
    passing: bool = True
    cache: int = 0
    stills: float = 0.0


@dataclass(frozen=True)
class Optimiser:
    """AdamW with a warm-up and a cosine to `floor` of the rate over all stages.

    backbone: factor on the rate of the pretrained layers, see `Freeze`.
    clip: largest gradient norm.
    """

    rate: float = 2e-4
    backbone: float = 0.25
    weight_decay: float = 0.05
    warmup: int = 200
    floor: float = 0.02
    clip: float = 5.0
    ema: float = 0.998


@dataclass(frozen=True)
class Freeze:
    """What of the pretrained backbone stays as it is, or what alone does not.

    EfficientNet-Lite0's trunk comes with ImageNet weights; another backbone is pretrained when
    `weights` fills it, and trained whole otherwise.

    blocks: the stem and so many first blocks (-1: not even the stem); EfficientNet-Lite0 only.
    norms: the running statistics and affine of its batch norms.
    depthwise: its depthwise filters; on a CPU their gradients are most of a step's time.
    only: if given, nothing is trained but these parts, by the beginnings of their names; all norms
        rest.
    """

    blocks: int = -1
    norms: bool = True
    depthwise: bool = False
    only: tuple[str, ...] = ()


# The least value of what is a number without other bounds.
_LEAST = {
    'seed': 0, 'auxiliary': 0, 'mask_repeats': 1, 'evaluate_every': 0, 'evaluate_images': 0,
    'checkpoint_minutes': 0, 'workers': 0, 'threads': 0, 'train.hold_out': 0,
    'validate.hold_out': 0, 'optimiser.backbone': 0, 'optimiser.weight_decay': 0,
    'optimiser.warmup': 0, 'optimiser.floor': 0, 'freeze.blocks': -1}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a run depends on.

    classes: names; a COCO category is matched by its name or its supercategory. Empty: the
        annotation file's own.
    weights: a checkpoint or safetensors file to start from.
    take: only these parts of it (beginnings of names, mask_decoder for example); empty: all.
    preload: decode all training images once and keep them (0.9 MB each at 640 x 480).
    cutouts: paste instances of the training images; needs preload.
    stamps: folder into which the stamps package is unpacked; empty: no stamps.
    augment, synthetic: settings of AugmentConfig and VideoConfig.
    loss: settings of LossWeights.  auxiliary: weight of the dense head.
    assignment: 'one', the paper's one-to-one matching, or 'many', see `one_to_many`, for which
        the network's queries must lie on a grid.
    mask_repeats: so many queries learn the mask of each object; 1: the matched one alone.
    spread_queries: start with queries that look at places of their own.
    threads: of torch; 0 leaves its choice.
    """

    name: str = 'mobileinst'
    seed: int = 1
    size: tuple[int, int] = (320, 448)
    classes: tuple[str, ...] = SUPERCATEGORIES
    network: dict[str, Any] = field(default_factory=dict)
    weights: str = ''
    take: tuple[str, ...] = ()
    train: ImageData = field(default_factory=ImageData)
    validate: ImageData = field(default_factory=ImageData)
    video: VideoData = field(default_factory=VideoData)
    preload: bool = True
    cutouts: bool = True
    stamps: str = ''
    augment: dict[str, Any] = field(default_factory=dict)
    synthetic: dict[str, Any] = field(default_factory=dict)
    stages: tuple[Stage, ...] = (Stage(),)
    optimiser: Optimiser = field(default_factory=Optimiser)
    freeze: Freeze = field(default_factory=Freeze)
    loss: dict[str, float] = field(default_factory=dict)
    auxiliary: float = 0.0
    assignment: str = 'one'
    mask_repeats: int = 1
    spread_queries: bool = True
    evaluate_every: int = 500
    evaluate_images: int = 0
    checkpoint_minutes: float = 5.0
    workers: int = 1
    threads: int = 0

    def __post_init__(self) -> None:
        """Check what the types do not."""
        for name, low in _LEAST.items():
            holder, _, key = name.rpartition('.')
            value = getattr(getattr(self, holder) if holder else self, key)
            # A number that is none compares false.
            if not low <= value < math.inf:
                raise ConfigError(f'{name} {value} is not {low} or more')
        for name in ('rate', 'clip'):
            if not 0 < getattr(self.optimiser, name) < math.inf:
                raise ConfigError(f'optimiser.{name} {getattr(self.optimiser, name)} is not '
                                  'above 0')
        if min(self.size) < 64 or any(s % 64 for s in self.size):
            raise ConfigError(f'size {list(self.size)}: both must be multiples of 64')
        if self.cutouts and not self.preload:
            raise ConfigError('cutouts: true needs preload: true')
        if not self.train.annotations and not self.video.annotations:
            raise ConfigError('train.annotations or video.annotations must name a file')
        if not self.stages:
            raise ConfigError('stages: at least one is needed')
        for stage in self.stages:
            if stage.kind not in ('images', 'clips'):
                raise ConfigError(f'stages: kind {stage.kind!r} is neither images nor clips')
            if stage.iterations < 1 or stage.batch < 1 or stage.gap < 1:
                raise ConfigError('stages: iterations, batch and gap must be at least 1')
            if stage.cache < 0:
                raise ConfigError(f'stages: cache {stage.cache} is not 0 or more')
            if not 0 <= stage.stills <= 1:
                raise ConfigError(f'stages: stills {stage.stills} is not in [0, 1]')
        if self.assignment not in ('one', 'many'):
            raise ConfigError(f'assignment {self.assignment!r} is neither one nor many')
        if self.assignment == 'many' and not self.network.get('query_rows'):
            raise ConfigError('assignment: many needs network: {query_rows: ...}')
        if not 0 <= self.video.share <= 1:
            raise ConfigError(f'video.share {self.video.share} is not in [0, 1]')
        if not 0 < self.video.zoom[0] <= self.video.zoom[1]:
            raise ConfigError(f'video.zoom {list(self.video.zoom)}: two numbers above 0, the '
                              'smaller first')
        if not 0 <= self.optimiser.ema < 1:
            raise ConfigError(f'optimiser.ema {self.optimiser.ema} is not in [0, 1)')

    @property
    def iterations(self) -> int:
        """Return the iterations of all stages."""
        return sum(stage.iterations for stage in self.stages)

    def stage_at(self, iteration: int) -> tuple[int, int]:
        """Return the number of the stage of an iteration, and the iteration at which it began."""
        begin = 0
        for number, stage in enumerate(self.stages):
            if iteration < begin + stage.iterations:
                return number, begin
            begin += stage.iterations
        raise ValueError(f'iteration {iteration} is past the last, {self.iterations - 1}')

    def to_mapping(self) -> dict[str, Any]:
        """Return the plain mapping that `from_mapping` reads."""
        return _plain(asdict(self))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> 'TrainConfig':
        """Read a plain mapping; ConfigError naming a key that does not exist."""
        return read_part(cls, mapping, '')


def read_config(path: str | os.PathLike[str]) -> TrainConfig:
    """Read a YAML file; ConfigError naming the file and the setting at fault."""
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f'{file}: no such configuration file')
    try:
        content = yaml.safe_load(file.read_text()) or {}
        if not isinstance(content, Mapping):
            raise ConfigError('is not a mapping of settings')
        return TrainConfig.from_mapping(content)
    except (yaml.YAMLError, ConfigError) as error:
        raise ConfigError(f'{file}: {error}') from error


def expand(path: str) -> str:
    """Replace $NAME and ~ in a path; ConfigError naming a variable that is not set."""
    out = os.path.expanduser(os.path.expandvars(path))
    if '$' in out:
        raise ConfigError(f'{path}: the environment variable in it is not set')
    return out


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def read_part(kind: Any, mapping: Any, where: str) -> Any:
    """Make the dataclass `kind` of a mapping, checking names and types on the way.

    where: what its names begin with in messages. Raises ConfigError naming the setting at fault.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f'{where.rstrip(".")}: is not a mapping of settings')
    hints = typing.get_type_hints(kind)
    names = {f.name for f in fields(kind)}
    values = {}
    for key, value in mapping.items():
        if key not in names:
            raise ConfigError(f'{where}{key}: no such setting; known: {", ".join(sorted(names))}')
        values[key] = _convert(hints[key], value, f'{where}{key}')
    return kind(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return read_part(hint, value, where + '.')
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f'{where}: is not a list')
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ConfigError(f'{where}: has {len(value)} entries, not {len(arguments)}')
        return tuple(_convert(arguments[0], v, f'{where}[{i}]') for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ConfigError(f'{where}: is not a mapping of settings')
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # YAML 1.1 reads 2e-4 as text; it means the number.
    if hint is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f'{where}: {value!r} is not of type {hint.__name__}')
    return value
