"""True figures of designs that were proposed: what comes back from a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epurecli.api.designs import Designs
from epurecli.api.reading import read
from epurecli.data.csv_file import read_csv
from epurecli.errors import DataError
from epurecli.sample.layout import SIMULATE


@dataclass(frozen=True, eq=False)
class Simulated:
    """Designs whose true figures are known by now."""

    designs: Designs
    values: NDArray[np.float64]  # (B, K) raw units, NaN where there is none
    columns: tuple[str, ...]


def read_simulated(path: Path, components: Sequence[str], columns: Sequence[str]) -> Simulated:
    """True figures of designs that `epure design` proposed: a CSV in their folder, with the column `name`.

    Raises: NotFound, DataError: the CSV names no design of its folder, or holds no figure.
    """
    table = read_csv(path)
    own = table.find("name")
    if own is None:
        raise DataError(f"{path} has no column 'name'", f"fill in {SIMULATE}, which names the designs")
    designs = read(path.parent, components)
    place = {name: i for i, name in enumerate(designs.names)}
    strangers = [cell for cell in table.column(own) if cell not in place]
    if strangers:
        raise DataError(
            f"{path}: {strangers[0]!r} is no design of {path.parent}", "keep the CSV in the folder of its designs"
        )
    rows = [place[cell] for cell in table.column(own)]
    found = {}
    for name in columns:
        column = table.find(name)
        if column is None:
            continue
        values, faults = table.numbers(column)
        wrong = [(i, what) for i, what in faults if table.column(column)[i]]
        if wrong:
            raise DataError(f"{path}, row {table.rows[wrong[0][0]]}: {column} {wrong[0][1]}", "fill in the number")
        if np.isfinite(values).any():
            found[name] = values
    if not found:
        raise DataError(f"{path} holds no figure", f"fill in some of {', '.join(columns)}")
    return Simulated(designs[rows], np.stack(list(found.values()), 1), tuple(found))
