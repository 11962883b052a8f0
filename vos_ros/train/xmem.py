# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Train XMem on clips from still images and video: `vos-ros train xmem --config FILE`.

One process on a CPU or GPU, or several under torchrun. A run can be stopped at any time and goes
on from its last checkpoint. (XMem section 4.2; differences are listed in docs/training-xmem.md.)
"""

import argparse
from collections.abc import Mapping
from dataclasses import fields
import itertools
import math
import os
from pathlib import Path
import sys
import time
from typing import Any

import torch
from torch import nn
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
import yaml

from vos_ros.data.static_clips import ClipConfig
from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.network import XMem
from vos_ros.train.checkpoint import load_checkpoint
from vos_ros.train.checkpoint import load_tensors
from vos_ros.train.checkpoint import restore_optimiser
from vos_ros.train.checkpoint import save_checkpoint
from vos_ros.train.distributed import join
from vos_ros.train.distributed import leave
from vos_ros.train.distributed import Processes
from vos_ros.train.ema import Ema
from vos_ros.train.logs import RunLog
from vos_ros.train.precision import working_cast
from vos_ros.train.precision import working_precision
from vos_ros.train.xmem_clip import ClipPlan
from vos_ros.train.xmem_clip import ClipTrainer
from vos_ros.train.xmem_data import clip_loader
from vos_ros.train.xmem_data import DATA_SETTINGS
from vos_ros.train.xmem_loss import Bootstrap
from vos_ros.train.xmem_setup import build_network
from vos_ros.train.xmem_setup import calibrate
from vos_ros.train.xmem_setup import freeze
from vos_ros.train.xmem_setup import FREEZE_RULES
from vos_ros.train.xmem_setup import network_config
from vos_ros.train.xmem_setup import parameter_groups
from vos_ros.train.xmem_setup import rate

CHECKPOINT = 'checkpoint.pt'
_STRIDE = 16    # of the network's coarsest maps
_MOST_SKIPPED = 20      # more than the loss scale of half precision takes to settle
_PARTS = ('network', 'imagenet', 'data', 'clips', 'freeze', 'train')
_TRAIN = {
    'iterations': 10000, 'minutes': 0.0, 'stop_at': 0, 'batch': 4, 'objects': [3, 2, 1],
    'lr': 4e-4, 'encoder_lr': 1e-4, 'weight_decay': 0.05, 'warmup': 0.02, 'floor': 0.02,
    'clip_norm': 3.0, 'ema': 0.998, 'num_references': 2, 'deep_probability': 0.2,
    'dice_weight': 1.0, 'bootstrap': {}, 'norm_batches': 16, 'seed': 0, 'threads': 0, 'workers': 1,
    'log_every': 50, 'save_every': 500}
# The bounds of those that are numbers; of others they are 0 and none.
_BOUNDS = {
    **dict.fromkeys(('iterations', 'batch', 'num_references', 'norm_batches', 'log_every',
                     'save_every'), (1, math.inf)),
    **dict.fromkeys(('warmup', 'floor', 'deep_probability'), (0, 1)),
    **dict.fromkeys(('lr', 'clip_norm'), (1e-12, math.inf)), 'ema': (0, 0.99999)}
_KNOWN = {'train': set(_TRAIN), 'freeze': set(FREEZE_RULES), 'data': set(DATA_SETTINGS),
          'clips': {entry.name for entry in fields(ClipConfig)}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vos-ros train xmem`."""
    parser.add_argument('--config', required=True, help='YAML file, see config/train/')
    parser.add_argument('--out', help='run folder (default: runs/<name of the config>)')
    parser.add_argument('--init', help='start from the weights of this model package, '
                        'safetensors file or checkpoint')
    parser.add_argument('--set', action='append', default=[], metavar='PART.KEY=VALUE',
                        help='change an entry of the config; may be repeated')
    parser.add_argument('--fresh', action='store_true', help='ignore a checkpoint that is there')
    parser.add_argument('--device', default='auto', help='auto, cpu or cuda')


def run(args: argparse.Namespace) -> int:
    """Train to the end of the schedule; the last line says where the checkpoint is."""
    out = Path(args.out or Path('runs') / Path(args.config).stem)
    try:
        config = read_config(args.config, args.set)
        path = train(config, out, init=args.init, fresh=args.fresh, device=args.device)
    except (OSError, ValueError, ModuleNotFoundError, FloatingPointError) as error:
        print(f'vos-ros train xmem: {error}', file=sys.stderr)
        return 1
    print(f'checkpoint: {path}')
    return 0


