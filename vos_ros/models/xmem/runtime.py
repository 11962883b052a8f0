# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The PyTorch network as the memory tracker's network: the `torch` runtime, for CUDA."""

from collections.abc import Mapping
import hashlib

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
import torch
from torch import Tensor

from vos_ros.models.xmem.config import XMemConfig
from vos_ros.models.xmem.key_encoder import Features
from vos_ros.models.xmem.network import compete
from vos_ros.models.xmem.network import XMem
from vos_ros.models.xmem.weights import load_weights
from vos_ros.runtime.memory_ops_torch import TorchOps
from vos_ros.runtime.package import ModelPackage
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.xmem import check_package
from vos_ros.tracking.memory_network import EncodedFrame

FloatArray = NDArray[np.float32]


class TorchXMem:
    """See `vos_ros.tracking.memory_network.MemoryNetwork`.

    network: moved to `device` and put in evaluation mode.  digest: names the package, and
    weights_digest the weights; computed from the weights when not given.
    """

    def __init__(self, network: XMem, device: str = 'cpu', digest: str | None = None,
                 weights_digest: str | None = None) -> None:
        """Put the network on the device."""
        self.ops = TorchOps(device)
        self.network = network.to(self.ops.device).eval()
        config = network.config
        self.key_dim = config.key_dim
        self.value_dim = config.value_dim
        self.hidden_dim = config.hidden_dim
        self.digest = digest or digest_of(network.state_dict())
        self.weights_digest = weights_digest or self.digest

    @torch.no_grad()
    def encode_key(self, image: FloatArray) -> EncodedFrame:
        """Encode an image [3, H, W], normalised, both sides multiples of 16."""
        x = self.ops.array(image)[None]
        encoded = self.network.encode_key(x)
        key, shrinkage, selection = (_rows(y)[0] for y in encoded[:3])
        h, w = encoded.key.shape[2:]
        return EncodedFrame(key, shrinkage[:, 0], selection, (h, w), (x, encoded.features))

    @torch.no_grad()
    def decode(self, frame: EncodedFrame, readout: Tensor, hidden: Tensor | None,
               ) -> tuple[FloatArray, Tensor | None]:
        """Return probabilities [objects + 1, H, W] and the new hidden state."""
        features: Features = frame.features[1]
        maps = readout.transpose(1, 2).unflatten(2, frame.grid)[None]
        logits, new = self.network.decode(features, maps, None if hidden is None else hidden[None])
        probabilities = compete(torch.sigmoid(logits[0]))
        return self.ops.numpy(probabilities), None if new is None else new[0]

    @torch.no_grad()
    def encode_value(self, frame: EncodedFrame, masks: FloatArray, hidden: Tensor | None,
                     ) -> tuple[Tensor, Tensor | None]:
        """Return values [objects, h w, C^v] and the hidden state after a deep update."""
        image, features = frame.features
        value = self.network.encode_value(image, features.f16, self.ops.array(masks)[None])
        new = self.network.deep_update(value, None if hidden is None else hidden[None])
        return _rows(value[0]), None if new is None else new[0]


def _rows(maps: Tensor) -> Tensor:
    """[n, C, h, w] to [n, h w, C]."""
    return maps.flatten(2).transpose(1, 2).contiguous()


def digest_of(state: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over names, shapes and values of tensors, as hex."""
    digest = hashlib.sha256()
    for name in sorted(state):
        values = state[name].detach().cpu().contiguous().numpy()
        digest.update(f'{name} {values.dtype} {values.shape}\n'.encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def load_torch(package: ModelPackage, device: str = 'cpu') -> TorchXMem:
    """Return the torch network of a model package; PackageError when it has no weights."""
    check_package(package)
    if package.weights is None:
        raise PackageError(f'{package.path}: has no weights, which the torch runtime needs')
    network = XMem(XMemConfig.from_dict(package.network))
    load_weights(network, load_file(package.weights), str(package.weights))
    return TorchXMem(network, device, package.digest, package.weights_digest)
