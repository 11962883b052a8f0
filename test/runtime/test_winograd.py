# Copyright 2026 vos_ros developers
# SPDX-License-Identifier: Apache-2.0
"""Winograd's convolution against the sum that defines it."""

import numpy as np
import pytest

from vos_ros.runtime.strips import Strips
from vos_ros.runtime.winograd import blank
from vos_ros.runtime.winograd import inside
from vos_ros.runtime.winograd import Winograd

RNG = np.random.default_rng(0)


def convolved(maps, weight, bias):
    """Sum in double precision; maps [h, w, c], weight [k, c, 3, 3]."""
    height, width = maps.shape[:2]
    wide = np.pad(maps.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    return bias + sum(wide[y:y + height, x:x + width] @ weight[:, :, y, x].T.astype(np.float64)
                      for y in range(3) for x in range(3))


def setting(height, width, inputs, outputs, threads):
    maps = RNG.standard_normal((height, width, inputs)).astype(np.float32)
    weight = (RNG.standard_normal((outputs, inputs, 3, 3)) / np.sqrt(9 * inputs)).astype('f')
    bias = RNG.standard_normal(outputs).astype(np.float32)
    padded = blank(height, width, inputs)
    inside(padded, height, width)[...] = maps
    return maps, weight, bias, padded, Winograd(weight, bias, Strips(threads))


@pytest.mark.parametrize('threads', [1, 2, 3])
@pytest.mark.parametrize('size', [(4, 4), (1, 1), (6, 10), (15, 27), (120, 216)])
def test_equals_the_sum(size, threads):
    inputs, outputs = (8, 12) if size[0] < 100 else (24, 16)
    maps, weight, bias, padded, winograd = setting(*size, inputs, outputs, threads)
    out = np.full((*size, outputs), np.nan, np.float32)
    winograd(padded, out)
    np.testing.assert_allclose(out, convolved(maps, weight, bias), atol=3e-5)


def test_a_chain_through_padded_maps():
    # What is written inside a padded map leaves its border zero, so the next one can read it.
    maps, weight, bias, padded, first = setting(10, 13, 8, 8, 2)
    between, out = blank(10, 13, 8), np.ones((10, 13, 8), np.float32)
    first(padded, inside(between, 10, 13), relu=True, relu_out=True)
    second = Winograd(weight, bias, Strips(2))
    second(between, out, add=True)
    wanted = np.maximum(convolved(np.maximum(maps, 0), weight, bias), 0)
    np.testing.assert_allclose(out, 1 + convolved(wanted, weight, bias), atol=3e-5)
    between[1:11, 1:14] = 0
    assert not between.any()
    np.testing.assert_array_equal(inside(padded, 10, 13), maps)  # the input is as it was


def test_an_error_in_a_strip_comes_out():
    def work(first, end):
        raise RuntimeError(f'rows {first} to {end}')
    with pytest.raises(RuntimeError, match='rows 0 to'):
        Strips(2).run(work, 8, 2)
