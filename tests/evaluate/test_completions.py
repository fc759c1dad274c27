"""Whether completions are draws: laws whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from epurecli.evaluate import Designs, fit_reference
from epurecli.evaluate.completions import (
    Completion,
    completion_metrics,
    floors,
    judge_completions,
    real_features,
    spread_ratio,
    subsets,
)
from epurecli.evaluate.judge import Reference

NAMES = ("left", "right")
COUNT, DRAWS = 1500, 10
# p(width of the right bar | width of the left one), tabulated
LAW = {2: ([1, 3, 8], [0.2, 0.5, 0.3]), 5: ([2, 4], [0.6, 0.4]), 7: ([6], [1.0])}


def bars(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(*, 2, 4, 16) bars: component 0 from the left, component 1 from the right."""
    columns = np.arange(16)
    image = np.zeros((*np.shape(left), 2, 4, 16), bool)
    image[..., 0, :, :] = (columns < np.asarray(left)[..., None])[..., None, :]
    image[..., 1, :, :] = (columns >= 16 - np.asarray(right)[..., None])[..., None, :]
    return image


def drawn(left: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Right bars from the law, given left ones."""
    out = np.empty(left.shape, int)
    for width, (values, shares) in LAW.items():
        out[left == width] = rng.choice(values, (left == width).sum(), p=shares)
    return out


@pytest.fixture
def world() -> tuple[np.ndarray, np.ndarray, Reference]:
    rng = np.random.default_rng(0)
    left = rng.choice(list(LAW), 2 * COUNT)
    designs = bars(left, drawn(left, rng))
    real = [Designs(part, np.zeros((COUNT, 0))) for part in (designs[:COUNT], designs[COUNT:])]
    return left[:COUNT], designs[:COUNT], fit_reference(real[0], real[1], NAMES, (), rng)


def judged(draws: np.ndarray, truth: np.ndarray, reference: Reference) -> Completion:
    return judge_completions(draws, truth, (0,), reference.pixel, real_features(reference, len(truth)))


def test_draws_from_the_law_itself_are_honest(world) -> None:
    left, truth, reference = world
    each = np.repeat(left[:, None], DRAWS, 1)
    found = judged(bars(each, drawn(each, np.random.default_rng(1))), truth, reference)
    beside = floors(truth, DRAWS, [(0,)], reference)[0]
    assert found.ratio[1] == pytest.approx(1, abs=0.05)
    assert found.frechet == pytest.approx(beside.frechet, abs=0.05)
    assert found.best[1] > found.majority[1]
    assert beside.ratio == {1: 1.0}


def test_the_mean_repeated_is_not(world) -> None:
    left, truth, reference = world
    middle = np.select([left == w for w in LAW], [round(np.dot(*LAW[w])) for w in LAW])
    found = judged(np.repeat(bars(left, middle)[:, None], DRAWS, 1), truth, reference)
    assert found.ratio[1] == 0
    assert found.frechet > 4 * floors(truth, DRAWS, [(0,)], reference)[0].frechet + 1
    assert found.best == found.majority


def test_draws_that_ignore_what_is_given_differ_too_little_for_their_errors(world) -> None:
    left, truth, reference = world
    other = np.random.default_rng(2).permutation(np.repeat(left[:, None], DRAWS, 1).ravel()).reshape(-1, DRAWS)
    draws = bars(np.repeat(left[:, None], DRAWS, 1), drawn(other, np.random.default_rng(3)))
    assert judged(draws, truth, reference).frechet > floors(truth, DRAWS, [(0,)], reference)[0].frechet + 1


def test_the_ratio_by_hand() -> None:
    truth = bars(np.array([5, 5]), np.array([4, 4]))
    draws = bars(np.full((2, 2), 5), np.array([[4, 6], [4, 4]]))
    # two draws of the first design differ by 2 columns of 4 pixels; draw and truth by 1 column on average
    assert spread_ratio(draws, truth)[1] == pytest.approx(8 / 4)
    assert np.isnan(spread_ratio(draws, truth)[0])


@pytest.mark.parametrize("components", [2, 3, 4, 5, 6, 12, 30])
def test_subsets(components: int) -> None:
    found = subsets(components)
    assert len(set(found)) == len(found) <= 60
    assert {len(s) for s in found} == set(range(1, components))
    assert all(0 <= c < components for s in found for c in s)
    if components <= 5:
        assert len(found) == 2**components - 2


def test_rows_name_subsets_or_their_sizes(world) -> None:
    _, truth, reference = world
    beside = floors(truth, DRAWS, [(0,)], reference)[0]
    rows = {m.name: m for m in completion_metrics([beside], [beside], NAMES, DRAWS)}
    assert rows["spread ratio, given left"].value == rows["spread ratio, given left"].floor == 1
    assert rows["best of 10 iou, given left"].value == beside.best[1]
    many = [Completion(s, dict.fromkeys(set(range(5)) - set(s), 0.5), {4: 0.5}, {4: 0.6}, 3.0, 1.0) for s in subsets(5)]
    names = [m.name for m in completion_metrics(many, many, "abcde", 10)]
    assert len(names) == len(set(names)) == 4 * 5 + 1
    assert "frechet, given 2 of 5" in names
    assert completion_metrics(many, many, "abcde", 10)[-1].value == 0.5
