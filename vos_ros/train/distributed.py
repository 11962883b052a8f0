# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The processes of a `torchrun`; one process alone when started without it."""

from dataclasses import dataclass
import os

import torch


@dataclass(frozen=True)
class Processes:
    """This process's number among `world`, and its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Tell whether this is the process that logs, evaluates and saves."""
        return self.rank == 0

    def agreed(self, value: float) -> float:
        """Return the first process's number: clocks differ, and all must decide alike."""
        if self.world == 1:
            return value
        number = torch.tensor(value, dtype=torch.float32, device=self.device)
        torch.distributed.broadcast(number, 0)
        return float(number)


def join(device: str) -> Processes:
    """Join the processes that torchrun started (its environment variables tell), or run alone.

    device: auto, cpu or cuda. Raises ValueError when cuda is asked for and not there.
    """
    if device not in ('auto', 'cpu', 'cuda'):
        raise ValueError(f'device {device!r} is not auto, cpu or cuda')
    if device == 'cuda' and not torch.cuda.is_available():
        raise ValueError('device cuda: this torch sees no CUDA device')
    cuda = device != 'cpu' and torch.cuda.is_available()
    world = int(os.environ.get('WORLD_SIZE', '1'))
    local = int(os.environ.get('LOCAL_RANK', '0'))
    chosen = torch.device('cuda', local) if cuda else torch.device('cpu')
    if cuda:
        torch.cuda.set_device(chosen)
    if world > 1 and not torch.distributed.is_initialized():
        torch.distributed.init_process_group('nccl' if cuda else 'gloo')
    return Processes(int(os.environ.get('RANK', '0')), world, chosen)


def leave(processes: Processes) -> None:
    """End the group."""
    if processes.world > 1 and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
