"""Tables at any width: words wrap, columns move below, and no figure or file name is ever cut."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from epurecli.cli.table import tables

WIDTHS = ("60", "80", "200", None)  # None: a pipe
PACKAGE = Path(__file__).parents[2] / "epurecli"

words = st.text("abc,.019/_-[]", min_size=1, max_size=12)
figures = st.integers(0, 10**12).map("{:,}".format)
rows = st.lists(st.tuples(words, figures, st.lists(words, max_size=6).map(" ".join)), max_size=5)


def drawn(rows: list[tuple[str, ...]], width: int | None) -> tuple[str, list[int]]:
    """The text of all tables, and the widths that they say they have."""
    console = Console(width=500, highlight=False)
    made = tables(("name", "figure", "remark"), rows, width, prose=("remark",), figures=("figure",))
    with console.capture() as caught:
        for table, needed in made:
            console.print(table, width=needed)
    return caught.get(), [needed for _, needed in made]


@given(rows, st.one_of(st.none(), st.integers(10, 120)))
def test_every_cell_is_whole_at_any_width(rows: list[tuple[str, str, str]], width: int | None) -> None:
    text, needed = drawn(rows, width)
    cells = [cell.strip() for line in text.splitlines() for cell in re.split("[│┃]", line)]
    for name, figure, remark in rows:
        assert name in cells
        assert figure in cells
        assert all(any(word in cell.split() for cell in cells) for word in remark.split())
    assert "…" not in text
    lines = [cell_len(line) for line in text.splitlines()]
    assert max(lines) == max(needed)
    widest = max([4, *(len(name) for name, _, _ in rows)]) + max(
        [6, *(len(word) for _, figure, remark in rows for word in (figure, *remark.split()))]
    )
    if width is None:
        assert len(needed) == 1
    elif widest + 7 <= width:  # the first column and the widest of the others fit beside each other
        assert max(needed) <= width


def test_the_first_column_stands_in_every_table_and_a_heading_too() -> None:
    made = tables(("metric", "first model", "second model"), [("novelty",), ("copies", "0.123", "0.456")], 25)
    console = Console(width=80)
    with console.capture() as caught:
        for table, _ in made:
            console.print(table)
    assert len(made) == 2
    for word in ("metric", "novelty", "copies"):
        assert caught.get().count(word) == 2


def test_every_table_goes_through_this_one() -> None:
    users = [p.name for p in PACKAGE.rglob("*.py") if re.search(r"rich(\.| import )[tT]able", p.read_text("utf-8"))]
    assert users == ["table.py"]


@pytest.fixture
def broken(designs: Path) -> Path:
    """A data set of which one image cannot be read."""
    image = next((designs / "train" / "crown").glob("*.png"))
    image.write_bytes(b"no image")
    return designs


@pytest.fixture(params=[w if w in ("60", None) else pytest.param(w, marks=pytest.mark.slow) for w in WIDTHS], ids=str)
def at_width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    if request.param is None:
        monkeypatch.delenv("COLUMNS", raising=False)
        return None
    monkeypatch.setenv("COLUMNS", request.param)
    return int(request.param)


def fits(text: str, width: int | None) -> bool:
    return width is None or all(cell_len(line) <= width for line in text.splitlines())


def test_count_params_shows_whole_figures(epure_process, epure, at_width: int | None) -> None:
    text = epure_process("count-params", "meta_vae").out
    for row in json.loads(epure("count-params", "meta_vae", "--json").out):
        assert row["config"] in text
        for key in ("total", "trainable", "frozen"):
            assert re.search(rf"(?<![\d,]){row[key]:,}(?![\d,])", text), f"{key} of {row['config']}"
    assert fits(text, at_width)


def test_data_commands_show_whole_names_and_figures(epure_process, broken: Path, at_width: int | None) -> None:
    result = epure_process("data", "check", "designs", cwd=broken.parent)
    assert result.code == 1
    (found,) = json.loads(epure_process("data", "check", "designs", "--json", cwd=broken.parent).out)["problems"]
    assert found["file"] in result.out
    assert all(word in result.out for word in (*found["what"].split(), *found["hint"].split()))
    assert fits(result.out, at_width)
    text = epure_process("data", "describe", broken).out.partition("data:")[0]
    for word in ("width_px", "height_px", "distinct", "values"):
        assert word in text
    assert "…" not in text


@pytest.mark.slow
def test_models_doctor_and_show_are_whole(epure_process, work: Path, at_width: int | None, tmp_path: Path) -> None:
    text = epure_process("models").out
    for row in json.loads(epure_process("models", "--json").out):
        assert all(word in text for word in (*row["modes"], *row["configs"], *row["title"].split()))
    assert fits(text, at_width)
    said = epure_process("doctor")
    assert all(value in said.out for value in json.loads(epure_process("doctor", "--json").out)["facts"].values())
    show = ("show", "gmrf_mvae", "--out", tmp_path / "map.png")
    text, facts = epure_process(*show, cwd=work).out, json.loads(epure_process(*show, "--json", cwd=work).out)
    for name, row in zip(facts["components"], facts["canonical_correlations"], strict=True):
        assert name in text
        assert all(f" {value:.2f} " in text for value in row)
    assert fits(text.partition("\n")[2].partition("heat map")[0], at_width)
