# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Every golden case in the folder, replayed by every runtime."""

from functools import partial
import json
from types import ModuleType
from typing import Any

from near_ties import Exchanging
from near_ties import settled
from near_ties import state_of
import numpy as np
import pytest
import torch
from xmem_cases import ABSENT
from xmem_cases import GOLDEN

from vos_ros.tracking.memory_params import MemoryTrackerParams
from vos_ros.tracking.xmem_step import CoreResult
from vos_ros.tracking.xmem_step import XMemCore

CASES = sorted(path.stem.removeprefix('xmem_') for path in GOLDEN.glob('xmem_*.npz'))
RUNTIMES = ['onnxruntime', 'onnxruntime-whole', 'torch-cpu'] \
    + (['torch-cuda'] if torch.cuda.is_available() else [])
TOLERANCE = 1e-3
AGREEMENT = 0.999


def params_of(config: dict[str, Any]) -> MemoryTrackerParams:
    return MemoryTrackerParams(
        mem_every=config['mem_every'], working_memory_max_frames=config['max_mid_term_frames'],
        working_memory_min_frames=config['min_mid_term_frames'],
        long_term=config['enable_long_term'],
        long_term_max_elements=config['max_long_term_elements'],
        num_prototypes=config['num_prototypes'], top_k=config['top_k'],
        deep_update_every=config['deep_update_every'], bounded_working_memory=False)


class Replay:
    """A case run to its end.

    stored: the golden probabilities, which settle what is tied at the last rank of a read.
    sound: number of frames before the official code's fault with objects that came late shows.
    From a consolidation on at which such a group holds T_min frames or more, it reads values with
    other frames' keys, which is not to be reproduced.
    """

    def __init__(self, recipe: ModuleType, network: Any, case: str, stored: np.ndarray) -> None:
        config = recipe.case_config(case)
        core = XMemCore(Exchanging(network), params_of(config))
        self.core = core
        self.probabilities: list[np.ndarray] = []
        self.trace: list[tuple[int, int, int]] = []
        self.events: list[dict[str, Any]] = []
        self.sound = recipe.CASES[case]['frames']
        written: list[int] = []
        known: list[int] = []
        for t, image, mask, valid, every, end in recipe.case_steps(case):
            known = list(every) if every is not None else known
            objects = None if mask is None else known
            step = partial(core.step, image, mask, objects, valid, end)
            fits = partial(near, stored[t])
            before = state_of(core)
            result = step()
            if t < self.sound and not fits(result):
                result = settled(core, before, step, fits)
            self.probabilities.append(result.probabilities)
            lead = core.memory.groups[0].key
            seen = sum(f.count for f in core.memory.frames if lead in f.groups)
            self.trace.append((seen, core.memory.long_term_size, len(core.objects)))
            if not result.remembered:
                continue
            written.append(t)
            self.events += [{'t': t, **event} for event in core.memory.events]
            if any(event['what'] == 'consolidate' for event in core.memory.events):
                late = [sum(n >= g.first for n in written) for g in core.memory.groups[1:]]
                if late and max(late) >= config['min_mid_term_frames']:
                    self.sound = min(self.sound, t + 1)


def near(stored: np.ndarray, result: CoreResult) -> bool:
    """Return whether a step's probabilities are the golden ones."""
    found = result.probabilities
    return float(np.abs(found[:, 2::4, 2::4] - stored[:len(found)]).max()) <= TOLERANCE


@pytest.fixture(scope='module')
def replays(recipe: ModuleType, golden_backend: Any) -> Any:
    done: dict[tuple[str, str], Replay] = {}

    def replay(case: str, runtime: str) -> Replay:
        if (case, runtime) not in done:
            stored = np.load(GOLDEN / f'xmem_{case}.npz')['prob_s4']
            done[case, runtime] = Replay(recipe, golden_backend(runtime), case, stored)
        return done[case, runtime]

    return replay


