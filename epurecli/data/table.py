"""The CSV of a data set: prefixes, split and condition columns, every fault with its row."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epurecli.data.problems import Problem
from epurecli.errors import DataError, NotFound

if TYPE_CHECKING:
    import pandas as pd

_TRUE = {"true", "1", "1.0", "yes", "t", "y", "train"}
_FALSE = {"false", "0", "0.0", "no", "f", "n", "test"}
_FIRST_ROW = 2  # the header is row 1
_AS_TEXT: dict[str, Any] = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}


@dataclass(frozen=True, slots=True)
class Table:
    """What the CSV says. Where there are problems, the values of their rows mean nothing."""

    prefixes: tuple[str, ...]
    rows: NDArray[np.int64]  # (M,) row of each design in the file
    train: NDArray[np.bool_] | None  # (M,); None: no such column
    columns: dict[str, NDArray[np.float64]]  # numeric columns that were asked for and are there
    names: tuple[str, ...]  # every column of the file
    problems: tuple[Problem, ...]


def read_csv(path: Path) -> pd.DataFrame:
    """The file as text cells, untouched (a prefix `007` stays `007`), without empty lines; the index counts them.

    Raises:
        NotFound: no such file.
        DataError: not a CSV that can be read.
    """
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            frame = pd.read_csv(path, index_col=False, skip_blank_lines=False, skipinitialspace=True, **_AS_TEXT)
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", "a data set needs a CSV with one row per design") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty", "the first row must name the columns") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}", "save it as comma-separated UTF-8 text") from None
    if len(frame.columns) == 1 and ";" in str(frame.columns[0]):
        raise DataError(f"{path} is separated by semicolons", "save it with commas, and with points in numbers")
    frame = frame.fillna("")
    return frame[(frame != "").any(axis=1)]


def read_table(
    path: Path, prefix_column: str, split_column: str, required: Iterable[str], optional: Iterable[str]
) -> Table:
    """Read prefixes, split and numeric columns. Every fault is in `problems`; rows without a usable name are left out.

    Raises:
        NotFound, DataError: as `read_csv`; also when the prefix column is missing, for then nothing can be named.
    """
    frame = read_csv(path)
    names = tuple(frame.columns)
    file = path.name
    if prefix_column not in names:
        raise DataError(
            f"{path} has no column {prefix_column!r} for the designs' names; it has {', '.join(names)}",
            "set data.prefix_column to the one that holds them",
        )
    rows = frame.index.to_numpy(np.int64) + _FIRST_ROW
    named, problems = _prefix_faults(frame[prefix_column], rows, file)
    columns: dict[str, NDArray[np.float64]] = {}
    required = tuple(required)
    for name in dict.fromkeys((*required, *optional)):
        if name in names:
            values, faults = _numbers(frame[name], rows, file)
            columns[name] = values[named]
            problems += faults
        elif name in required:
            problems.append(_missing_column(file, name, names))

    train = None
    if split_column in names:
        train, known = split_flags(frame[split_column])
        for i in np.flatnonzero(~known):
            what = f"column {split_column!r} says {frame[split_column].iloc[i]!r}, which is neither true nor false"
            problems.append(Problem(file, int(rows[i]), what, "write True for training, False for testing"))
        train = train[named]
    if not len(frame):
        problems.append(Problem(file, None, "has no rows", "add one row per design"))
    problems.sort(key=lambda problem: problem.row or 0)
    prefixes = tuple(frame[prefix_column].to_numpy(dtype=object)[named])
    return Table(prefixes, rows[named], train, columns, names, tuple(problems))


def split_flags(cells: pd.Series) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows train, and which say clearly whether they do."""
    words = cells.str.strip().str.lower()
    train = words.isin(_TRUE).to_numpy()
    return train, train | words.isin(_FALSE).to_numpy()


def _prefix_faults(cells: pd.Series, rows: NDArray[np.int64], file: str) -> tuple[NDArray[np.bool_], list[Problem]]:
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


def _numbers(cells: pd.Series, rows: NDArray[np.int64], file: str) -> tuple[NDArray[np.float64], list[Problem]]:
    """A column as floats, and a problem for each cell that is no finite number."""
    import pandas as pd

    values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    problems = []
    for i in np.flatnonzero(~np.isfinite(values)):
        cell = cells.iloc[i]
        what = f"says {cell!r}, which is no finite number" if cell.strip() else "is empty"
        hint = "fill in the number, or take the row out"
        problems.append(Problem(file, int(rows[i]), f"column {cells.name!r} {what}", hint))
    return values, problems


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
