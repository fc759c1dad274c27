"""The paragraph says what the figures say."""

from __future__ import annotations

import re

import pytest

from epurecli.evaluate import Better, Metric, Report, summarise
from epurecli.evaluate.conclusion import conclude


def metric(group: str, name: str, value: float, floor: float | None, better: Better = Better.HIGHER) -> Metric:
    return Metric(name, group, value, "share", better, floor, (value - 0.01, value + 0.01))


def concluded(*metrics: Metric, model: str = "vae", others: tuple[Report, ...] = ()) -> str:
    return conclude(summarise([Report(model, 0, {"test": 5, "train": 7}, metrics), *others]))


GOOD = (
    metric("validity", "one object", 1.0, 1.0),
    metric("inpainting", "iou", 0.93, 0.9),
    metric("novelty", "exact copies", 0.0, 0.0, Better.LOWER),
)
BAD = (
    metric("validity", "one object", 0.4, 1.0),
    metric("inpainting", "iou", 0.7, 0.9),
    metric("distribution", "coverage", 0.2, 0.95),
)


def test_a_good_model_is_called_good_with_its_figures() -> None:
    text = concluded(*GOOD)
    assert text.startswith(
        "vae: 3 of 3 figures are as good as for real designs: most of what is measured here does not"
    )
    assert "In one piece are 100 % (real designs: 100 %)." in text
    assert "IoU of 0.93 (looking up the nearest training design: 0.9), so it adds to looking up." in text
    assert "falls shortest" not in text


def test_a_bad_model_is_called_bad_and_where() -> None:
    text = concluded(*BAD, GOOD[2])
    assert "1 of 4 figures" in text
    assert "plainly apart from real ones" in text
    assert "falls shortest in faults within single designs (0 of 1)" in text
    assert "so looking up does as well" in text
    assert "cover 20 % (real designs: 95 %)" in text


def test_between_the_two_both_are_said() -> None:
    assert "near real ones, and can be told from them" in concluded(GOOD[0], BAD[1])


def test_what_has_no_floor_or_no_value_is_left_out() -> None:
    text = concluded(metric("validity", "one object", float("nan"), 1.0), metric("likelihood", "bound", 3.0, None))
    assert text == "vae: nothing could be held against real designs."


def test_models_are_ranked_by_the_figures_in_which_they_are_best() -> None:
    others = (Report("gmrf_mvae", 0, {"test": 5, "train": 7}, BAD),)
    text = concluded(*GOOD, others=others)
    assert re.search(r"vae: 3 of 3 .* gmrf_mvae: 0 of 3 ", text)
    assert "Of 4 figures the best is had by vae in 3, gmrf_mvae in 1 (ties count for each)." in text
    assert "trained once" in text


@pytest.mark.parametrize("metrics", [GOOD, BAD])
def test_it_is_one_paragraph_of_sentences(metrics: tuple[Metric, ...]) -> None:
    text = concluded(*metrics)
    assert "\n" not in text
    assert text.endswith(".")
    assert "  " not in text
