"""Noise of a design depends on the seed and its number alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from epurecli.sample.noise import design_noise
from epurecli.types import MAX_SEED


def test_shape_and_type() -> None:
    noise = design_noise(0, 5, 3, 4, 7)
    assert noise.shape == (4, 3, 7)
    assert noise.dtype == np.float32


@given(
    seed=st.integers(0, MAX_SEED),
    first=st.integers(0, 10**6),
    count=st.integers(1, 9),
    cut=st.integers(0, 9),
    draws=st.integers(1, 4),
    more=st.integers(0, 3),
    size=st.integers(1, 9),
)
@settings(max_examples=50, deadline=None)
def test_the_same_design_has_the_same_noise_in_any_company(seed, first, count, cut, draws, more, size) -> None:
    whole = design_noise(seed, first, count, draws, size)
    cut = min(cut, count - 1)
    assert np.array_equal(design_noise(seed, first + cut, count - cut, draws, size), whole[:, cut:])
    assert np.array_equal(design_noise(seed, first, count, draws + more, size)[:draws], whole)


def test_seeds_designs_and_draws_differ() -> None:
    rows = [design_noise(seed, first, 1, 1, 8)[0, 0] for seed in (0, 1, 2**40, MAX_SEED) for first in (0, 1, 2**33)]
    rows += list(design_noise(0, 0, 1, 3, 8)[1:, 0])
    assert len({row.tobytes() for row in rows}) == len(rows)


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["draws", "designs", "numbers"])
def test_it_is_standard_normal_and_uncorrelated(axis: int) -> None:
    noise = design_noise(3, 0, 60, 30, 20).astype(np.float64)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.01
    moved = np.moveaxis(noise, axis, 0)
    products = (moved[1:] * moved[:-1]).ravel()
    assert abs(products.mean()) < 4 * products.std() / np.sqrt(products.size)


def test_known_bits() -> None:
    """A released seed must draw the same design for ever."""
    found = design_noise(7, 2, 1, 2, 2)
    stream = np.random.Generator(np.random.Philox(key=7, counter=[0, 0, 0, 2]))
    assert np.array_equal(found.ravel(), stream.standard_normal(4, dtype=np.float32))
    np.testing.assert_allclose(found.ravel(), [-0.48364636, -2.0180931, 0.66250885, 1.9113272], rtol=1e-6)
