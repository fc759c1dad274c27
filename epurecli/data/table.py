"""The CSV of a data set: prefixes, split and condition columns, every fault with its row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epurecli.data.problems import Problem
from epurecli.errors import DataError, NotFound

if TYPE_CHECKING:
    import pandas as pd

_TRUE = {"true", "1", "1.0", "yes", "t", "y", "train"}
_FALSE = {"false", "0", "0.0", "no", "f", "n", "test"}
_FIRST_ROW = 2  # the header is row 1


@dataclass(frozen=True, slots=True)
class Table:
    """What the CSV says about the designs that can be used, and the problems of the others."""

    prefixes: tuple[str, ...]
    rows: NDArray[np.int64]  # (M,) row of each design in the file
    train: NDArray[np.bool_] | None  # (M,); None: no such column
    columns: dict[str, NDArray[np.float64]]  # numeric columns that were asked for and are there
    names: tuple[str, ...]  # every column of the file
    problems: tuple[Problem, ...]


def read_csv(path: Path) -> pd.DataFrame:
    """The file as text cells, untouched (a prefix `007` stays `007`).

    Raises:
        NotFound: no such file.
        DataError: not a CSV that can be read.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", "a data set needs a CSV with one row per design") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty", "the first row must name the columns") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}", "save it as comma-separated UTF-8 text") from None
    if len(frame.columns) == 1 and ";" in str(frame.columns[0]):
        raise DataError(f"{path} is separated by semicolons", "save it with commas, and with points in numbers")
    return frame


def read_table(
    path: Path, prefix_column: str, split_column: str, required: Iterable[str], optional: Iterable[str]
) -> Table:
    """Read prefixes, split and numeric columns. Rows with faults are left out and named in `problems`.

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
    prefixes = frame[prefix_column].to_numpy(dtype=object)
    rows = np.arange(len(frame), dtype=np.int64) + _FIRST_ROW
    problems: list[Problem] = []
    good = np.ones(len(frame), bool)

    first_row: dict[str, int] = {}
    for i, prefix in enumerate(prefixes):
        fault = _prefix_fault(prefix)
        if fault is None and first_row.setdefault(prefix, i) != i:
            fault = (
                f"prefix {prefix!r} was used before, in row {first_row[prefix] + _FIRST_ROW}",
                "give each design one row",
            )
        if fault:
            good[i] = False
            problems.append(Problem(file, i + _FIRST_ROW, *fault))

    columns: dict[str, NDArray[np.float64]] = {}
    required = tuple(required)
    for name in dict.fromkeys((*required, *optional)):
        if name in names:
            columns[name], faults = _numbers(frame[name], file)
            problems += faults
            good[[fault.row - _FIRST_ROW for fault in faults]] = False
        elif name in required:
            problems.append(_missing_column(file, name, names))

    train = None
    if split_column in names:
        train, known = split_flags(frame[split_column])
        for i in np.flatnonzero(~known):
            good[i] = False
            what = f"column {split_column!r} says {frame[split_column].iloc[i]!r}, which is neither true nor false"
            problems.append(Problem(file, int(i) + _FIRST_ROW, what, "write True for training, False for testing"))
        train = train[good]
    if not len(frame):
        problems.append(Problem(file, None, "has no rows", "add one row per design"))
    problems.sort(key=lambda problem: problem.row or 0)
    kept = {name: values[good] for name, values in columns.items()}
    return Table(tuple(prefixes[good]), rows[good], train, kept, names, tuple(problems))


def split_flags(cells: pd.Series) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows train, and which say clearly whether they do."""
    words = cells.str.strip().str.lower()
    train = words.isin(_TRUE).to_numpy()
    return train, train | words.isin(_FALSE).to_numpy()


def _numbers(cells: pd.Series, file: str) -> tuple[NDArray[np.float64], list[Problem]]:
    """A column as floats, and a problem for each cell that is no finite number."""
    import pandas as pd

    values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)
    problems = []
    for i in np.flatnonzero(~np.isfinite(values)):
        cell = cells.iloc[i]
        what = (
            f"column {cells.name!r} is empty"
            if not cell.strip()
            else f"column {cells.name!r} says {cell!r}, which is no finite number"
        )
        problems.append(Problem(file, int(i) + _FIRST_ROW, what, "fill in the number, or take the row out"))
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
