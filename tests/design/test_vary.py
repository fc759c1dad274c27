"""Designs made better part by part, by models through which no gradient passes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import epurecli as epure
from epurecli.design.brief import Brief
from epurecli.design.propose import Candidates, Given
from epurecli.design.search import Effort, Search
from epurecli.design.vary import can_vary, shown_parts, vary


@given(st.lists(st.booleans(), min_size=2, max_size=7).filter(lambda kept: not all(kept)), st.integers(0, 9))
def test_one_or_two_parts_are_drawn_anew_none_of_those_that_are_kept(kept: list[bool], seed: int) -> None:
    shown = shown_parts(np.array(kept), 40, np.random.default_rng(seed))
    hidden = (~shown).sum(1)
    assert hidden.min() >= 1
    assert hidden.max() <= 2
    assert shown.any(1).all()
    assert shown[:, kept].all()
    free = [part for part, one in enumerate(kept) if not one]
    assert (~shown[:, free]).any(0).all()  # each has its turn


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> epure.Run:
    settings = ["data.toy.count=160", "training.epochs=1", "sampling.steps=2"]
    return epure.train("flow_matching_toy_test", settings=settings, out=tmp_path_factory.mktemp("flow"))


def test_what_stays_stays_bit_for_bit_and_each_number_is_a_draw_of_its_own(flow: epure.Run) -> None:
    bits = flow.test[:3].images >= 128
    start = Candidates(bits, np.full((3, len(flow.trained.scaler.columns)), 55.0), np.arange(3), np.zeros(3, bool))
    kept = Given(flow.test[0].images[0], np.eye(len(flow.components), dtype=bool)[2])
    new = vary(flow.trained, start, range(32, 56), 7, kept)
    parents = bits[np.arange(24) % 3]
    same = (new.bits == parents).all((2, 3))  # (24, C)
    assert same[:, 2].all()
    assert ((~same).sum(1) <= 2).all()
    assert (~same).any()
    assert new.number.tolist() == list(range(32, 56))
    assert len({design.tobytes() for design in new.bits}) > 12
    again = vary(flow.trained, start, range(32, 56), 7, kept)
    np.testing.assert_array_equal(new.bits, again.bits)


def test_where_nothing_can_be_drawn_anew(flow: epure.Run) -> None:
    everything = np.ones(len(flow.components), bool)
    assert can_vary(flow.trained, len(everything), None)
    assert not can_vary(flow.trained, 1, None)
    assert not can_vary(flow.trained, len(everything), Given(flow.test[0].images[0], everything))


@pytest.mark.slow
def test_a_search_goes_on_from_what_it_has_found(flow: epure.Run) -> None:
    """From the second round on designs are variations of the nearest; the given part stays in all."""
    designer = flow._designer
    kept = Given(flow.test[0].images[0], np.eye(len(flow.components), dtype=bool)[2])
    effort = Effort(proposals=32, refined=0, varied=4, rounds=3)
    search = Search(flow.trained, designer.predictor, designer.known, 0, kept, effort)
    brief = Brief.of({"target": {"width_px": 57.0, "d_rigid": 0.1}})
    goals = designer.goals(brief, designer.predictor, designer.known)
    found = search.run(goals, enough=10_000).candidates
    assert found.refined.sum() > 8
    assert set(found.number[found.refined]) <= set(range(32, 96))
    assert (found.bits[:, 2] == (kept.image[2] >= 128)).all()

    def nearest(rounds: int) -> float:
        pool = replace(search, effort=replace(effort, rounds=rounds)).run(goals, enough=10_000)
        return float(goals.violation(pool.predicted.value).min())

    assert nearest(3) <= nearest(1)
