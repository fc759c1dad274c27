"""The CSV of a data set: prefixes, split and condition columns, every fault with its row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epurecli.data.csv_file import fold, read_csv
from epurecli.data.problems import Problem
from epurecli.errors import DataError

LARGEST = 1e37  # single precision ends at 3.4e38
_SENTINELS = (-9999.0, -999.0, -99.0, 999.0, 9999.0, 99999.0, -99999.0, 1e30, -1e30, 1e20, -1e20)
_FAR, _FAR_SENTINEL = 20.0, 3.0  # widths of the middle nine tenths
_FEW = 8  # rows, below which nothing is called far from the rest


class Part(IntEnum):
    """What a design is for."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    UNKNOWN = 3


_PARTS = {
    **dict.fromkeys(
        ("true", "1", "1.0", "yes", "t", "y", "train", "training", "vrai", "oui", "wahr", "ja"), Part.TRAIN
    ),
    **dict.fromkeys(("val", "valid", "validation", "dev"), Part.VALIDATION),
    **dict.fromkeys(
        ("false", "0", "0.0", "no", "f", "n", "test", "testing", "faux", "non", "falsch", "nein"), Part.TEST
    ),
}


@dataclass(frozen=True, slots=True)
class Table:
    """What the CSV says. Where there are problems, the values of their rows mean nothing."""

    prefixes: tuple[str, ...]
    rows: NDArray[np.int64]  # (M,) row of each design in the file
    part: NDArray[np.int8] | None  # (M,) of Part; None: no such column
    columns: dict[str, NDArray[np.float64]]  # numeric columns that were asked for and are there
    names: tuple[str, ...]  # every column of the file
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what was taken for what
    splits: tuple[str, ...] = ()  # other columns whose every cell says what a design is for, in words


def read_table(
    path: Path, prefix_column: str, split_column: str, required: Iterable[str], optional: Iterable[str]
) -> Table:
    """Read prefixes, split and numeric columns. Every fault is in `problems`; rows without a usable name are left out.

    Raises:
        NotFound, DataError: as `read_csv`; also when the prefix column is missing, for then nothing can be named.
    """
    table = read_csv(path)
    file = path.name
    prefix_name = table.find(prefix_column)
    if prefix_name is None:
        raise DataError(
            f"{path} has no column {prefix_column!r} for the designs' names; it has {', '.join(table.names)}",
            "set data.prefix_column to the one that holds them",
        )
    cells = table.column(prefix_name)
    named, problems = _prefix_faults(cells, table.rows, file)
    columns: dict[str, NDArray[np.float64]] = {}
    warnings, commas = [], []
    required = tuple(required)
    for name in dict.fromkeys((*required, *optional)):
        own = table.find(name)
        if own is None:
            if name in required:
                problems.append(_missing_column(file, name, table.names))
            continue
        values, faults = table.numbers(own)
        columns[name] = values[named]
        hint = "fill in the number, or take the row out"
        words = _words(table.column(own), faults)
        if words:
            hint = f"{own} holds words: it cannot be a condition; give numbers, or leave it out of the conditions"
        problems += [Problem(file, int(table.rows[i]), f"column {own!r} {what}", hint) for i, what in faults]
        for i in np.flatnonzero(np.abs(values) > LARGEST):
            what = f"column {own!r} says {values[i]:g}, beyond what single precision holds"
            problems.append(Problem(file, int(table.rows[i]), what, hint))
        if name in required:
            warnings += _odd_values(own, values, table.rows, file)
        if any("," in cell for cell in table.column(own)):
            commas.append(own)

    part = None
    split_name = table.find(split_column)
    if split_name is not None:
        words = table.column(split_name)
        part = parts_of(words)
        for i in np.flatnonzero(part == Part.UNKNOWN):
            what = f"column {split_name!r} says {words[i]!r}, which is neither true nor false"
            hint = "write True for training and False for testing, or train, val and test"
            problems.append(Problem(file, int(table.rows[i]), what, hint))
        part = part[named]
    if table.twice:
        problems.append(Problem(file, 1, table.twice, "give each column a name of its own"))
    if not len(table):
        problems.append(Problem(file, None, "has no rows", "add one row per design"))
    problems.sort(key=lambda problem: problem.row or 0)
    prefixes = tuple(cell for cell, kept in zip(cells, named, strict=True) if kept)
    notes = [*table.notes, *([f"decimal commas in {', '.join(commas)}"] if commas else [])]
    told = (f"{file}: {'; '.join(notes)}",) if notes else ()
    splits = tuple(name for name in table.names if name != split_name and says_parts(table.column(name)))
    return Table(
        prefixes, table.rows[named], part, columns, table.names, tuple(problems), tuple(warnings), told, splits
    )


