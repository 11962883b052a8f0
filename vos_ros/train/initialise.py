# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A start for the queries that knows where they are, so that fewer iterations are needed."""

import math

import numpy as np
import torch

from vos_ros.models.mobileinst.instance_decoder import InstanceDecoder
from vos_ros.models.mobileinst.instance_decoder import sine_position

_SHARPNESS = 3.0


@torch.no_grad()
def spread_queries(decoder: InstanceDecoder) -> None:
    """Give each query a place of its own and let it look there first.

    The query positions, random in the paper, become the sine embedding of a regular grid over
    the picture; the cross-attentions start with equal query and key projections, for which the
    attention is largest where the positions agree. Only the start changes: all is trained on.
    """
    count, dim = decoder.query_position.shape
    rows = max(1, round(math.sqrt(count)))
    columns = math.ceil(count / rows)
    table = sine_position(rows, columns, dim, decoder.query_position)
    # The table's last row and column lie on the far border; half a cell back centres the grid.
    fine = sine_position(2 * rows, 2 * columns, dim, decoder.query_position)
    fine = fine.reshape(2 * rows, 2 * columns, dim)[::2, ::2].reshape(len(table), dim)
    order = np.random.default_rng(0).permutation(len(table))[:count]
    decoder.query_position.copy_(fine[torch.from_numpy(order)])
    for stage in (decoder.global_stage, decoder.local_stage):
        stage.cross.key.weight.copy_(stage.cross.query.weight)
        stage.cross.query.weight.mul_(_SHARPNESS)
