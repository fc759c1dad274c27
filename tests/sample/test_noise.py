"""Noise of a design depends on the seed and its number alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from epurecli.sample.noise import design_noise
from epurecli.types import MAX_SEED


def normal(seed: int, first: int, count: int, draws: int, *shape: int) -> Tensor:  # (S, B, *shape)
    return torch.stack([noise.normal(*shape) for noise in design_noise(seed, first, count, draws)])


def test_shape_and_type() -> None:
    for kind in ("normal", "uniform"):
        drawn = [getattr(noise, kind)(2, 7) for noise in design_noise(0, 5, 3, 4)]
        assert [d.shape for d in drawn] == [(3, 2, 7)] * 4
        assert {d.dtype for d in drawn} == {torch.float32}


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
    whole = normal(seed, first, count, draws, size)
    cut = min(cut, count - 1)
    assert torch.equal(normal(seed, first + cut, count - cut, draws, size), whole[:, cut:])
    assert torch.equal(normal(seed, first, count, draws + more, size)[:draws], whole)


@given(st.lists(st.tuples(st.sampled_from(["normal", "uniform"]), st.integers(1, 5)), min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_numbers_come_in_the_order_of_asking_whatever_the_block(asked: list[tuple[str, int]]) -> None:
    (together,), (alone,) = design_noise(3, 10, 4, 1), design_noise(3, 12, 1, 1, rows=16)
    for kind, size in asked:
        many, padded = getattr(together, kind)(size), getattr(alone, kind)(size)
        assert torch.equal(many[2], padded[0])
        assert padded[1:].unique().tolist() == [0.0 if kind == "normal" else 0.5]


def test_seeds_designs_and_draws_differ() -> None:
    rows = [normal(seed, first, 1, 1, 8)[0, 0] for seed in (0, 1, 2**40, MAX_SEED) for first in (0, 1, 2**33)]
    rows += list(normal(0, 0, 1, 3, 8)[1:, 0])
    assert len({row.numpy().tobytes() for row in rows}) == len(rows)


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["draws", "designs", "numbers"])
@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_it_has_its_distribution_and_is_uncorrelated(axis: int, kind: str) -> None:
    noise = np.stack([getattr(n, kind)(20).numpy() for n in design_noise(3, 0, 60, 30)]).astype(np.float64)
    assert stats.kstest(noise.ravel(), "norm" if kind == "normal" else "uniform").pvalue > 0.01
    moved = np.moveaxis(noise - noise.mean(), axis, 0)
    products = (moved[1:] * moved[:-1]).ravel()
    assert abs(products.mean()) < 4 * products.std() / np.sqrt(products.size)


def test_known_bits() -> None:
    """A released seed must draw the same design for ever."""
    first, second = (noise.normal(2).numpy() for noise in design_noise(7, 2, 1, 2))
    for draw, found in enumerate((first, second)):
        stream = np.random.Generator(np.random.Philox(key=7, counter=[0, 0, draw, 2]))
        assert np.array_equal(found[0], stream.standard_normal(2, dtype=np.float32))
    np.testing.assert_allclose(first[0], [-0.48364636, -2.0180931], rtol=1e-6)