def test_golden_folder_has_cases() -> None:
    if not GOLDEN.is_dir():
        pytest.skip(ABSENT)
    assert CASES, f'{GOLDEN} holds no xmem_*.npz'


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('case', CASES)
def test_golden_case(case: str, runtime: str, replays: Any) -> None:
    run, want = replays(case, runtime), np.load(GOLDEN / f'xmem_{case}.npz')
    labels = want['labels'][:run.sound]
    assert run.sound > max(frame for frame, *_ in json.loads(str(want['inputs'])))
    wrong = 0
    for t in range(run.sound):
        found = run.probabilities[t]
        stored = want['prob_s4'][t]
        assert np.abs(found[:, 2::4, 2::4] - stored[:len(found)]).max() <= TOLERANCE, t
        assert np.allclose(found.mean((1, 2)), want['prob_mean'][t][:len(found)], atol=TOLERANCE)
        wrong += int((found.argmax(0) != labels[t]).sum())
    assert wrong <= (1 - AGREEMENT) * labels.size, f'{wrong} of {labels.size} pixels differ'
    # Kept as float16, whose steps near 1 are 5e-4.
    for t in (int(t) for t in want['full_t'] if t < run.sound):
        full = want[f'prob_full_t{t}'].astype(np.float32)
        assert np.abs(run.probabilities[t] - full).max() <= TOLERANCE + 5e-4, t
    assert run.trace[:run.sound] == [tuple(int(v) for v in row)
                                     for row in want['trace'][:run.sound]]


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('case', CASES)
def test_golden_prototypes_and_evictions(case: str, runtime: str, replays: Any) -> None:
    run = replays(case, runtime)
    want = [e for e in json.loads(str(np.load(GOLDEN / f'xmem_{case}.npz')['events']))
            if e['t'] < run.sound]
    have = [e for e in run.events if e['t'] < run.sound]
    assert len(have) == len(want)
    for found, stored in zip(have, want, strict=True):
        assert found == {name: stored[name] for name in found}


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('case', CASES)
def test_golden_long_term_memory(case: str, runtime: str, replays: Any) -> None:
    run, want = replays(case, runtime), np.load(GOLDEN / f'xmem_{case}.npz')
    if 'long_key' not in want.files or run.sound < len(want['labels']):
        pytest.skip('this case stores no long-term memory')
    memory = run.core.memory
    ops, size = memory.store.ops, memory.long_term_size
    key, shrinkage = (ops.numpy(x) for x in ops.split(memory.store.stored))
    assert np.allclose(key[:size].T, want['long_key'][0], atol=1e-4)
    assert np.allclose(shrinkage[:size], want['long_shrinkage'].ravel(), atol=1e-4)
    assert np.allclose(ops.numpy(memory.store.use)[:size], want['long_use'].ravel(), atol=1e-2)
    assert np.allclose(ops.numpy(memory.store.life)[:size], want['long_life'].ravel())
    assert np.allclose(ops.numpy(memory.store.use)[size:], want['work_use'].ravel(), atol=1e-2)
    for i, obj in enumerate(memory.groups[0].objects):
        value = ops.numpy(memory.store.value(obj))[:size].T
        assert np.allclose(value, want['long_value_g0'][i].astype(np.float32), atol=2e-2)


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.skipif('base2' not in CASES, reason='no base2 among the golden cases')
def test_golden_intermediates(runtime: str, recipe: ModuleType, golden_backend: Any) -> None:
    network, want = golden_backend(runtime), np.load(GOLDEN / 'xmem_base2.npz')
    ops = network.ops
    images = [image for _, image, *_ in recipe.case_steps('base2')]

    def rows(maps: np.ndarray) -> np.ndarray:
        return maps.reshape(maps.shape[-3], -1).T

    def close(found: Any, stored: np.ndarray) -> None:
        assert np.allclose(ops.numpy(found), stored, atol=TOLERANCE)

    for t in (5, 6):
        encoded = network.encode_key(images[t])
        close(encoded.key, rows(want[f't{t}_key'][0]))
        close(encoded.selection, rows(want[f't{t}_selection'][0]))
        readout = want[f't{t}_readout']
        readout = ops.array(np.ascontiguousarray(
            readout.reshape(*readout.shape[:2], -1).transpose(0, 2, 1)))
        probabilities, hidden = network.decode(encoded, readout,
                                               ops.array(want[f't{t}_hidden_before'][0]))
        assert np.abs(probabilities[:, 2::4, 2::4] - want['prob_s4'][t]).max() <= TOLERANCE
        if t == 6:
            close(hidden, want['t6_hidden_after'][0])
        else:
            close(encoded.shrinkage, want['t5_shrinkage'].ravel())
            value, deep = network.encode_value(encoded, probabilities[1:],
                                               ops.array(want['t5_hidden_before'][0]))
            close(value, want['t5_value'][0].reshape(*readout.shape[:1], -1, readout.shape[1])
                  .transpose(0, 2, 1))
            close(deep, want['t5_hidden_after'][0])
