# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A MobileInst run: steps, query passing, checkpoints, evaluation on the way."""

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from vos_ros.data.coco import CocoImages
from vos_ros.evaluate.masks import evaluate_masks
from vos_ros.evaluate.masks import Queries
from vos_ros.models.mobileinst import build
from vos_ros.models.mobileinst import MobileInst
from vos_ros.models.mobileinst import MobileInstConfig
from vos_ros.models.mobileinst.efficientnet_lite import EARLY_BLOCKS
from vos_ros.models.mobileinst.released import load_released
from vos_ros.train.auxiliary import DenseHead
from vos_ros.train.checkpoint import load_checkpoint
from vos_ros.train.checkpoint import load_tensors
from vos_ros.train.checkpoint import restore_optimiser
from vos_ros.train.checkpoint import save_checkpoint
from vos_ros.train.distributed import Processes
from vos_ros.train.ema import Ema
from vos_ros.train.feature_pool import FeaturePool
from vos_ros.train.feature_pool import trunk_digest
from vos_ros.train.initialise import spread_queries
from vos_ros.train.logs import RunLog
from vos_ros.train.mobileinst_config import ConfigError
from vos_ros.train.mobileinst_config import expand
from vos_ros.train.mobileinst_config import TrainConfig
from vos_ros.train.mobileinst_data import Batch
from vos_ros.train.mobileinst_data import class_names
from vos_ros.train.mobileinst_data import ClipSamples
from vos_ros.train.mobileinst_data import collate_clips
from vos_ros.train.mobileinst_data import collate_images
from vos_ros.train.mobileinst_data import ImageSamples
from vos_ros.train.mobileinst_data import load_material
from vos_ros.train.mobileinst_data import Resumable
from vos_ros.train.mobileinst_data import select
from vos_ros.train.mobileinst_data import start_worker
from vos_ros.train.mobileinst_data import to_network
from vos_ros.train.mobileinst_step import Step
from vos_ros.train.optimise import freeze
from vos_ros.train.optimise import make_optimiser
from vos_ros.train.optimise import pretrained_parts
from vos_ros.train.optimise import set_rate
from vos_ros.train.optimise import train_mode
from vos_ros.train.precision import working_cast
from vos_ros.train.precision import working_precision

LAST = 'last.pt'
_LOG_EVERY = 20
_NOT_OF_SAMPLES = dict.fromkeys((
    'stages', 'optimiser', 'loss', 'auxiliary', 'assignment', 'mask_repeats', 'evaluate_every',
    'evaluate_images', 'checkpoint_minutes', 'workers', 'threads'))


