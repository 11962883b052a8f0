# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Reading the memory: the fast way against the formula as the paper writes it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from vos_ros.runtime.memory_ops import ReadGroup
from vos_ros.runtime.memory_ops_numpy import NumpyOps
from vos_ros.runtime.memory_ops_numpy import top_k
from vos_ros.runtime.memory_ops_torch import TorchOps
from vos_ros.tracking.memory import Memory
from vos_ros.tracking.memory_params import MemoryTrackerParams

OPS = [NumpyOps(1), NumpyOps(3), TorchOps('cpu')]
NAMES = ['numpy', 'numpy, 3 threads', 'torch']


def scene(tokens: int, queries: int = 70, dim: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        'key': rng.standard_normal((queries, dim)).astype(np.float32),
        'selection': rng.random((queries, dim)).astype(np.float32),
        'memory': rng.standard_normal((tokens, dim)).astype(np.float32),
        'shrinkage': (1 + rng.random(tokens)).astype(np.float32),
        'values': rng.standard_normal((2, tokens, 5)).astype(np.float32)}


def dense(s: dict[str, np.ndarray], count: int, allowed: np.ndarray | None = None,
          ) -> tuple[np.ndarray, np.ndarray]:
    """XMem equation 2 and a softmax over the top `count`, in float64 and without any shortcut."""
    key, memory = s['key'].astype(np.float64), s['memory'].astype(np.float64)
    distance = (s['selection'][:, None] * (memory[None] - key[:, None]) ** 2).sum(-1)
    score = -s['shrinkage'] * distance / np.sqrt(key.shape[1])
    if allowed is not None:
        score[:, ~allowed] = -np.inf
    rank = np.argsort(-score, axis=1)[:, :count]
    affinity = np.zeros_like(score)
    best = np.take_along_axis(score, rank, 1)
    weight = np.exp(best - best.max(1, keepdims=True))
    np.put_along_axis(affinity, rank, weight / weight.sum(1, keepdims=True), 1)
    return np.einsum('qn,onc->oqc', affinity, s['values']), affinity.sum(0)


def read(ops: Any, s: dict[str, np.ndarray], groups: list[ReadGroup], count: int,
         ) -> tuple[list[np.ndarray], np.ndarray]:
    stored = ops.stored(ops.array(s['memory']), ops.array(s['shrinkage']))
    out, usage = ops.read(ops.array(s['key']), ops.array(s['selection']), stored, groups, count)
    return [ops.numpy(x) for x in out], ops.numpy(usage)


@pytest.mark.parametrize('ops', OPS, ids=NAMES)
# 30 and fewer tokens; one bucket search or none; with and without a remainder after the buckets
@pytest.mark.parametrize('tokens', [1, 16, 30, 31, 200, 2048, 3001])
def test_read_is_the_formula(ops: Any, tokens: int) -> None:
    s = scene(tokens)
    group = ReadGroup(None, [ops.array(v) for v in s['values']])
    (found,), usage = read(ops, s, [group], 30)
    want, want_usage = dense(s, min(30, tokens))
    assert found.shape == want.shape
    assert np.abs(found - want).max() < 1e-4
    assert np.abs(usage - want_usage).max() < 1e-3
    assert usage.sum() == pytest.approx(len(s['key']), rel=1e-4)


@pytest.mark.parametrize('ops', OPS, ids=NAMES)
@pytest.mark.parametrize('tokens', [40, 3001])
def test_groups_see_only_what_they_may(ops: Any, tokens: int) -> None:
    s = scene(tokens)
    allowed = np.random.default_rng(5).random(tokens) < 0.3
    groups = [ReadGroup(None, [ops.array(s['values'][0])]),
              ReadGroup(allowed, [ops.array(s['values'][1])])]
    found, usage = read(ops, s, groups, 30)
    everyone, want_usage = dense(s, 30)
    few, _ = dense(s, min(30, int(allowed.sum())), allowed)
    assert np.abs(found[0][0] - everyone[0]).max() < 1e-4
    assert np.abs(found[1][0] - few[1]).max() < 1e-4
    assert np.abs(usage - want_usage).max() < 1e-3


@pytest.mark.parametrize('ops', OPS, ids=NAMES)
def test_very_small_similarities_give_no_nan(ops: Any) -> None:
    s = scene(300)
    s['memory'] += 1000
    group = ReadGroup(None, [ops.array(v) for v in s['values']])
    (found,), usage = read(ops, s, [group], 30)
    assert np.isfinite(found).all()
    assert np.isfinite(usage).all()
    assert usage.sum() == pytest.approx(len(s['key']), rel=1e-4)


@pytest.mark.parametrize('columns', [30, 31, 960, 1919, 1920, 1921, 5000])
def test_top_k_finds_the_largest(columns: int) -> None:
    scores = np.random.default_rng(columns).standard_normal((9, columns)).astype(np.float32)
    found, best = top_k(scores, 30)
    want = np.sort(scores, axis=1)[:, columns - 30:]
    assert np.array_equal(np.sort(best, axis=1), want)
    assert np.array_equal(np.take_along_axis(scores, found, 1), best)
    assert all(len(set(row)) == 30 for row in found.tolist())


