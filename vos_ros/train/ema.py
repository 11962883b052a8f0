# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""An exponential moving average of a network's weights."""

from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch import Tensor


class Ema:
    """Keep average = decay * average + (1 - decay) * weights, in float32, for a module's state.

    Early on the decay is held down to (1 + n) / (10 + n) after n updates, so that the random
    start is forgotten as soon as something better is known. Integer buffers are copied.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Begin at the module's present state; decay is in [0, 1)."""
        if not 0 <= decay < 1:
            raise ValueError(f'EMA decay must be in [0, 1), not {decay}')
        self.decay = decay
        self.updates = 0
        self.state = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step towards the module's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averaged: list[Tensor] = []
        present: list[Tensor] = []
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                averaged.append(self.state[name])
                present.append(value.detach())
            else:
                self.state[name].copy_(value)
        torch._foreach_lerp_(averaged, present, 1 - decay)

    def state_dict(self) -> dict[str, object]:
        """Give what a checkpoint needs to go on from here."""
        return {'updates': self.updates, 'state': self.state}

    def load_state_dict(self, saved: Mapping[str, object]) -> None:
        """Go on from a checkpoint; raises KeyError for a tensor that is not in it."""
        self.updates = int(saved['updates'])  # type: ignore[call-overload]
        state = saved['state']
        for name, value in self.state.items():
            value.copy_(state[name])  # type: ignore[index]

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Let the module carry the averaged weights inside a `with` block."""
        own = {k: v.detach().clone() for k, v in module.state_dict().items()}
        module.load_state_dict(self.state)
        try:
            yield
        finally:
            module.load_state_dict(own)
