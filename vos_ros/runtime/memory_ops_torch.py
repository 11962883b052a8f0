# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The memories' array work in torch, for CUDA (and the CPU).  Imported only on request."""

from collections.abc import Sequence
import math

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
from torch.nn import functional as F

from vos_ros.runtime.memory_ops import ReadGroup

# Similarities held at a time, in numbers: 1.2 GB on a GPU, a few MB on a CPU with its caches.
_HELD = {'cuda': 300_000_000, 'cpu': 2_000_000}


class TorchOps:
    """See `vos_ros.runtime.memory_ops.MemoryOps`.  device: a torch device name."""

    name = 'torch'

    def __init__(self, device: str = 'cpu') -> None:
        """Choose the device; ValueError that names it where torch cannot compute there."""
        try:
            self.device = torch.device(device)
            torch.zeros(1, device=self.device)
        # A build without CUDA says so by an AssertionError, an unknown device by a RuntimeError.
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f'PyTorch {torch.__version__} cannot compute on the device '
                             f'{device!r}: {reason}') from error

    def zeros(self, *shape: int) -> Tensor:
        """Return float32 zeros on the device."""
        return torch.zeros(shape, device=self.device)

    def array(self, values: NDArray) -> Tensor:
        """Copy a numpy array to the device (on the CPU it may share memory)."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def numpy(self, values: Tensor) -> NDArray:
        """Copy to the CPU."""
        return values.detach().cpu().numpy()

    def concatenate(self, arrays: Sequence[Tensor]) -> Tensor:
        """Join along the first axis."""
        return torch.cat(tuple(arrays))

    def resize(self, maps: Tensor, height: int, width: int) -> Tensor:
        """Resample [n, C, h, w] bilinearly to another grid."""
        return F.interpolate(maps, (height, width), mode='bilinear', align_corners=False)

    def stored(self, key: Tensor, shrinkage: Tensor) -> Tensor:
        """Return the extended vectors of memory keys."""
        scale = (shrinkage / math.sqrt(key.shape[1])).reshape(-1, 1)
        return torch.cat([-scale * key.square(), 2 * scale * key, -scale], 1)

    def split(self, stored: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and shrinkages."""
        dim = stored.shape[1] // 2
        scale = -stored[:, 2 * dim:]
        return stored[:, dim:2 * dim] / (2 * scale), scale[:, 0] * math.sqrt(dim)

    @staticmethod
    def _asked(key: Tensor, selection: Tensor) -> Tensor:
        weighted = selection * key
        return torch.cat([selection, weighted, (weighted * key).sum(1, keepdim=True)], 1)

    @torch.no_grad()
    def read(self, key: Tensor, selection: Tensor, stored: Tensor, groups: Sequence[ReadGroup],
             top_k: int) -> tuple[list[Tensor], Tensor]:
        """Read the memory for queries."""
        asked = self._asked(key, selection)
        queries, tokens = len(asked), len(stored)
        bias = [None if g.allowed is None else torch.zeros(tokens, device=self.device).masked_fill(
            torch.from_numpy(~g.allowed).to(self.device), -torch.inf) for g in groups]
        counts = [tokens if g.allowed is None else int(g.allowed.sum()) for g in groups]
        out = [torch.empty(len(g.values), queries, g.values[0].shape[1], device=self.device)
               for g in groups]
        usage = torch.zeros(tokens, device=self.device)
        step = max(1, min(queries, _HELD.get(self.device.type, _HELD['cpu']) // tokens))
        for start in range(0, queries, step):
            block = slice(start, start + step)
            scores = asked[block] @ stored.T
            for i, group in enumerate(groups):
                own = bias[i]
                best, found = top_k_of(scores if own is None else scores + own,
                                       min(top_k, counts[i]))
                weights = torch.softmax(best, 1)
                for value, readout in zip(group.values, out[i], strict=True):
                    readout[block] = F.embedding_bag(found, value, per_sample_weights=weights,
                                                     mode='sum')
                if i == 0:
                    usage.index_add_(0, found.flatten(), weights.flatten())
        return out, usage

    @torch.no_grad()
    def potentiate(self, stored: Tensor, key: Tensor, selection: Tensor,
                   values: Sequence[Tensor]) -> list[Tensor]:
        """Fill prototypes from candidates."""
        weights = torch.softmax(self._asked(key, selection) @ stored.T, 1)
        return [weights @ value for value in values]


def top_k_of(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return values and columns of the `count` largest numbers of each row, in no order."""
    best, found = scores.topk(count, 1, sorted=False)
    return best, found
