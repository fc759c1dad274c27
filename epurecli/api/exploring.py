"""A folder of designs as one HTML file, with the numbers that lie beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epurecli.api.designs import Designs
from epurecli.api.reading import read
from epurecli.api.run_data import designs_in
from epurecli.data.csv_file import CsvFile, read_csv
from epurecli.data.describe import find_csv
from epurecli.data.source import open_data
from epurecli.errors import DataError, EpureError, NotFound
from epurecli.explore import NAME, check_target
from epurecli.listener import QUIET, Listener
from epurecli.sample.layout import MANIFEST

MOST = 5000  # designs in a file that is to travel by mail: about 1 MB
_TRUTH = {"true": 1.0, "false": 0.0}

Values = NDArray[np.float64] | tuple[str, ...]


def explore(
    folder: str | Path,
    out: str | Path = NAME,
    *,
    most: int = MOST,
    overwrite: bool = False,
    listener: Listener = QUIET,
) -> Path:
    """Write the designs of a folder as one HTML file, with every column that its CSV files have of them.

    Args:
        folder: samples, designed or kept designs, a data set, or PNGs of one's own.
        most: how many designs at most; of more, so many spread evenly over the folder.

    Raises:
        NotFound, DataError: of the folder; UsageError: `out` exists; CannotWrite.
    """
    folder, out = Path(folder), check_target(out, overwrite)
    if not folder.is_dir():
        raise NotFound(f"{folder}: no such folder of designs", "a folder of samples, or a data set")
    sampled = (folder / MANIFEST).is_file() or any(folder.glob("samples_*.npz"))
    if not sampled and find_csv(folder) is not None:
        designs = _of_data(folder, most, listener)
    else:
        everything = read(folder)
        designs = everything[_spread(len(everything), most, listener)]
    values = dict(_from_csv(folder, designs, listener))
    return designs.explorer(out, title=folder.resolve().name, values=values, overwrite=overwrite)


def _of_data(folder: Path, most: int, listener: Listener) -> Designs:
    data = open_data(folder, listener=listener)
    rows = _spread(len(data), most, listener)
    return replace(designs_in(data, rows), partial=data.known is not None)


def _spread(count: int, most: int, listener: Listener) -> NDArray[np.int64]:
    """Which designs are taken."""
    if count > most:
        listener.note(f"{most:,} of {count:,} designs, spread evenly; --most {count} takes them all")
    return np.linspace(0, max(count - 1, 0), min(count, most)).round().astype(np.int64)


def _from_csv(folder: Path, designs: Designs, listener: Listener) -> Iterator[tuple[str, Values]]:
    """The columns of a folder's CSV files, for the designs that their rows name. What stands there as a condition
    already is not repeated."""
    known: dict[str, Values] = dict(zip(designs.columns, designs.values.T, strict=True))
    for path in sorted(folder.glob("*.csv")):
        if path.name == MANIFEST or path.name.startswith("."):
            continue
        try:
            columns = list(_columns(read_csv(path), designs.names))
        except EpureError as error:
            listener.warn(f"left out: {error.message}")
            continue
        for name, values in columns:
            if name not in known:
                known[name] = values
                yield name, values
            elif not _same(values, known[name]):
                yield f"{path.stem}: {name}", values


def _columns(table: CsvFile, names: Sequence[str]) -> Iterator[tuple[str, Values]]:
    """Its columns, (B,) each: numbers, NaN for a design that has none, or words. What is empty is left out."""
    if table.twice is not None:
        raise DataError(f"{table.path}: {table.twice}")
    place = {name: k for k, name in enumerate(names)}
    hits = {column: sum(cell in place for cell in table.column(column)) for column in table.names}
    key = max(table.names, key=lambda column: hits[column])
    if not hits[key]:
        raise DataError(f"{table.path}: no column names the designs")
    cells = table.column(key)
    rows = [row for row, cell in enumerate(cells) if cell in place]
    if len({cells[row] for row in rows}) < len(rows):
        raise DataError(f"{table.path}: column {key} names a design twice")
    of = {place[cells[row]]: row for row in rows}  # design -> row
    for column in table.names:
        texts, numbers = table.column(column), _numbers(table, column)
        said = [texts[row] for row in rows if texts[row]]
        if column == key or not said:
            continue
        if 2 * np.isfinite(numbers[rows]).sum() >= len(said):
            yield column, np.array([numbers[of[k]] if k in of else np.nan for k in range(len(names))])
        else:
            yield column, tuple(texts[of[k]] if k in of else "" for k in range(len(names)))


def _numbers(table: CsvFile, column: str) -> NDArray[np.float64]:
    """A column as floats, NaN where a cell is no number; true and false are 1 and 0."""
    words = [cell.lower() for cell in table.column(column)]
    if {word for word in words if word} <= _TRUTH.keys():
        return np.array([_TRUTH.get(word, np.nan) for word in words])
    return table.numbers(column)[0]


def _same(values: Values, others: Values) -> bool:
    if isinstance(values, tuple) or isinstance(others, tuple):
        return values is others
    return bool(np.allclose(values, others, rtol=1e-6, equal_nan=True))
