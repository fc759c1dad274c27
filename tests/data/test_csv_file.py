"""CSV files in the dialects that people's programs write: the same values come back, in the same rows."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epurecli.data.csv_file import fold, parse_numbers, read_csv
from epurecli.errors import DataError
from epurecli.sample.conditions import read_conditions

WORDS = st.text("abcéßüÀ øxyz_-()#1", min_size=1, max_size=8).map(lambda s: s.strip() or "x")
NUMBERS = st.one_of(
    st.integers(-999_999, 999_999).map(float),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 4)),
)
DIALECTS = [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", ".")]


@settings(max_examples=150, deadline=None)
@given(
    table=st.lists(st.tuples(WORDS, NUMBERS, NUMBERS), min_size=1, max_size=12),
    dialect=st.sampled_from(DIALECTS),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
    newline=st.sampled_from(["\n", "\r\n"]),
    gaps=st.sets(st.integers(0, 12), max_size=3),
    trailing=st.booleans(),
)
def test_every_dialect_gives_the_same_values(tmp_path_factory, table, dialect, encoding, newline, gaps, trailing):
    separator, decimal = dialect
    rows = [["Matching ", "Largeur (mm)", "hauteur"]]
    rows += [[name, str(a).replace(".", decimal), str(b).replace(".", decimal)] for name, a, b in table]
    numbers, text = [], io.StringIO()
    writer = csv.writer(text, delimiter=separator, lineterminator=newline)
    line = 0
    for i, row in enumerate(rows):
        if i in gaps:
            writer.writerow([""] * 3)  # an empty row, as spreadsheets leave them
            line += 1
        line += 1
        numbers.append(line)
        writer.writerow([*row, ""] if trailing else row)
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    found = read_csv(path)
    assert found.names == ("Matching", "Largeur (mm)", "hauteur")
    assert found.rows.tolist() == numbers[1:]
    assert found.column("Matching") == [name.strip() for name, _, _ in table]
    for name, column in (("Largeur (mm)", 1), ("hauteur", 2)):
        values, faults = found.numbers(name)
        if faults:  # a decimal comma and a point in one column: said, never guessed
            assert any("," in row[column] for row in rows[1:])
            continue
        np.testing.assert_array_equal(values, [row[column] for row in table])


@pytest.mark.parametrize(
    ("cells", "continental", "values"),
    [
        (["1,5", "2,25"], False, [1.5, 2.25]),
        (["1,234"], True, [1.234]),
        (["0,797"], False, [0.797]),
        (["1,234,567"], False, [1234567]),
        (["1.234,5", "2,5"], True, [1234.5, 2.5]),
        (["1,234.5"], False, [1234.5]),
        (["1 234,5", "1\u202f234,5", "1\u00a0234,5", "12'345,5"], True, [1234.5, 1234.5, 1234.5, 12345.5]),
        (["-3e-2", "+4", ".5", "6."], False, [-0.03, 4, 0.5, 6]),
    ],
)
def test_numbers(cells: list[str], continental: bool, values: list[float]) -> None:
    found, faults = parse_numbers(cells, continental)
    assert not faults
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("cells", "continental", "words"),
    [
        (["1,234"], False, "may be 1.234 or 1234"),
        (["1,5", "2.5"], True, "comma or point"),
        (["ten"], False, "no finite number"),
        (["nan"], False, "no finite number"),
        (["1_000"], False, "no finite number"),
        (["1e999"], False, "no finite number"),
        ([""], False, "is empty"),
    ],
)
def test_what_cannot_be_decided_is_said(cells: list[str], continental: bool, words: str) -> None:
    found, faults = parse_numbers(cells, continental)
    assert words in faults[0][1]
    assert np.isnan(found[faults[0][0]])


def test_how_it_was_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("sep=;\nnom;été\na;1\n".encode("cp1252"))
    found = read_csv(path)
    assert found.names == ("nom", "été")
    assert found.rows.tolist() == [3]
    assert found.notes == ("text in Windows-1252", "cells separated by semicolons")
    path.write_text("nom,x\na,1\n", encoding="utf-8-sig")
    assert read_csv(path).notes == ()


def test_names_match_but_for_case_blanks_and_accents(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(" Matching ,E\u0301te\u0301\na,1\n", encoding="utf-8")
    found = read_csv(path)
    assert found.find("matching") == "Matching"
    assert found.find("été") == "E\u0301te\u0301"
    assert found.find("other") is None
    assert fold("STRASSE") == fold("straße")


def test_columns_that_cannot_be_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y,X \n1,2,3\n")
    assert read_csv(path).twice == "2 columns are called 'x'"
    with pytest.raises(DataError, match="2 columns are called 'x'"):
        read_conditions(path, ("x", "y"))
