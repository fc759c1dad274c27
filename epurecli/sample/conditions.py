"""What people say about conditions (`width_px=58`, a grid, a CSV) -> a table of raw values."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from epurecli.data.csv_file import read_csv
from epurecli.data.table import LARGEST
from epurecli.errors import DataError, UsageError
from epurecli.listener import QUIET, Listener

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
        values[name] = parse_number(value, f"--set-condition {text}")
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
        numbers = [parse_number(n, f"--grid {part}") for n in spec.split(":")]
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
            table[:, index] = [parse_number(str(one), name) for one in value]
        elif isinstance(value, tuple):
            low, high = (
                (parse_number(str(edge), f"{name}={value}") for edge in value) if len(value) == 2 else (1.0, 0.0)
            )
            if low > high:
                raise UsageError(f"{name}={value}: expected a range (low, high)", "give a list for one value a design")
            table[:, index] = np.random.default_rng((seed, index)).uniform(low, high, number)
        else:
            table[:, index] = parse_number(str(value), name)
    return table


def _is_list(value: Value) -> TypeGuard[Sequence[float]]:
    return hasattr(value, "__len__") and not isinstance(value, (str, tuple))


def read_conditions(path: Path, columns: Sequence[str], listener: Listener = QUIET) -> NDArray[np.float64]:  # (M, D)
    """The condition columns of a CSV, one design per row; columns that the file does not have are NaN.

    Raises: NotFound, DataError: names the column or row.
    """
    table = read_csv(path)
    found = {column: table.find(column) for column in columns}
    if not any(found.values()):
        near = [name for name in table.names if difflib.get_close_matches(name, columns, n=1)]
        raise DataError(
            f"{path}: has none of the condition columns {', '.join(columns)}",
            hint=f"it has {', '.join(table.names)}" + (f"; did you mean {', '.join(near)}?" if near else ""),
        )
    if table.twice:
        raise DataError(f"{path}: {table.twice}", "give each column a name of its own")
    if not len(table):
        raise DataError(f"{path}: has no rows")
    for text in table.notes:
        listener.note(f"{path.name}: {text}")
    unknown = [name for name in table.names if name not in found.values()]
    if unknown:
        listener.note(f"{path.name}: columns that are no conditions of this model: {', '.join(unknown)}")
    values = np.full((len(table), len(columns)), np.nan)
    for index, own in enumerate(found.values()):
        if own is None:
            continue
        values[:, index], faults = table.numbers(own)
        faults += [
            (i, f"says {values[i, index]:g}, too large") for i in np.flatnonzero(abs(values[:, index]) > LARGEST)
        ]
        if faults:
            row, what = faults[0]
            raise DataError(f"{path}, row {table.rows[row]}: {own} {what}", "fill in the number, or take the row out")
    return values


def fill(
    table: NDArray[np.float64],
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    noise: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Fill conditions that were not given (NaN), the same columns in every row, given the others.

        m | g ~ N(mean_m + C_mg C_gg^-1 (g - mean_g), C_mm - C_mg C_gg^-1 C_gm)

    Args:
        table: (M, D) raw units.
        mean: (D,), or (M, D) where something else is known of each row.
        covariance: (D, D), or (M, D, D).
        noise: (M, D) standard normal numbers; None takes the expected values.

    Source: Bishop, "Pattern Recognition and Machine Learning", 2006, eq. 2.81-2.82.
    """
    missing = np.isnan(table[0])
    given = ~missing
    filled = table.copy()
    across = covariance[..., missing, :][..., given]
    gain = across @ np.linalg.pinv(covariance[..., given, :][..., given], hermitian=True)  # (..., m, g)
    around = table[:, given] - mean[..., given]
    filled[:, missing] = mean[..., missing] + (gain @ around[..., None])[..., 0]
    if noise is not None:
        left = covariance[..., missing, :][..., missing] - gain @ across.swapaxes(-1, -2)
        value, vector = np.linalg.eigh(left)
        root = vector * np.sqrt(np.maximum(value, 0))[..., None, :]
        filled[:, missing] += (root @ noise[:, missing, None])[..., 0]
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


def parse_number(text: str, where: str) -> float:
    """A number that somebody typed. Raises: UsageError, with `where` it stands."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise UsageError(f"{where}: {text!r} is not a finite number")
    if abs(value) > LARGEST:
        raise UsageError(f"{where}: {text} is beyond what single precision holds")
    return value
