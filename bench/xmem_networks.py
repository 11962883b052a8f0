# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Model packages for bench/xmem.py, made in a process of their own so that no torch stays here."""

import json
from pathlib import Path
import subprocess
import sys

_ROOT = Path(__file__).resolve().parent.parent

# Random weights of the official shapes whose masks follow the object instead of covering all: the
# scale of each layer keeps activations bounded, the bias of the last one centres the logits.
_PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import torch
from vos_ros.models.xmem.export import export_xmem
from vos_ros.models.xmem.network import XMem
from vos_ros.models.xmem.weights import network_from, read_state_dict

out, weights, full = sys.argv[2], sys.argv[3], sys.argv[4] == '1'
torch.manual_seed(0)
paths = {}
if full or sys.argv[5] == '1':
    if weights:
        network = network_from(read_state_dict(weights))
    else:
        network = XMem().eval()
        for name, tensor in network.state_dict().items():
            if name.endswith('weight') and tensor.ndim > 1:
                tensor.normal_(0, tensor[0].numel() ** -0.5)
            if name.startswith('key_encoder') and name.endswith('bn3.weight'):
                tensor.fill_(0.5)
        network.value_encoder.conv1.weight.data[:, 3] *= 8
        network.decoder.fuser.block1.conv1.weight.data[:, 1024:] *= 3
        network.decoder.fuser.block1.downsample.weight.data[:, 1024:] *= 3
        weights = out + '/random.pth'
        torch.save(network.state_dict(), weights)
    paths['weights'] = weights
    if full:
        paths['full'] = str(export_xmem(
            network, out + '/full', (480, 864), 'full', 'none', 'none'))
print(json.dumps(paths))
"""


def make_packages(folder: Path, weights: str, full: bool, reference: bool) -> dict[str, str]:
    """Return paths: a package 'full', and 'weights' as a .pth for the reference."""
    command = [sys.executable, '-c', _PROGRAM, str(_ROOT), str(folder), weights,
               str(int(full)), str(int(reference))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])