class Trainer:
    """Everything of a run that has state, and what to do with it."""

    def __init__(self, config: TrainConfig, folder: Path, processes: Processes) -> None:
        """Build the network and open the data. Raises ConfigError, DataError, ValueError."""
        self.config, self.folder, self.processes = config, folder, processes
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed + processes.rank)
        # A loader process forked off while OpenCV has a thread pool waits for its threads forever.
        cv2.setNumThreads(1)
        self.material = load_material(config)
        # All at once: a mistake in the last stage must not show after hours of the first.
        self.samples = [ClipSamples(self.material, config, stage) if stage.kind == 'clips'
                        else ImageSamples(self.material, config) for stage in config.stages]
        classes = class_names(config)
        self.classes = classes
        self.model = build({**config.network, 'num_classes': len(classes)},
                           imagenet=config.network.get('backbone', MobileInstConfig.backbone)
                           == 'efficientnet_lite0')
        cached = any(s.cache for s in config.stages)
        if cached and not hasattr(self.model.backbone, 'trunk'):
            raise ConfigError(f'stages: cache is not for backbone {self.model.config.backbone}')
        if cached and self.model.guide is not None:
            raise ConfigError('stages: cache keeps no pictures, which a guide needs')
        if config.spread_queries:
            spread_queries(self.model.instance_decoder)
        if config.weights:
            load_weights(self.model, Path(expand(config.weights)), config.take)
        self.model.to(processes.device, memory_format=torch.channels_last)  # type: ignore
        self.pretrained = pretrained_parts(self.model, bool(config.weights) and (
            not config.take or any(name.startswith('backbone') for name in config.take)))
        freeze(self.model, self.pretrained, config.freeze)
        dense = None
        if config.auxiliary:
            dense = DenseHead(self.model.config.kernel_dim, len(classes)).to(processes.device)
        self.step = Step(self.model, dense, config)
        parts: dict[str, nn.Module] = {'model': self.model}
        if dense is not None:
            parts['dense'] = dense
        self.optimiser = make_optimiser(parts, self.pretrained, config.optimiser)
        self.ema = Ema(self.model, config.optimiser.ema)
        self.validation: CocoImages | None = None
        if processes.first and config.validate.annotations:
            self.validation = select(config.validate, self.classes, validation=True)
            if config.evaluate_images:
                self.validation.images = self.validation.images[:config.evaluate_images]
        self.iteration = 0
        self.seconds = 0.0
        self.precision = working_precision(processes.device)
        self.scaler = torch.amp.GradScaler(  # type: ignore[attr-defined]
            processes.device.type, enabled=self.precision is torch.float16)

    def state(self) -> dict[str, Any]:
        """Give what a checkpoint holds."""
        dense = self.step.dense
        return {
            'kind': 'mobileinst', 'config': self.config.to_mapping(),
            'classes': list(self.classes), 'network': self.model.config.to_mapping(),
            'iteration': self.iteration, 'seconds': self.seconds,
            'model': self.model.state_dict(), 'ema': self.ema.state_dict(),
            'dense': dense.state_dict() if dense is not None else {},
            'optimiser': self.optimiser.state_dict(), 'scaler': self.scaler.state_dict()}

    def save(self, name: str = LAST) -> None:
        """Write a checkpoint into the run's folder (first process only)."""
        if self.processes.first:
            save_checkpoint(self.folder / name, self.state())

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, with the rates and weight decay of the configuration.

        ConfigError when it is of another network or of other trained weights.
        """
        saved = load_checkpoint(path)
        if MobileInstConfig.from_mapping(saved.get('network', {})) != self.model.config:
            raise ConfigError(f'{path}: is of another network than the configuration describes')
        self.model.load_state_dict(saved['model'])
        self.ema.load_state_dict(saved['ema'])
        if self.step.dense is not None and saved['dense']:
            self.step.dense.load_state_dict(saved['dense'])
        try:
            restore_optimiser(self.optimiser, saved['optimiser'], ('factor', 'weight_decay'))
        except ValueError as error:
            raise ConfigError(f'{path}: {error}') from error
        if saved['scaler']:             # none from a machine that needs no scaling
            self.scaler.load_state_dict(saved['scaler'])
        self.iteration, self.seconds = int(saved['iteration']), float(saved['seconds'])

    def batches(self, number: int, begin: int) -> Iterable[Batch]:
        """Give the rest of a stage's batches, from the present iteration on."""
        stage, rank = self.config.stages[number], self.processes.rank
        world = self.processes.world
        before = sum(s.cache or s.iterations * s.batch for s in self.config.stages[:number])
        first = before * world
        if not stage.cache:
            done = (self.iteration - begin) * stage.batch * world
            total = stage.iterations * stage.batch * world
            return self._load(number, first + done, total - done)
        path = self.folder / f'pool-{number}-{rank}.pt'
        # What decides the samples: a stage may go on for longer than planned on the same ones.
        same = replace(stage, iterations=1, passing=True)
        early = EARLY_BLOCKS <= self.config.freeze.blocks < 16
        key = repr((self.config.to_mapping() | _NOT_OF_SAMPLES, same, world,
                    trunk_digest(self.model.backbone, early)))
        pool = FeaturePool.load(path, key)
        if pool is None:
            loader = self._load(number, first, stage.cache * world)
            loader = tqdm(loader, total=-(-stage.cache // stage.batch), unit='batch',
                          desc='pool', disable=None, mininterval=5)
            pool = FeaturePool.build(self.model.backbone, loader, self.processes.device,
                                     self.precision, early)
            train_mode(self.model, self.pretrained, self.config.freeze)
            self.folder.mkdir(parents=True, exist_ok=True)
            pool.save(path, key)
        return pool.batches(self.config.seed, self.iteration - begin, stage.iterations,
                            stage.batch)

    def _load(self, number: int, first: int, count: int) -> Any:
        """Load samples first.. of a stage; every process gets its share of them."""
        config, stage = self.config, self.config.stages[number]
        data: Any = self.samples[number]
        clips = stage.kind == 'clips'
        return DataLoader(
            data, stage.batch, num_workers=config.workers,
            sampler=Resumable(first, count, self.processes.rank, self.processes.world),
            collate_fn=collate_clips if clips else collate_images, worker_init_fn=start_worker,
            prefetch_factor=3 if config.workers else None,
            # Without its own, a loader draws from the global generator, and a run that goes on
            # would draw more often than one that was never stopped.
            generator=torch.Generator().manual_seed(config.seed),
            pin_memory=self.processes.device.type == 'cuda')

    def run(self, minutes: float = 0.0, stop_at: int = 0) -> None:
        """Train to the end, or for so many minutes, or up to an iteration; then save."""
        config, device = self.config, self.processes.device
        step: nn.Module = self.step
        if self.processes.world > 1:
            step = DistributedDataParallel(self.step, find_unused_parameters=True)
        end = min(stop_at or config.iterations, config.iterations)
        log = RunLog(self.folder) if self.processes.first else None
        bar = tqdm(total=config.iterations, initial=self.iteration, unit='it', smoothing=0.05,
                   disable=None if self.processes.first else True, mininterval=2)
        started = saved = time.monotonic()
        before = self.seconds
        train_mode(self.model, self.pretrained, config.freeze)
        sums: dict[str, float] = {}
        counted, waited, over = 0, 0.0, False
        while self.iteration < end:
            number, begin = config.stage_at(self.iteration)
            passing = config.stages[number].passing and config.stages[number].kind == 'clips'
            tick = time.monotonic()
            for batch in self.batches(number, begin):
                waited += time.monotonic() - tick
                rate = set_rate(self.optimiser, config.optimiser, self.iteration,
                                config.iterations)
                for key, value in self.update(step, batch, passing, device).items():
                    sums[key] = sums.get(key, 0.0) + value
                self.iteration += 1
                counted += 1
                now = time.monotonic()
                self.seconds = before + now - started
                bar.update()
                if log is not None and counted == _LOG_EVERY:
                    means = {key: value / counted for key, value in sums.items()}
                    bar.set_postfix(loss=f'{means["total"]:.3f}', refresh=False)
                    log.row(f'train-{config.stages[number].kind}', self.iteration, {
                        **means, 'rate': rate, 'wait_ms': 1e3 * waited / counted,
                        'hours': self.seconds / 3600})
                    sums, counted, waited = {}, 0, 0.0
                if now - saved > 60 * config.checkpoint_minutes:
                    self.save()
                    saved = time.monotonic()
                over = bool(minutes) and self.processes.agreed(now - started) > 60 * minutes
                if self.iteration >= end or over:
                    break
                if config.evaluate_every and self.iteration % config.evaluate_every == 0:
                    self.evaluate(log)
                tick = time.monotonic()
            sums, counted, waited = {}, 0, 0.0
            if over:
                break
        bar.close()
        self.save()
        self.evaluate(log)
        if log is not None:
            log.close()

    def update(self, step: nn.Module, batch: Batch, passing: bool,
               device: torch.device) -> dict[str, float]:
        """Take one optimiser step and return the loss terms; FloatingPointError on divergence."""
        # By number, so that a run that goes on draws what it would have drawn, in every process.
        torch.manual_seed(
            (self.config.seed + self.processes.rank) * 1_000_003 + self.iteration)
        with working_cast(device, self.precision):
            losses = step(batch, passing)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(losses['total']).backward()
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(
            [p for g in self.optimiser.param_groups for p in g['params']],
            self.config.optimiser.clip)
        if not torch.isfinite(norm) and not self.scaler.is_enabled():
            raise FloatingPointError(f'gradient is not finite at iteration {self.iteration}')
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.ema.update(self.model)
        terms = {key: float(value.detach()) for key, value in losses.items()}
        return {**terms, 'gradient': float(norm)}

    def evaluate(self, log: RunLog | None) -> dict[str, float]:
        """Measure the averaged weights on the validation images; {} where there are none."""
        if self.validation is None:
            return {}
        with self.ema.applied(self.model):
            figures = evaluate_model(self.model, self.validation, self.config.size,
                                     self.processes.device, self.precision)
        train_mode(self.model, self.pretrained, self.config.freeze)
        if log is not None:
            log.row('evaluate', self.iteration, figures)
        tqdm.write(f'iteration {self.iteration}: ' + ', '.join(
            f'{k} {100 * figures[k]:.1f}' for k in (
                'agnostic_AR@100', 'agnostic_AP', 'agnostic_AP50', 'AR@100', 'AP', 'AP50')))
        return figures


def evaluate_model(model: MobileInst, data: CocoImages, size: tuple[int, int],
                   device: torch.device, precision: torch.dtype) -> dict[str, float]:
    """Measure a PyTorch network as `vos-ros evaluate instances` measures a package."""
    model.eval()

    @torch.no_grad()
    def ask(image: NDArray[np.uint8]) -> Queries:
        with working_cast(device, precision):
            out = model(to_network(torch.from_numpy(image)[None], device))
        return Queries(**{key: out[key][0].float().cpu().numpy()
                          for key in Queries._fields if key in out})

    return evaluate_masks(ask, data, size)


def load_weights(model: MobileInst, path: Path, take: Sequence[str] = ()) -> None:
    """Load weights from a file; ConfigError naming the file and what does not fit.

    The file is a run's checkpoint (its averaged weights are taken), a package's safetensors, or
    what the authors of TopFormer or SeaFormer released, which fills the backbone alone.
    A class head for another number of classes is left as it was initialised, and so is all whose
    name begins with none of `take`, if given.
    """
    if not path.is_file():
        raise ConfigError(f'{path}: no such file of weights')
    try:
        state = load_tensors(path, path.suffix == '.safetensors')
        if not any(key.startswith('instance_decoder.') for key in state) and not take:
            load_released(model.backbone, path)
            return
    except ValueError as error:
        raise ConfigError(str(error)) from error
    for name, tensor in model.instance_decoder.class_head.state_dict().items():
        key = f'instance_decoder.class_head.{name}'
        if key in state and state[key].shape != tensor.shape:
            state[key] = tensor
    if take:
        for name in take:
            if not any(key.startswith(name) for key in state):
                raise ConfigError(f'{path}: take: it has no part {name}')
        state = model.state_dict() | {
            key: value for key, value in state.items() if key.startswith(tuple(take))}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(f'{path}: does not fit the network: {error}') from error
