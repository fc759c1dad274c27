"""What people say about conditions (`width_px=58`, a grid, a CSV) -> a table of raw values."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from epurecli.errors import DataError, NotFound, UsageError

MAX_GRID = 1_000_000

Value = float | tuple[float, float] | Sequence[float] | NDArray[np.generic]


def parse_settings(texts: Sequence[str], columns: Sequence[str]) -> NDArray[np.float64]:  # (1, D)
    """`name=value`; columns that are not named are NaN (see `complete`).

    Raises: UsageError: unknown or repeated condition; not a number.
    """
    values: dict[str, float] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        name = _known(name.strip(), columns)
        if not separator:
            raise UsageError(f"--set-condition {text}: expected name=value, for example {columns[0]}=58")
        if name in values:
            raise UsageError(f"--set-condition: {name} is given twice")
        values[name] = _number(value, f"--set-condition {text}")
    return np.array([[values.get(c, np.nan) for c in columns]])


def parse_grid(text: str, columns: Sequence[str]) -> NDArray[np.float64]:  # (M, D)
    """`a=49:64:4,b=45:59:4`: start:stop:step, stop included; or a single value. Every combination, last name fastest.

    Raises: UsageError.
    """
    axes: dict[str, NDArray[np.float64]] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, separator, spec = part.partition("=")
        name = _known(name.strip(), columns)
        if not separator or name in axes:
            raise UsageError(f"--grid {part}: expected each name once, as name=start:stop:step")
        numbers = [_number(n, f"--grid {part}") for n in spec.split(":")]
        if len(numbers) == 1:
            axes[name] = np.array(numbers)
        elif len(numbers) == 3 and numbers[2] > 0 and numbers[1] >= numbers[0]:
            steps = (numbers[1] - numbers[0]) / numbers[2] + 1e-9
            if steps >= MAX_GRID:
                raise UsageError(f"--grid {part}: more than {MAX_GRID} values")
            axes[name] = numbers[0] + numbers[2] * np.arange(int(steps) + 1)
        else:
            raise UsageError(f"--grid {part}: expected start:stop:step with start <= stop and step > 0")
    if not axes:
        raise UsageError("--grid is empty", hint=f"for example --grid {columns[0]}=49:64:4")
    if np.prod([float(len(a)) for a in axes.values()]) > MAX_GRID:
        raise UsageError(f"--grid has more than {MAX_GRID} combinations")
    table = np.full((int(np.prod([len(a) for a in axes.values()])), len(columns)), np.nan)
    for row, values in zip(table, itertools.product(*axes.values()), strict=True):
        row[[columns.index(name) for name in axes]] = values
    return table


def from_values(
    values: Mapping[str, Value], columns: Sequence[str], count: int | None, seed: int
) -> NDArray[np.float64]:  # (M, D)
    """A number, a range or one value a design for each named condition; columns that are not named are NaN.

    Args:
        values: name -> a number; (low, high), from which every design gets a value of its own, uniformly, by the seed
            and its number alone; or a list, array or series of M numbers.
        count: how many designs (default: as many as the longest list has; 1 where there is none).

    Raises:
        UsageError: unknown condition; not finite; a range from high to low; lists of another length than M.
    """
    given = {_known(name, columns): value for name, value in values.items()}
    lists = {name: len(value) for name, value in given.items() if _is_list(value)}
    number = count or max(lists.values(), default=1)
    table = np.full((number, len(columns)), np.nan)
    for name, value in given.items():
        index = columns.index(name)
        if _is_list(value):
            if len(value) != number:
                raise UsageError(f"{name}: {len(value)} values for {number} designs")
            table[:, index] = [_number(str(one), name) for one in value]
        elif isinstance(value, tuple):
            low, high = (_number(str(edge), f"{name}={value}") for edge in value) if len(value) == 2 else (1.0, 0.0)
            if low > high:
                raise UsageError(f"{name}={value}: expected a range (low, high)", "give a list for one value a design")
            table[:, index] = np.random.default_rng((seed, index)).uniform(low, high, number)
        else:
            table[:, index] = _number(str(value), name)
    return table


def _is_list(value: Value) -> TypeGuard[Sequence[float]]:
    return hasattr(value, "__len__") and not isinstance(value, (str, tuple))


def read_csv(path: Path, columns: Sequence[str]) -> NDArray[np.float64]:  # (M, D)
    """The condition columns of a CSV, one design per row.

    Raises: NotFound, DataError: names the column or row.
    """
    import pandas as pd

    if not path.is_file():
        raise NotFound(f"{path}: no such conditions file")
    try:
        table = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path}: not a readable CSV: {error}") from error
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise DataError(
            f"{path}: lacks the condition column{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
            hint=f"it has {', '.join(map(str, table.columns))}",
        )
    if table.empty:
        raise DataError(f"{path}: has no rows")
    values = table[list(columns)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        found = table[columns[column]].iloc[row]
        shown = "empty" if pd.isna(found) else repr(found) if isinstance(found, str) else str(found)
        raise DataError(f"{path}, row {row + 2}: {columns[column]} is {shown}, not a finite number")
    return values


def complete(
    table: NDArray[np.float64], mean: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fill conditions that were not given (NaN) with their expected value given the others, as the training data has
    it.

    E[m | g] = mean_m + C_mg C_gg^-1 (g - mean_g), the same columns missing in every row.
    """
    missing = np.isnan(table[0])
    if not missing.any():
        return table
    given = ~missing
    filled = table.copy()
    gain = covariance[np.ix_(missing, given)] @ np.linalg.pinv(covariance[np.ix_(given, given)])
    filled[:, missing] = mean[missing] + (table[:, given] - mean[given]) @ gain.T
    return filled


def _known(name: str, columns: Sequence[str]) -> str:
    if name in columns:
        return name
    if not columns:
        raise UsageError(f"no condition {name!r}: this model was trained without conditions")
    near = difflib.get_close_matches(name, columns, n=1)
    raise UsageError(
        f"no condition {name!r}" + (f" - did you mean {near[0]!r}?" if near else ""),
        hint=f"this model was trained with: {', '.join(columns)}",
    )


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UsageError(f"{where}: {text!r} is not a finite number")
    return value
