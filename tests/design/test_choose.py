"""Choosing among acceptable designs, against brute force."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from epurecli.design.choose import farthest, non_dominated, spread_over_front
from epurecli.design.known import rough_pixels


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 3))
def test_a_front_is_what_nothing_dominates(seed: int, count: int, objectives: int) -> None:
    merit = np.random.default_rng(seed).integers(0, 4, (count, objectives)).astype(float)
    slow = [not any((b >= a).all() and (b > a).any() for b in merit) for a in merit]
    assert non_dominated(merit).tolist() == slow
    chosen = spread_over_front(merit, 3)
    assert len(set(chosen)) == len(chosen) <= 3
    assert merit[chosen].max(0)[0] == merit[:, 0].max()  # an end of the front is among them


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_each_design_is_the_furthest_from_those_before(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.random((count, 2, 4, 3)) < 0.5
    first = int(rng.integers(count))
    chosen = farthest(bits, first, 5)
    assert chosen[0] == first
    apart = (bits[:, None] != bits[None]).sum((2, 3, 4))
    for place in range(1, len(chosen)):
        nearest = apart[:, chosen[:place]].min(1)
        assert nearest[chosen[place]] == nearest.max() > 0
    if len(chosen) < min(5, count):  # the rest are copies
        assert apart[:, chosen].min(1).max() == 0


def test_ragged_borders_are_counted() -> None:
    straight = np.zeros((1, 1, 12, 12), bool)
    straight[..., :6] = True
    ragged = straight.copy()
    ragged[0, 0, ::2, 6] = True
    speck = straight.copy()
    speck[0, 0, 5, 9] = True
    assert rough_pixels(straight).tolist() == [0]
    assert rough_pixels(speck).tolist() == [1]
    assert rough_pixels(ragged)[0] >= 5
