"""Ranks, and what programs read of a comparison: every figure equals a formula of its own."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epurecli.evaluate import Better, Metric, Report, summarise, write_reports
from epurecli.evaluate.album import Album, Card, Gallery, Picture
from epurecli.evaluate.comparison import comparison_files, rank_table
from epurecli.evaluate.report import report_from_tree, report_tree
from epurecli.evaluate.table import Table, section, shown

VALUES = st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3), min_size=2, max_size=4)  # of models, seeds
SIZED = (("<b>", 1_234_567, None), ("b", 2, 0.5))
SIZES = Table("sizes", "Sizes", "What is <large>.", ("model", "total", "share"), SIZED)


def reports(values: list[list[float]], better: Better = Better.LOWER, group: str = "group") -> list[Report]:
    def metric(value: float) -> Metric:
        return Metric("figure", group, value, "px", better, 0.0)

    counts = {"test": 5, "train": 7}
    return [Report(f"m{i}", s, counts, (metric(v),)) for i, seeds in enumerate(values) for s, v in enumerate(seeds)]


@given(VALUES, st.sampled_from(Better))
def test_mean_spread_and_rank_are_the_formulas(values: list[list[float]], better: Better) -> None:
    (row,) = summarise(reports(values, better)).rows
    means = [fmean(seeds) for seeds in values]
    loss = {Better.LOWER: means, Better.HIGHER: [-m for m in means], Better.FLOOR: [abs(m) for m in means]}[better]
    for i, (cell, seeds) in enumerate(zip(row.cells, values, strict=True)):
        assert cell.mean == pytest.approx(means[i])
        assert cell.spread == (pytest.approx(stdev(seeds), abs=1e-6) if len(seeds) > 1 else None)
        assert cell.rank == 1 + sum(other < loss[i] for other in loss)
        assert cell.best == (loss[i] == min(loss))


def test_what_is_not_known_has_no_rank() -> None:
    (row,) = summarise(reports([[1.0], [math.nan], [0.0]])).rows
    assert [cell.rank for cell in row.cells] == [2, None, 1]


def test_mean_ranks_by_group_and_over_all_but_the_cost() -> None:
    def both(model: str, *values: float) -> Report:
        figures = [("validity", "a"), ("validity", "b"), ("novelty", "c"), ("cost", "d")]
        metrics = [Metric(n, g, v, "1", Better.LOWER) for (g, n), v in zip(figures, values, strict=True)]
        return Report(model, 0, {"test": 5, "train": 7}, tuple(metrics))

    table = rank_table(summarise([both("x", 1, 5, 2, 9), both("y", 2, 4, 3, 1), both("z", 3, 6, math.nan, 2)]))
    assert table.heads == ("figures", "count", "x", "y", "z")
    assert table.rows == (
        ("validity", 2, 1.5, 1.5, 3.0),
        ("novelty", 1, 1.0, 2.0, None),
        ("cost", 1, 3.0, 1.0, 2.0),
        ("all that judge designs", 3, pytest.approx(4 / 3), pytest.approx(5 / 3), 3.0),
    )


def test_files_hold_every_figure_and_the_tables(tmp_path: Path) -> None:
    made = reports([[1.0, 3.0], [math.nan], [4.0, 4.0]])
    page = write_reports(made, tmp_path / "out", [SIZES])[2].read_text(encoding="utf-8")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("report.json", "report.csv", "report.html", "compare.json", "compare.csv")
    }
    assert section(SIZES) in page
    content = json.loads((tmp_path / "out" / "compare.json").read_text(encoding="utf-8"))
    assert content["models"] == ["m0", "m1", "m2"]
    assert content["sizes"][0] == {"model": "<b>", "total": 1_234_567, "share": None}
    first, unknown, _ = content["figures"]
    assert (first["model"], first["mean"], first["seeds"], first["rank"]) == ("m0", 2.0, 2, 1)
    assert first["spread"] == pytest.approx(math.sqrt(2))
    assert (unknown["mean"], unknown["spread"], unknown["rank"]) == (None, None, None)
    with (tmp_path / "out" / "compare.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["mean"]) for row in rows] == [("m0", "2.0"), ("m1", ""), ("m2", "4.0")]
    write_reports(made, tmp_path / "out")  # an earlier comparison may be replaced, by a report without one too
    assert not (tmp_path / "out" / "compare.json").exists()


def test_names_are_no_formulas_and_no_markup() -> None:
    (report,) = reports([[1.0]])
    other = Report("=1+1", 0, report.counts, report.metrics)
    assert "'=1+1" in comparison_files(summarise([report, other]), ())["compare.csv"]
    html = section(SIZES)
    assert '<td class="text">&lt;b&gt;</td><td>1,234,567</td><td>–</td>' in html
    assert "What is &lt;large&gt;." in html
    assert [shown(v) for v in ("a", 12, 0.123456, None)] == ["a", "12", "0.1235", "–"]


def test_a_kept_report_comes_back_with_its_pictures() -> None:
    card = Card((Picture("drawn", b"\x89PNG\x00\xff"),), "the first")
    album = Album(("bt",), (Gallery("Drawn", "Some.", (card,)),))
    assert Album.from_tree(json.loads(json.dumps(album.tree()))) == album
    (report,) = reports([[math.nan]])
    again = report_from_tree(json.loads(json.dumps(report_tree(report), allow_nan=False)))
    assert repr(again) == repr(report)
