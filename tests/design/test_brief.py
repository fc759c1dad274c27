"""Briefs: what is wanted, how far values are from it, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from epurecli.design.brief import Brief, Goals, goals_of
from epurecli.errors import UsageError

COLUMNS = ("width", "mass", "life")
LOW, HIGH, SCALE, STEPS = (np.array(row, float) for row in ((40, 0, -1), (60, 10, 1), (4, 2, 0.5), (1, 0, 0)))


def goals(**brief: object) -> Goals:
    return goals_of(Brief.of(brief), COLUMNS, LOW, HIGH, SCALE, STEPS)


def test_distances_are_told_in_standard_deviations() -> None:
    asked = goals(target={"mass": 5}, at_least={"life": 0.5}, range={"width": [50, 54]}, maximise=["life"])
    values = np.array([[50, 5.1, 0.6], [48, 5.6, 0.0], [56, 5, 0.5]])
    np.testing.assert_allclose(asked.excess(values), [[0, 0, 0], [0.2, 0.5, 1.0], [0, 0.5, 0]])
    np.testing.assert_allclose(asked.violation(values), [0, 1.0, 0.5])
    np.testing.assert_allclose(asked.miss(values), [0.05, 0.3, 0])
    np.testing.assert_allclose(asked.merit(values)[:, 0], [1.2, 0, 1.0])
    assert asked.asked == (0, 1, 2)


def test_a_size_may_miss_by_one_step_and_other_targets_by_a_tenth_of_a_deviation() -> None:
    asked = goals(target={"width": 50, "mass": 5})
    np.testing.assert_allclose([(c.low, c.high) for c in asked.constraints], [(49, 51), (4.8, 5.2)])
    (loose,) = goals(target={"mass": 5}, tolerance=0.5).constraints
    assert (loose.low, loose.high) == (4, 6)


@pytest.mark.parametrize(
    ("brief", "said"),
    [
        ({}, "nothing is asked for"),
        ({"target": {"mas": 1}}, "did you mean 'mass'"),
        ({"maximise": ["speed"]}, "no column 'speed'"),
        ({"range": {"mass": [6, 4]}}, "mass=6:4 is empty"),
        ({"at_least": {"mass": 6}, "at_most": {"mass": 4}}, "contradict each other"),
        ({"range": {"mass": [1, 2]}, "at_least": {"mass": 3}}, "contradict each other"),
        ({"target": {"mass": 5}, "maximise": ["mass"]}, "mass has a target"),
        ({"target": {"mass": 5}, "at_most": {"mass": 6}}, "mass has a target"),
        ({"maximise": ["mass"], "minimise": ["mass"]}, "named twice"),
        ({"target": {"mass": 21}}, "far beyond the data, where mass goes from 0 to 10"),
        ({"at_most": {"width": 19}}, "far beyond the data"),
        ({"target": {"mass": "heavy"}}, "target.mass"),
        ({"target": {"mass": float("nan")}}, "target.mass"),
        ({"range": {"mass": [1, 2, 3]}}, "range.mass"),
        ({"tolerance": 0, "target": {"mass": 1}}, "tolerance"),
        ({"wish": {"mass": 1}}, "wish"),
    ],
)
def test_what_is_refused(brief: dict, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        goals(**brief)
    assert said in refused.value.message + (refused.value.hint or "")


def test_what_lies_just_beyond_the_data_may_be_asked() -> None:
    assert goals(at_least={"mass": 19}).constraints[0].low == 19


def test_a_brief_reads_back_from_its_own_yaml() -> None:
    import yaml

    brief = Brief.of(
        {"target": {"mass": 5.25}, "range": {"width": (50, 54)}, "maximise": ["life"], "fix": ["bt"], "input": "x"}
    )
    assert Brief.of(yaml.safe_load(brief.yaml)) == brief
    assert brief.text == "mass = 5.25, width from 50 to 54, as much life as possible, keeping bt"
