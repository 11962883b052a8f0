# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""An XMem package as the memory tracker's network, by onnxruntime; torch on request."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from vos_ros.runtime.memory_ops_numpy import NumpyOps
from vos_ros.runtime.package import ModelPackage
from vos_ros.runtime.package import PackageError
from vos_ros.runtime.session import Graph
from vos_ros.runtime.session import view
from vos_ros.runtime.xmem_decoder import StripDecoder
from vos_ros.tracking.memory_network import EncodedFrame
from vos_ros.tracking.memory_network import MemoryNetwork

FloatArray = NDArray[np.float32]

RUNTIMES = ('onnxruntime', 'torch')


class OnnxXMem:
    """See `vos_ros.tracking.memory_network.MemoryNetwork`.

    package: of kind xmem.  threads: inside an operator, and of a memory read.  providers: what
    should compute, best first, as for `Graph`.

    Raises PackageError for a package of another kind or without the numbers it needs, GraphError
    for a graph that cannot be loaded.
    """

    def __init__(self, package: ModelPackage, threads: int = 1,
                 providers: Sequence[str] = ('cpu',)) -> None:
        """Load the graphs."""
        check_package(package)
        self.package = package
        self.ops = NumpyOps(threads)
        self.key_dim = int(package.network['key_dim'])
        self.value_dim = int(package.network['value_dim'])
        self.hidden_dim = int(package.network['hidden_dim'])
        self.digest = package.digest
        self.weights_digest = package.weights_digest
        # On a CPU a wide decoder is faster in strips; other providers take it whole.
        self.strips: StripDecoder | None = None
        parts = ['key', 'value', 'decode']
        if tuple(providers) == ('cpu',) and package.weights is not None \
                and {'fuse', 'finish'} <= package.graphs.keys():
            try:
                self.strips = StripDecoder(package.weights, self.ops.strips)
            except KeyError as error:
                raise PackageError(f'{package.weights}: lacks {error.args[0]}') from error
            except SafetensorError as error:
                raise PackageError(f'{package.weights}: cannot be read: {error}') from error
            parts[2:] = ['fuse', 'finish']
        self._graphs = {name: Graph(package.graphs[name], threads, providers, plan=False,
                                    shared=True) for name in parts}
        self.messages = self._graphs['key'].messages

    @property
    def input_size(self) -> tuple[int, int]:
        """Return the (height, width) that the package was made for."""
        return self.package.input_size

    def encode_key(self, image: FloatArray) -> EncodedFrame:
        """Encode an image [3, H, W], normalised, both sides multiples of 16."""
        image = image[None]
        out = self._graphs['key'].run_kept(('f16', 'f8', 'f4'), image=image)
        _, _, height, width = out['f16'].shape()
        return EncodedFrame(out['key'], out['shrinkage'][:, 0], out['selection'], (height, width),
                            (image, out['f16'], out['f8'], out['f4']))

    def decode(self, frame: EncodedFrame, readout: FloatArray, hidden: FloatArray | None,
               ) -> tuple[FloatArray, FloatArray | None]:
        """Return probabilities [objects + 1, H, W] and the new hidden state."""
        _, f16, f8, f4 = frame.features
        state = self._state(hidden)
        if self.strips is None:
            out = self._graphs['decode'].run_kept((), f16=f16, f8=f8, f4=f4, readout=readout,
                                                  **state)
        else:
            g16 = self._graphs['fuse'].run_kept((), f16=f16, readout=readout, **state)['g16']
            found = self.strips(g16, view(f8)[0], view(f4)[0])
            if state:
                state |= {'g16': g16, 'pooled8': found.pooled8, 'pooled4': found.pooled4}
            out = self._graphs['finish'].run_kept((), logits=found.logits, **state)
        return out['probabilities'], out.get('new_hidden')

    def encode_value(self, frame: EncodedFrame, masks: FloatArray, hidden: FloatArray | None,
                     ) -> tuple[FloatArray, FloatArray | None]:
        """Return values [objects, h w, C^v] and the hidden state after a deep update."""
        image, f16 = frame.features[:2]
        out = self._graphs['value'].run_kept((), image=image, f16=f16, masks=masks,
                                             **self._state(hidden))
        return out['value'], out.get('new_hidden')

    def _state(self, hidden: FloatArray | None) -> dict[str, Any]:
        return {} if hidden is None or not self.hidden_dim else {'hidden': hidden}


def check_package(package: ModelPackage) -> None:
    """Raise PackageError unless the package is an XMem that `OnnxXMem` can run."""
    if package.kind != 'xmem':
        raise PackageError(f'{package.path}: is of kind {package.kind}, not xmem')
    for name in ('key_dim', 'value_dim', 'hidden_dim'):
        value = package.network.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < (name != 'hidden_dim'):
            raise PackageError(f'{package.path}: network.{name} is {value!r}, must be a positive '
                               'number')
    absent = [name for name in ('key', 'value', 'decode') if name not in package.graphs]
    if absent:
        raise PackageError(f'{package.path}: graphs lacks {", ".join(absent)}, an xmem package '
                           'needs it')


def load_network(package: ModelPackage, runtime: str = 'onnxruntime', threads: int = 1,
                 providers: Sequence[str] = ('cpu',), device: str = 'cpu') -> MemoryNetwork:
    """Return a package's network.

    runtime: one of RUNTIMES.  threads, providers: for onnxruntime.  device: for torch, which needs
    PyTorch installed and model.safetensors in the package.
    Raises ValueError for another runtime, a device that torch does not have, or torch itself
    missing, and what `OnnxXMem` and the torch runtime raise.
    """
    if runtime == 'onnxruntime':
        return OnnxXMem(package, threads, providers)
    if runtime != 'torch':
        raise ValueError(f'runtime {runtime!r} is none of {", ".join(RUNTIMES)}')
    # The only way from the runtime to torch, taken only when asked for.
    try:
        module = import_module('vos_ros.models.xmem.runtime')
    except ModuleNotFoundError as error:
        raise ValueError(f"runtime 'torch' needs PyTorch, and {error.name} is not installed: see "
                         'requirements/torch.txt') from error
    return module.load_torch(package, device)
