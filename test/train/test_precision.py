# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Bfloat16 only where a processor computes it itself: emulated it takes many times as long."""

import pytest
import torch

from vos_ros.train.mobileinst_data import to_network
from vos_ros.train.precision import working_cast
from vos_ros.train.precision import working_precision

CPU = torch.device('cpu')


@pytest.mark.parametrize(('has', 'precision'), [
    ({'architecture': 'x86_64', 'avx2': True}, torch.float32),
    ({'architecture': 'x86_64', 'avx512_f': True, 'avx512_bf16': False}, torch.float32),
    ({'architecture': 'x86_64', 'avx512_f': True, 'avx512_bf16': True}, torch.bfloat16),
    ({'architecture': 'x86_64', 'amx_bf16': True}, torch.bfloat16),
    ({'architecture': 'aarch64', 'neon': True}, torch.float32),
    ({'architecture': 'aarch64', 'neon': True, 'bf16': True}, torch.bfloat16)])
def test_precision_follows_what_the_processor_has(monkeypatch, has, precision):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: has)
    assert working_precision(CPU) is precision


def test_this_processor_is_asked():
    has = torch.cpu.get_capabilities()
    precision = working_precision(CPU)
    assert precision in (torch.float32, torch.bfloat16)
    if has['architecture'] == 'x86_64':
        assert (precision is torch.bfloat16) == (has['avx512_bf16'] or has['amx_bf16'])


@pytest.mark.parametrize('precision', [torch.float32, torch.bfloat16])
def test_network_and_kept_maps_meet_in_that_precision(precision):
    # Maps are kept as bfloat16 whatever the precision, also by another machine.
    layer = torch.nn.Conv2d(3, 4, 1)
    maps = (torch.ones(1, 3, 2, 2, dtype=torch.bfloat16),)
    with working_cast(CPU, precision):
        out = layer(to_network(maps, CPU)[0])
        images = layer(to_network(torch.zeros(1, 2, 2, 3, dtype=torch.uint8), CPU))
    assert out.dtype is images.dtype is precision
