# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Training samples as the maps of a trunk that stays as it is: computed once, used many times.

On a CPU the forward pass of the pretrained trunk costs twice the forward and backward pass of
everything behind it. A pool of augmented samples, kept as what the trunk makes of them, trains
the rest several times faster than images can.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import replace
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vos_ros.models.mobileinst.efficientnet_lite import EARLY_BLOCKS
from vos_ros.train.checkpoint import load_checkpoint
from vos_ros.train.checkpoint import save_checkpoint
from vos_ros.train.matching import Target
from vos_ros.train.mobileinst_data import Batch
from vos_ros.train.mobileinst_data import to_network
from vos_ros.train.precision import working_cast

Maps = tuple[Tensor, ...]


def trunk_digest(backbone: torch.nn.Module, early: bool) -> str:
    """Name the weights that a pool is made with; while it is in use they stay as they are."""
    digest = hashlib.sha256()
    for name, value in sorted(backbone.state_dict().items()):
        words = name.split('.')
        if words[0] in ('_conv_stem', '_bn0') \
                or (words[0] == '_blocks' and (not early or int(words[1]) < EARLY_BLOCKS)):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class FeaturePool:
    """Samples as trunk maps bfloat16 [P, C, h, w] each and P targets; for clips, two of them."""

    def __init__(self, frames: list[tuple[Maps, list[Target]]]) -> None:
        """Take one (images) or two (clips) frames' maps and targets."""
        self.frames = frames

    def __len__(self) -> int:
        """Return P."""
        return len(self.frames[0][1])

    @classmethod
    def build(cls, backbone: Any, batches: Iterable[Batch], device: torch.device,
              precision: torch.dtype, early: bool = False) -> 'FeaturePool':
        """Run the trunk, or with `early` its blocks to 1/16, over batches in evaluation mode."""
        trunk = backbone.early if early else backbone.trunk
        parts: list[list[Maps]] = []
        targets: list[list[Target]] = []
        training = backbone.training
        backbone.eval()
        try:
            for batch in batches:
                two = [batch] if batch.later is None else [batch, batch.later]
                parts.extend([] for _ in range(len(two) - len(parts)))
                targets.extend([] for _ in range(len(two) - len(targets)))
                for t, frame in enumerate(two):
                    with torch.no_grad(), working_cast(device, precision):
                        maps = trunk(to_network(frame.images, device))
                    parts[t].append(tuple(m.to('cpu', torch.bfloat16).contiguous() for m in maps))
                    targets[t].extend(frame.targets)
        finally:
            backbone.train(training)
        return cls([(tuple(torch.cat(m) for m in zip(*p, strict=True)), t)
                    for p, t in zip(parts, targets, strict=True)])

    def batches(self, seed: int, first: int, iterations: int, size: int) -> Iterator[Batch]:
        """Give the batches of iterations first.. of a run: whole rounds, each in a new order."""
        count = len(self)
        orders: dict[int, np.ndarray] = {}
        for iteration in range(first, iterations):
            rows = []
            for index in range(iteration * size, (iteration + 1) * size):
                round_, place = divmod(index, count)
                if round_ not in orders:
                    orders = {round_: np.random.default_rng([seed, 5, round_]).permutation(count)}
                rows.append(int(orders[round_][place]))
            chosen = torch.tensor(rows)
            batches = [Batch(tuple(m[chosen] for m in maps), [targets[i] for i in rows])
                       for maps, targets in self.frames]
            yield batches[0] if len(batches) == 1 else replace(batches[0], later=batches[1])

    def save(self, path: Path, key: str) -> None:
        """Write the pool, and what it was made from as a text."""
        save_checkpoint(path, {'key': key, 'frames': [
            {'maps': list(maps), 'labels': [t.labels for t in targets],
             'masks': [t.masks for t in targets], 'ids': [t.ids for t in targets],
             'void': [t.void for t in targets]}
            for maps, targets in self.frames]})

    @classmethod
    def load(cls, path: Path, key: str) -> 'FeaturePool | None':
        """Read a pool; None when there is none or it was made from something else."""
        if not path.is_file():
            return None
        saved = load_checkpoint(path)
        if saved.get('key') != key:
            return None
        return cls([(tuple(f['maps']), [
            Target(*row) for row in zip(f['labels'], f['masks'], f['ids'],
                                        f.get('void', [None] * len(f['ids'])), strict=True)])
            for f in saved['frames']])