def read_config(path: str | os.PathLike[str], changes: list[str] | None = None) -> dict[str, Any]:
    """Read a training configuration and fill in what it leaves out.

    changes: 'part.key=value' texts, values in YAML. Raises ValueError naming an unknown entry.
    """
    config = _parse(Path(path).read_text(encoding='utf-8'), path)
    if not isinstance(config, dict):
        raise ValueError(f'{path}: must be a mapping')
    for change in changes or ():
        name, separator, value = change.partition('=')
        *parents, key = name.split('.')
        if not separator or not parents:
            raise ValueError(f'{change!r} is not PART.KEY=VALUE')
        entry = config
        for parent in parents:
            if entry.get(parent) is None:
                entry[parent] = {}
            entry = entry[parent]
            if not isinstance(entry, dict):
                raise ValueError(f'{change!r}: {parent} is no part but {entry!r}')
        entry[key] = _parse(value, change)
    unknown = [p for p in config if p not in _PARTS]
    unknown += [f'{part}.{key}' for part, known in _KNOWN.items()
                for key in config.get(part) or {} if key not in known]
    if unknown:
        raise ValueError(f'{path}: unknown entries {", ".join(unknown)}')
    size = (config.get('clips') or {}).get('size', ClipConfig.size)
    if not isinstance(size, int) or size % _STRIDE:
        raise ValueError(f'{path}: clips.size is {size!r}, must be a multiple of {_STRIDE}')
    config['train'] = {**_TRAIN, **(config.get('train') or {})}
    for key, default in _TRAIN.items():
        value = config['train'][key]
        if isinstance(default, (int, float)) and not isinstance(value, (int, float)):
            # YAML reads 1e-4, without a point, as a text.
            raise ValueError(f'{path}: train.{key} is {value!r}, must be a number like 1.0e-4')
        if isinstance(default, int) and not isinstance(value, int):
            raise ValueError(f'{path}: train.{key} is {value!r}, must be a whole number')
        low, high = _BOUNDS.get(key, (0, math.inf))
        if isinstance(default, (int, float)) and not (
                low <= value <= high and math.isfinite(value)):
            most = f' and at most {high}' if high < math.inf else ''
            raise ValueError(f'{path}: train.{key} is {value!r}, must be at least {low}{most}')
    objects = config['train']['objects']
    try:
        fits = min(objects) >= 0 and 0 < sum(objects) < math.inf
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise ValueError(f'{path}: train.objects is {objects!r}, must be a list like [3, 2, 1]')
    for kind, where, values in ((ClipConfig, '', config.get('clips') or {}),
                                (Bootstrap, 'train.bootstrap: ', config['train']['bootstrap'])):
        try:
            kind(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f'{path}: {where}{error}') from error
    return config


def _parse(text: str, where: object) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f'{where}: is no YAML: {error}') from error