def parts_of(words: Sequence[str]) -> NDArray[np.int8]:
    """What each cell of a split column says."""
    return np.array([_PARTS.get(fold(word), Part.UNKNOWN) for word in words], np.int8)


def says_parts(cells: Sequence[str]) -> bool:
    """Whether every cell says what a design is for, in words: 0 and 1 may number anything."""
    if not cells or fold(cells[0]) not in _PARTS:  # most columns
        return False
    return any(cell.isalpha() for cell in cells) and bool((parts_of(cells) != Part.UNKNOWN).all())


def _words(cells: Sequence[str], faults: Sequence[tuple[int, str]]) -> bool:
    """Whether most cells are words rather than numbers: a category."""
    return sum(bool(cells[i]) for i, _ in faults) * 2 > len(cells)


def _odd_values(name: str, values: NDArray[np.float64], rows: NDArray[np.int64], file: str) -> list[str]:
    """Warnings of values so far from the rest that they ruin the column's scale, and of a column without any scale."""
    finite = np.isfinite(values)
    known = values[finite]
    if len(known) < 2:
        return []
    if known.min() == known.max():
        return [f"{file}: column {name!r} is {known[0]:g} in every row: nothing can be learned from it"]
    if len(known) < _FEW:
        return []
    low, middle, high = np.quantile(known, (0.1, 0.5, 0.9), method="nearest")
    width = max(high - low, 1e-9 * max(abs(middle), 1e-300))
    distance = np.abs(values - middle) / width
    far = finite & ((distance > _FAR) | (np.isin(values, _SENTINELS) & (distance > _FAR_SENTINEL)))
    if not far.any() or 4 * far.sum() > len(known):
        return []
    shown = ", ".join(f"{values[i]:g} (row {rows[i]})" for i in np.flatnonzero(far)[:3])
    more = f" and {far.sum() - 3} more" if far.sum() > 3 else ""
    return [
        f"{file}: column {name!r} says {shown}{more}, far from the rest ({low:g} to {high:g}): if that means 'not "
        "measured', take those rows out"
    ]


def _prefix_faults(cells: Sequence[str], rows: NDArray[np.int64], file: str) -> tuple[NDArray[np.bool_], list[Problem]]:
    """Which rows have a name of their own, and a problem for each that has not."""
    named = np.ones(len(rows), bool)
    first_row: dict[str, int] = {}
    problems = []
    for i, (prefix, row) in enumerate(zip(cells, rows.tolist(), strict=True)):
        fault = _prefix_fault(prefix)
        if fault is None and first_row.setdefault(prefix, row) != row:
            fault = f"prefix {prefix!r} was used before, in row {first_row[prefix]}", "give each design one row"
        if fault:
            named[i] = False
            problems.append(Problem(file, row, *fault))
    return named, problems


def _prefix_fault(prefix: str) -> tuple[str, str] | None:
    """Why a prefix cannot be part of a file name, and what to do."""
    hint = "a prefix is a plain name: the files are <component>/<prefix>_<component>.png inside the data folder"
    if not prefix.strip():
        return "the prefix is empty", hint
    if any(mark in prefix for mark in "/\\:\0") or prefix in (".", ".."):
        return f"prefix {prefix!r} points outside the folder", hint
    return None


def _missing_column(file: str, name: str, names: tuple[str, ...]) -> Problem:
    """A condition column that the CSV does not have."""
    hint = f"set data.condition_columns to some of: {', '.join(names)}"
    if f"{name}_norm" in names:
        hint = f"it has {name}_norm: add the raw column, or name {name}_norm in data.condition_columns"
    return Problem(file, 1, f"column {name!r} is missing", hint)
