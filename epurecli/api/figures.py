"""Figures of designs as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epurecli.design.predictor import Predictions
from epurecli.text import csv_cell

if TYPE_CHECKING:
    import pandas as pd


def frame_of(names: Sequence[str], predicted: Predictions) -> pd.DataFrame:
    """A row a design; for each figure NAME: NAME, NAME_low, NAME_high."""
    import pandas as pd

    columns: dict[str, NDArray[np.float64]] = {}
    for k, name in enumerate(predicted.columns):
        columns |= {
            name: predicted.value[:, k],
            f"{name}_low": predicted.low[:, k],
            f"{name}_high": predicted.high[:, k],
        }
    return pd.DataFrame(columns, index=pd.Index(names, name="name"))


def csv_text(frame: pd.DataFrame) -> str:
    """A CSV with the index as its first column; text is text to a spreadsheet too."""

    def cell(value: object) -> object:
        return csv_cell(value) if isinstance(value, str) else value

    plain = frame.reset_index().map(cell)
    plain.columns = [csv_cell(str(name)) for name in plain.columns]
    return str(plain.to_csv(index=False, lineterminator="\n"))
