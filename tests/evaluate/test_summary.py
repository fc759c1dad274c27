from __future__ import annotations

import math
from dataclasses import replace

import pytest

from epurecli.errors import UsageError
from epurecli.evaluate import Better, Histogram, Metric, Report, summarise

HISTOGRAM = Histogram("area", "px", (0.0, 1.0, 2.0), (0.5, 0.5), (1.0, 0.0))


def report(model: str, seed: int | None, *metrics: Metric, **other: object) -> Report:
    made = Report(model, seed, {"samples": 10, "test": 10, "train": 20}, metrics, (HISTOGRAM,))
    return replace(made, **other)


def figure(value: float, better: Better = Better.LOWER, floor: float | None = 1.0, **other: object) -> Metric:
    return Metric("figure", "group", value, "px", better, floor, **other)


def test_mean_and_spread_over_seeds_and_the_best_model() -> None:
    got = summarise([report("a", s, figure(v)) for s, v in enumerate((2.0, 4.0))] + [report("b", 0, figure(3.5))])
    assert got.models == ("a", "b")
    first, second = got.rows[0].cells
    assert (first.mean, first.seeds, first.best) == (3.0, 2, True)
    assert first.spread == pytest.approx(math.sqrt(2))
    assert first.interval == pytest.approx((3 - math.sqrt(2), 3 + math.sqrt(2)))
    assert (second.mean, second.spread, second.interval, second.best) == (3.5, None, None, False)


@pytest.mark.parametrize(
    ("better", "values", "best"),
    [(Better.LOWER, (1.0, 2.0), 0), (Better.HIGHER, (1.0, 2.0), 1), (Better.FLOOR, (0.8, 1.1), 1)],
)
def test_best_follows_the_metrics_own_sense(better: Better, values: tuple[float, float], best: int) -> None:
    row = summarise([report(m, 0, figure(v, better)) for m, v in zip("ab", values, strict=True)]).rows[0]
    assert [cell.best for cell in row.cells] == [i == best for i in range(2)]


def test_equals_are_both_best_and_a_lone_model_is_not_best_of_anything() -> None:
    both = summarise([report(m, 0, figure(2.0)) for m in "ab"]).rows[0]
    assert [cell.best for cell in both.cells] == [True, True]
    assert not summarise([report("a", 0, figure(2.0))]).rows[0].cells[0].best


@pytest.mark.parametrize(
    ("better", "value", "ci", "reached"),
    [
        (Better.LOWER, 1.2, (0.9, 1.5), True),
        (Better.LOWER, 1.2, (1.1, 1.3), False),
        (Better.LOWER, 0.5, None, True),
        (Better.HIGHER, 0.8, (0.5, 1.1), True),
        (Better.HIGHER, 0.8, None, False),
        (Better.FLOOR, 0.8, (0.6, 0.9), False),
        (Better.FLOOR, 1.2, (0.9, 1.5), True),
        (Better.FLOOR, 1.0, (math.nan, math.nan), True),
        (Better.LOWER, math.nan, None, False),
    ],
)
def test_reaching_the_floor(better: Better, value: float, ci: tuple[float, float] | None, reached: bool) -> None:
    row = summarise([report("a", 0, figure(value, better, ci=ci))]).rows[0]
    assert row.cells[0].at_floor is reached


def test_a_model_without_some_mode_leaves_a_blank() -> None:
    extra = Metric("iou", "inpainting", 0.9, "share", Better.HIGHER)
    got = summarise([report("a", 0, figure(1.0)), report("b", 0, figure(2.0), extra)])
    row = got.rows[1]
    assert (row.name, row.floor) == ("iou", None)
    assert math.isnan(row.cells[0].mean)
    assert [(c.seeds, c.best) for c in row.cells] == [(0, False), (1, True)]


def test_curves_are_means_over_seeds() -> None:
    other = replace(HISTOGRAM, generated=(0.0, 1.0))
    got = summarise([report("a", 0, figure(1.0)), report("a", 1, figure(1.0), histograms=(other,))])
    assert got.curves[0].generated == ((0.5, 0.5),)
    assert got.curves[0].real == HISTOGRAM.real


def test_reports_on_other_designs_are_not_compared() -> None:
    other = replace(HISTOGRAM, real=(0.4, 0.6))
    for changed in ({"histograms": (other,)}, {"counts": {"samples": 10, "test": 11, "train": 20}}):
        with pytest.raises(UsageError, match="a and b were judged against different real designs"):
            summarise([report("a", 0, figure(1.0)), report("b", 0, figure(1.0), **changed)])
    with pytest.raises(UsageError, match="no reports"):
        summarise([])


def test_notes_name_their_model_where_there_are_several() -> None:
    one, two = report("a", 0, figure(1.0), notes=("few",)), report("b", 0, figure(1.0), notes=("few",))
    assert summarise([one]).notes == ("few",)
    assert summarise([one, two]).notes == ("a: few", "b: few")
