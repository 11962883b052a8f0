# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The matrix product of a memory read: numpy's to rounding, on any thread, a valid ONNX model."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from vos_ros.runtime.product import MODELS
from vos_ros.runtime.product import product
from vos_ros.runtime.product import products

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('sides', [(64, 129, 26000), (1, 1, 1), (7, 3, 5), (20, 129, 1620)])
def test_as_numpy_multiplies(sides):
    rows, inner, columns = sides
    a = RNG.standard_normal((rows, inner)).astype(np.float32)
    b = RNG.standard_normal((columns, inner)).astype(np.float32)
    out = np.full((rows, columns), np.nan, np.float32)
    product(a, b, out)
    np.testing.assert_allclose(out, a.astype(np.float64) @ b.T, rtol=1e-5, atol=1e-4)


def test_several_threads_write_into_parts_of_one_array():
    a = RNG.standard_normal((96, 17)).astype(np.float32)
    b = RNG.standard_normal((300, 17)).astype(np.float32)
    out = np.empty((96, 300), np.float32)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda row: product(a[row:row + 8], b, out[row:row + 8]),
                      range(0, 96, 8)))
    np.testing.assert_allclose(out, a @ b.T, rtol=1e-5, atol=1e-4)


def test_sides_that_do_not_fit_are_refused():
    with pytest.raises(Exception, match=r'Gemm|dim|shape'):
        product(np.ones((2, 3), np.float32), np.ones((4, 5), np.float32),
                np.empty((2, 4), np.float32))


def test_a_stack_as_numpy_multiplies():
    a = RNG.standard_normal((36, 10, 7)).astype(np.float32)
    b = RNG.standard_normal((36, 7, 5)).astype(np.float32)
    out = np.empty((36, 10, 5), np.float32)
    products(a, b, out)
    np.testing.assert_allclose(out, a @ b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('name', 'operator'), [('one', 'Gemm'), ('many', 'MatMul')])
def test_the_encoded_models_are_what_onnx_says(name, operator):
    onnx = pytest.importorskip('onnx')
    model = onnx.load_from_string(MODELS[name])
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == [operator]
    assert model.opset_import[0].version == 13
