# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The precision that a device trains in: the shortest that it computes faster, not slower."""

import torch

# Processors' own bfloat16 arithmetic, by the names that torch.cpu.get_capabilities() gives on
# x86-64 and on Arm. Where none is there oneDNN emulates it: a dense convolution forward and
# backward then takes ten times as long as in float32, an iteration of training six times.
_BFLOAT16 = ('avx512_bf16', 'amx_bf16', 'avx10_2', 'bf16', 'sve_bf16')


def working_precision(device: torch.device) -> torch.dtype:
    """Return torch.bfloat16, float16 (older CUDA) or float32 (CPUs without bfloat16)."""
    if device.type == 'cuda':
        # Emulated it would be slower than float16.
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) \
            else torch.float16
    if device.type == 'cpu':
        has = torch.cpu.get_capabilities()
        return torch.bfloat16 if any(has.get(name) for name in _BFLOAT16) else torch.float32
    return torch.bfloat16


def working_cast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Return the context in which `device` computes in `precision`; float32: as it stands."""
    if precision is torch.float32:
        return torch.autocast(device.type, enabled=False)
    return torch.autocast(device.type, precision)