def train(
    config: Mapping[str, Any], out: Path, init: str | None = None, fresh: bool = False,
    device: str = 'auto',
) -> Path:
    """Train as configured and return the checkpoint's path; goes on where `out` left off.

    The schedule ends after train.iterations, or when train.minutes have been spent training
    (whichever comes first; minutes of earlier runs in the same folder count). train.stop_at
    leaves off at an iteration without changing the schedule.
    """
    settings = config['train']
    torch.manual_seed(settings['seed'])
    if settings['threads']:
        torch.set_num_threads(settings['threads'])
    processes = join(device)
    path = out / CHECKPOINT
    saved = load_checkpoint(path) if path.is_file() and not fresh else None
    if saved is None:
        network = build_network(config.get('network') or {}, config.get('imagenet', True))
    else:
        network = XMem(XMemConfig.from_dict(saved['network']))
        if network.config != network_config(config.get('network') or {}):
            raise ValueError(f'{path}: is of another network than the configuration describes')
    if init and saved is None:
        load_init(network, init)
    elif init and processes.first:
        print(f'going on from {path}: --init {init} is not used', flush=True)
    network.to(processes.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer = ClipTrainer(network, settings['dice_weight']).to(processes.device)
    loader = clip_loader(
        config['data'], ClipConfig(**(config.get('clips') or {})),
        settings['batch'], tuple(settings['objects']),
        settings['seed'] * processes.world + processes.rank,
        saved['iteration'] if saved else 0, settings['workers'])
    if saved is None and not init:
        calibrate(trainer, itertools.islice(loader, settings['norm_batches']))
    run_state = _Run(config, network, trainer, processes)
    if saved:
        try:
            run_state.restore(saved)
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error
    log = RunLog(out) if processes.first else None
    for frames, labels, objects in loader:
        progress = run_state.progress()
        if progress >= 1 or 0 < settings['stop_at'] <= run_state.iteration:
            break
        run_state.step(frames, labels, objects, progress)
        if run_state.iteration % settings['log_every'] == 0:
            row = run_state.figures()
            if log:
                log.row('train', run_state.iteration, row)
                print(run_state.iteration, ' '.join(f'{k} {v:.4g}' for k, v in row.items()),
                      flush=True)
        if processes.first and run_state.iteration % settings['save_every'] == 0:
            save_checkpoint(path, run_state.saved())
    if processes.first:
        save_checkpoint(path, run_state.saved())
    if log:
        log.close()
    leave(processes)
    return path


class _Run:
    """The state of a run between two iterations."""

    def __init__(self, config: Mapping[str, Any], network: XMem, trainer: ClipTrainer,
                 processes: Processes) -> None:
        settings = config['train']
        self.settings = settings
        self.agreed = processes.agreed
        self.network = network
        self.device = processes.device
        freeze(network, config.get('freeze') or {})
        self.optimizer = torch.optim.AdamW(parameter_groups(
            network, settings['lr'], settings['encoder_lr'], settings['weight_decay']),
            fused=True)
        self.trained = [p for g in self.optimizer.param_groups for p in g['params']]
        self.ema = Ema(network, settings['ema'])
        cuda = self.device.type == 'cuda'
        self.scaler = torch.amp.GradScaler('cuda', enabled=cuda)
        # float16 with scaled gradients on every CUDA device: what the paper's authors train in.
        self.precision = torch.float16 if cuda else working_precision(self.device)
        self.bootstrap = Bootstrap(**settings['bootstrap'])
        self.draw = torch.Generator()
        self.iteration = self.logged = 0        # the last: when figures were last given
        self.skipped = 0                        # iterations in a row that changed nothing
        self.spent = 0.0
        self.begin = self.tick = time.monotonic()
        self.window: dict[str, float] = {}
        trainer.train()
        network.freeze_norms()
        self.loss: nn.Module = trainer
        if processes.world > 1:
            self.loss = DistributedDataParallel(trainer, find_unused_parameters=True)

    def seconds(self) -> float:
        """Return the time spent training, earlier runs of this folder included."""
        return self.spent + time.monotonic() - self.begin

    def progress(self) -> float:
        """Return where the schedule is, 0 at the begin and 1 at the end."""
        minutes = self.settings['minutes']
        return max(self.iteration / self.settings['iterations'],
                   self.agreed(self.seconds()) / 60 / minutes if minutes else 0.0)

    def step(self, frames: Tensor, labels: Tensor, objects: int, progress: float) -> None:
        """Do one iteration; one whose gradient is not finite changes nothing.

        FloatingPointError when that goes on.
        """
        settings = self.settings
        factor = rate(progress, settings['warmup'], settings['floor'])
        for group in self.optimizer.param_groups:
            group['lr'] = group['base_lr'] * factor
        self.draw.manual_seed(settings['seed'] * 1000003 + self.iteration)
        plan = ClipPlan.draw(self.draw, frames.shape[1], settings['num_references'],
                             settings['deep_probability'], self.bootstrap.fraction(progress))
        with working_cast(self.device, self.precision):
            losses = self.loss(frames.to(self.device), labels.to(self.device), objects, plan)
        self.scaler.scale(losses['loss']).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.trained, settings['clip_norm'])
        finite = bool(torch.isfinite(norm))
        if self.scaler.is_enabled() or finite:
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.ema.update(self.network)
        self.optimizer.zero_grad(set_to_none=True)
        self.iteration += 1
        self.skipped = 0 if finite else self.skipped + 1
        if self.skipped >= _MOST_SKIPPED:
            raise FloatingPointError(f'no gradient was finite in {self.skipped} iterations up to '
                                     f'{self.iteration}: training has diverged')
        for name, value in {**losses, 'norm': norm}.items():
            self.window[name] = self.window.get(name, 0.0) + float(value.detach())

    def figures(self) -> dict[str, float]:
        """Return means since the last call, the rate and the seconds an iteration took."""
        now, count = time.monotonic(), max(1, self.iteration - self.logged)
        row = {'minutes': self.seconds() / 60, **{k: v / count for k, v in self.window.items()},
               'lr': max(g['lr'] for g in self.optimizer.param_groups),
               'seconds_per_iteration': (now - self.tick) / count}
        self.window, self.tick, self.logged = {}, now, self.iteration
        return row

    def saved(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return {'iteration': self.iteration, 'seconds': self.seconds(),
                'network': self.network.config.to_dict(), 'model': self.network.state_dict(),
                'ema': self.ema.state_dict(), 'optimizer': self.optimizer.state_dict(),
                'scaler': self.scaler.state_dict()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; rates, decay and schedule are those of the configuration.

        ValueError when it is of a run that trained other weights.
        """
        self.network.load_state_dict(saved['model'])
        self.ema.load_state_dict(saved['ema'])
        restore_optimiser(self.optimizer, saved['optimizer'], ('base_lr', 'weight_decay'))
        if saved['scaler']:             # none from a run on a CPU
            self.scaler.load_state_dict(saved['scaler'])
        self.iteration = self.logged = saved['iteration']
        self.spent = saved['seconds']


def load_init(network: XMem, source: str) -> None:
    """Fill a network from a package, safetensors, a training checkpoint (EMA) or a state_dict.

    Tensors are taken by name; ValueError when one is missing or has another shape, and for a file
    that is none of these.
    """
    path = Path(source)
    state = load_tensors(path / 'model.safetensors' if path.is_dir() else path,
                         path.suffix not in ('.pt', '.pth'))
    own = network.state_dict()
    wrong = [k for k in own if k not in state or state[k].shape != own[k].shape]
    if wrong:
        raise ValueError(f'{source}: missing or of another shape: {", ".join(wrong[:8])}')
    network.load_state_dict({k: state[k] for k in own})
