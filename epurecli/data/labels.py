"""What a data set says of each design in numbers: its conditions, and every other numeric column of its CSV."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epurecli.config.schema import DataConfig, ToySpec
from epurecli.data import toy
from epurecli.data.conditions import norm_name
from epurecli.data.csv_file import fold, read_csv
from epurecli.data.dataset import Dataset


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Numbers of M designs, raw units."""

    columns: tuple[str, ...]
    values: NDArray[np.float64]  # (M, K), NaN where a design has none


def read_labels(config: DataConfig, dataset: Dataset) -> Labels:
    """The conditions first, then the other numeric columns of the CSV. A cell may be empty: a design that has not been
    simulated. Left out: columns that hold words, number the rows or never change, and `_norm` twins of other columns.

    Raises: NotFound, DataError: the CSV cannot be read any more.
    """
    found = dict(zip(dataset.scaler.columns, dataset.conditions.T, strict=True))
    if config.toy is not None:
        others = [name for name in toy.COLUMNS if name not in found]
        found |= _of_toy(config.toy, others) if others else {}
    else:
        found |= _others(config, dataset, tuple(found))
    return Labels(tuple(found), np.stack(list(found.values()), 1) if found else np.empty((len(dataset), 0)))


def _of_toy(spec: ToySpec, columns: list[str]) -> dict[str, NDArray[np.float64]]:
    """Measured on the designs, which are drawn again, some at a time."""
    starts = range(0, spec.count, toy.BLOCK)
    tables = [toy.draw(spec.seed, start, min(toy.BLOCK, spec.count - start))[1] for start in starts]
    return {name: np.concatenate([table[name] for table in tables]).astype(np.float64) for name in columns}


def _others(config: DataConfig, dataset: Dataset, known: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    assert config.csv_path is not None
    table = read_csv(config.csv_path)
    prefixes = table.find(config.prefix_column)
    split = table.find(config.split_column)
    if prefixes is None or table.twice:
        return {}
    row = {fold(cell): number for number, cell in enumerate(table.column(prefixes))}
    rows = np.array([row.get(fold(prefix), -1) for prefix in dataset.prefixes])
    skipped = {prefixes, split, *(table.find(name) for name in known)}
    twins = {norm_name(name) for name in (*table.names, *known)}
    found = {}
    for name in table.names:
        if name in skipped or name in twins:
            continue
        values, _ = table.numbers(name)
        words = [cell for cell, value in zip(table.column(name), values, strict=True) if cell and np.isnan(value)]
        finite = values[np.isfinite(values)]
        if words or not len(finite) or np.ptp(finite) == 0 or (len(finite) > 2 and (np.diff(finite) == 1).all()):
            continue
        found[name] = np.where(rows >= 0, values[rows], np.nan)
    return found
