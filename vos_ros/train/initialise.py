# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A start for the queries that knows where they are, so that fewer iterations are needed."""

import math

import numpy as np
import torch

from vos_ros.models.mobileinst.instance_decoder import grid_position
from vos_ros.models.mobileinst.instance_decoder import InstanceDecoder

_SHARPNESS = 3.0


@torch.no_grad()
def spread_queries(decoder: InstanceDecoder) -> None:
    """Give each query a place of its own and let it look there first.

    The query positions, random in the paper, become the sine embedding of a regular grid over
    the picture; the cross-attentions start with equal query and key projections, for which the
    attention is largest where the positions agree. Only the start changes: all is trained on.
    Queries that lie on a grid by themselves keep their places.

    The keys' sine table puts cell i of n at (i + 1) / n, the queries' one at the cell's middle, so
    they begin by looking half a cell up and left; the table stays, trained weights know it.
    """
    count, dim = decoder.query_position.shape
    if decoder.grid is None:
        rows = max(1, round(math.sqrt(count)))
        table = grid_position(rows, math.ceil(count / rows), dim)
        order = np.random.default_rng(0).permutation(len(table))[:count]
        decoder.query_position.copy_(table[torch.from_numpy(order)])
    for stage in (decoder.global_stage, decoder.local_stage):
        stage.cross.key.weight.copy_(stage.cross.query.weight)
        stage.cross.query.weight.mul_(_SHARPNESS)
