"""Vectors in numba kernels against numpy, lane by lane."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from dlka.ops.simd import item, load, spread, store, total, zeros

WIDE = 32


@numba.njit
def combine(a, b, at, out):
    like = zeros(a, WIDE)
    x, y = load(a, at, like), load(b, 0, like)
    store(out, at, x * y + (x - y) * spread(b, 1, like) + like)
    return total(x), item(b, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arithmetic_is_lane_by_lane(dtype):
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 40)).astype(dtype)
    out = np.full(40, 7, dtype)
    summed, third = combine(a, b, 3, out)
    x, y = a[3 : 3 + WIDE], b[:WIDE]
    tolerance = 50 * np.finfo(dtype).eps
    np.testing.assert_allclose(out[3 : 3 + WIDE], x * y + (x - y) * b[1], rtol=tolerance, atol=tolerance)
    np.testing.assert_array_equal(out[[0, 1, 2, 35, 39]], 7)  # nothing beside is written
    np.testing.assert_allclose(summed, x.sum(), rtol=tolerance, atol=tolerance)
    assert third == b[2]


def test_what_is_not_a_number_stays_so():
    a = np.ones(40, np.float32)
    a[5] = np.nan
    out = np.zeros(40, np.float32)
    summed, _ = combine(a, np.zeros(40, np.float32), 0, out)
    assert np.isnan(summed)
    assert np.flatnonzero(np.isnan(out)).tolist() == [5]
