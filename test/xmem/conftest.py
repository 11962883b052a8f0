# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The golden folder, networks filled by its recipe, and small random networks."""

from collections.abc import Callable
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from xmem_cases import ABSENT
from xmem_cases import GOLDEN
from xmem_cases import TINY
from xmem_cases import trained_norms

from vos_ros.models.xmem.export import export_xmem
from vos_ros.models.xmem.network import XMem
from vos_ros.models.xmem.runtime import TorchXMem
from vos_ros.models.xmem.weights import network_from
from vos_ros.runtime.package import load_package
from vos_ros.runtime.xmem import OnnxXMem

# A pool of threads stalls at every operator when others want the cores too.
torch.set_num_threads(1)


@pytest.fixture(scope='session')
def recipe() -> ModuleType:
    """Return the recipe that lies beside the golden vectors."""
    path = GOLDEN / 'xmem_golden_recipe.py'
    if not path.is_file():
        pytest.skip(ABSENT)
    spec = importlib.util.spec_from_file_location('xmem_golden_recipe', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def golden_state(recipe: ModuleType) -> dict[str, torch.Tensor]:
    """Return the official state_dict's names and shapes, filled by the recipe."""
    manifest = json.loads((GOLDEN / 'weights_manifest.json').read_text())['tensors']
    return {name: torch.from_numpy(np.asarray(recipe.golden_tensor(name, entry['shape'])))
            for name, entry in manifest.items()}


@pytest.fixture(scope='session')
def golden_network(golden_state: dict[str, torch.Tensor]) -> XMem:
    """Return the full network with the golden weights."""
    return network_from(golden_state)


@pytest.fixture(scope='session')
def golden_backend(golden_network: XMem, tmp_path_factory: Any) -> Callable[[str], Any]:
    """Return a function: name of a runtime to the golden network in it, made once."""
    made: dict[str, Any] = {}

    def backend(name: str) -> Any:
        if name not in made and name.startswith('onnxruntime'):
            # With its weights a wide network decodes in strips, without them by one graph.
            folder = tmp_path_factory.mktemp('golden') / 'package'
            export_xmem(golden_network, folder, (96, 128), 'golden', 'none', 'random numbers',
                        keep_weights=name == 'onnxruntime')
            made[name] = OnnxXMem(load_package(folder), threads=2)
        elif name not in made:
            made[name] = TorchXMem(golden_network, name.removeprefix('torch-'))
        return made[name]

    return backend


@pytest.fixture(scope='session')
def tiny_network() -> XMem:
    """Return a random network of few channels: quick, and nothing like a tracker."""
    torch.manual_seed(1)
    network = XMem(TINY).eval()
    trained_norms(network)
    return network


@pytest.fixture(scope='session')
def tiny_package(tiny_network: XMem, tmp_path_factory: Any) -> Path:
    """Return the tiny network as a model package."""
    return export_xmem(tiny_network, tmp_path_factory.mktemp('tiny') / 'tiny', (64, 96), 'tiny',
                       'none', 'random numbers')


@pytest.fixture(scope='session')
def tiny(tiny_package: Path) -> OnnxXMem:
    """Return the tiny package's network, by onnxruntime."""
    return OnnxXMem(load_package(tiny_package))
