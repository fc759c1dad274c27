"""The designs that validate are chosen by their names."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from epurecli.data.split import hold_out

NAMES = st.lists(st.text(max_size=8), min_size=2, max_size=60, unique=True)
SHARES = st.floats(0.01, 0.99)


def named(rows: np.ndarray, prefixes: list[str]) -> set[str]:
    return {prefixes[row] for row in rows}


@given(NAMES, SHARES)
def test_both_parts_are_there_and_share_the_training_designs(prefixes: list[str], share: float) -> None:
    training = np.arange(0, len(prefixes))
    train, validation = hold_out(training, prefixes, share)
    assert len(train)
    assert len(validation)
    assert sorted([*train, *validation]) == list(training)


@given(NAMES, SHARES, st.randoms())
def test_the_order_of_the_designs_does_not_matter(prefixes: list[str], share: float, random) -> None:
    _, before = hold_out(np.arange(len(prefixes)), prefixes, share)
    mixed = random.sample(prefixes, len(prefixes))
    _, after = hold_out(np.arange(len(mixed)), mixed, share)
    assert named(before, prefixes) == named(after, mixed)


def test_designs_that_are_added_move_no_other() -> None:
    prefixes = [f"toy_{i:07d}" for i in range(4000)]
    few = hold_out(np.arange(2000), prefixes, 0.1)
    many = hold_out(np.arange(4000), prefixes, 0.1)
    for less, more in zip(few, many, strict=True):
        assert named(less, prefixes) == {name for name in named(more, prefixes) if name < "toy_0002000"}


def test_the_share_is_met() -> None:
    prefixes = [f"toy_{i:07d}" for i in range(20_000)]
    for share in (0.05, 0.1, 0.3):
        _, validation = hold_out(np.arange(20_000), prefixes, share)
        assert abs(len(validation) / 20_000 - share) < 4 * (share * (1 - share) / 20_000) ** 0.5


def test_a_single_design_trains() -> None:
    train, validation = hold_out(np.array([3]), ["a", "b", "c", "d"], 0.1)
    assert train.tolist() == [3]
    assert len(validation) == 0
