"""What comes from outside neither drives a terminal nor computes in a spreadsheet."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

import epurecli as epure
from epurecli.data.csv_file import read_csv
from epurecli.evaluate.metric import Better, Metric, Report
from epurecli.evaluate.report import _line
from epurecli.text import csv_cell, from_csv_cell, printable


@given(st.text() | st.from_regex(r"'*[=+@-].*"))
@example("'0'=")
def test_a_cell_is_never_a_formula_and_reads_back(name: str) -> None:
    cell = csv_cell(name)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert from_csv_cell(cell) == name


@given(st.text())
def test_a_terminal_gets_no_control_characters(name: str) -> None:
    assert printable(name).replace("\n", "").isprintable()


def test_a_manifest_has_no_formulas_and_is_read_back(tmp_path: Path) -> None:
    images = np.zeros((3, 2, 8, 8), np.uint8)
    given = np.array([[True, False]] * 3)
    made = epure.Designs(
        images,
        ("-bt", "=fpu"),
        ("=a", "@b", "c"),
        ("=width",),
        np.ones((3, 1)),
        given=given,
        provenance={"model": "=m"},
    )
    made.save(tmp_path / "out")
    with (tmp_path / "out" / "manifest.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "@", "+", "-"))]
    back = epure.read(tmp_path / "out", ("-bt", "=fpu"))
    assert (back.names, back.columns, back.provenance["model"]) == (made.names, made.columns, "=m")
    assert np.array_equal(back.given, given)
    assert read_csv(tmp_path / "out" / "manifest.csv").column("name") == ["=a", "@b", "c"]


def test_a_report_has_no_formulas() -> None:
    metric = Metric("iou of =bt", "inpainting", 0.5, "share", Better.HIGHER)
    named = Metric("=bt", "inpainting", 0.5, "share", Better.HIGHER)
    line = _line(Report("=vae", 0, {}, (metric, named), (), ()), named)
    assert line[0] == "'=vae"
    assert line[3] == "'=bt"