def test_top_k_with_ties_and_minus_infinity() -> None:
    scores = np.full((3, 4000), -np.inf, np.float32)
    scores[:, 100:140] = 1.0
    scores[1] = 2.0
    found, best = top_k(scores, 30)
    assert np.array_equal(best, np.array([[1.0], [2.0], [1.0]]).repeat(30, 1))
    assert all(len(set(row)) == 30 for row in found.tolist())


@pytest.mark.parametrize('ops', OPS, ids=NAMES)
def test_stored_vectors_give_back_keys_and_shrinkages(ops: Any) -> None:
    s = scene(50)
    key, shrinkage = ops.split(ops.stored(ops.array(s['memory']), ops.array(s['shrinkage'])))
    assert np.allclose(ops.numpy(key), s['memory'], atol=1e-6)
    assert np.allclose(ops.numpy(shrinkage), s['shrinkage'], atol=1e-6)


@pytest.mark.parametrize('ops', OPS, ids=NAMES)
def test_potentiation_is_a_full_softmax(ops: Any) -> None:
    s = scene(90, queries=7)
    stored = ops.stored(ops.array(s['memory']), ops.array(s['shrinkage']))
    found = ops.potentiate(stored, ops.array(s['key']), ops.array(s['selection']),
                           [ops.array(v) for v in s['values']])
    want, _ = dense(s, 90)
    for have, wanted in zip(found, want, strict=True):
        assert np.abs(ops.numpy(have) - wanted).max() < 1e-4


@pytest.mark.parametrize('ops', OPS, ids=NAMES)
def test_an_unread_long_term_memory_is_as_if_it_were_not_there_and_is_kept(ops: Any) -> None:
    params = MemoryTrackerParams(working_memory_max_frames=3, working_memory_min_frames=2,
                                 num_prototypes=16, long_term_max_elements=64, top_k=5)
    memory = Memory(ops, 8, 5, params)
    frames = [scene(60, queries=60, seed=seed) for seed in range(4)]
    for number, s in enumerate(frames):
        memory.add(number, ops.array(s['memory']), ops.array(s['shrinkage']),
                   ops.array(s['selection']), {7: ops.array(s['values'][0][:60])})
    size = memory.long_term_size
    assert size > 0 and memory.working_size == 120
    s = frames[0]
    life = np.array(ops.numpy(memory.store.life))
    both = ops.numpy(memory.read(ops.array(s['key']), ops.array(s['selection'])))
    memory.params = replace(params, read_long_term=False)
    found = ops.numpy(memory.read(ops.array(s['key']), ops.array(s['selection'])))
    group = ReadGroup(None, [memory.store.value(7)[size:]])
    (want,), _ = ops.read(ops.array(s['key']), ops.array(s['selection']),
                          memory.store.stored[size:], [group], 5)
    assert np.allclose(found, ops.numpy(want)) and not np.allclose(found, both)
    assert memory.long_term_size == size
    lived = ops.numpy(memory.store.life) - life
    assert np.allclose(lived[:size], 1) and np.allclose(lived[size:], 2)


@pytest.mark.parametrize('ops', OPS, ids=NAMES)
def test_a_full_long_term_memory_takes_new_prototypes_while_it_is_not_read(ops: Any) -> None:
    params = MemoryTrackerParams(working_memory_max_frames=3, working_memory_min_frames=2,
                                 num_prototypes=16, long_term_max_elements=64, top_k=5)
    memory = Memory(ops, 8, 5, params)
    for number in range(40):
        if number == 20:
            memory.params = replace(params, read_long_term=False)
        s = scene(60, queries=60, seed=number)
        # Each value names its frame.
        memory.add(number, ops.array(s['memory']), ops.array(s['shrinkage']),
                   ops.array(s['selection']), {7: ops.array(np.full((60, 5), number, 'f'))})
        memory.read(ops.array(s['key']), ops.array(s['selection']))
    store, size = memory.store, memory.long_term_size
    frames = {int(frame) for frame in np.round(ops.numpy(store.value(7))[:size, 0])}
    assert len([frame for frame in frames if frame >= 19]) >= 3, frames
    # From its first read on its own use alone counts.
    unread = ops.numpy(store.life)[:size] < 0.5
    assert unread.any() and (store.usage()[:size][unread] > 0.1).all()
    memory.params = params
    _, own = ops.read(ops.array(s['key']), ops.array(s['selection']), store.stored,
                      [ReadGroup(None, [store.value(7)])], 5)
    memory.read(ops.array(s['key']), ops.array(s['selection']))
    assert np.allclose(store.usage()[:size][unread], ops.numpy(own)[:size][unread], atol=1e-4)


@pytest.mark.parametrize('device', ['nowhere', 'cuda:99'])
def test_a_device_that_torch_lacks_is_named(device):
    with pytest.raises(ValueError, match=f"cannot compute on the device '{device}'"):
        TorchOps(device)
