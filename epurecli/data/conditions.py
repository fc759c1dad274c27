"""Conditions between people's units and the network's: affine maps that are saved with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epurecli.errors import DataError

_AFFINE_TOLERANCE = 1e-4  # largest residual of <column>_norm that still counts as affine in <column>

Columns = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class ConditionScaler:
    """encode(raw) = (raw - shift) / scale, column by column; minimum and maximum of the training rows in raw units."""

    columns: tuple[str, ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]

    def encode(self, raw: ArrayLike) -> NDArray[np.float32]:  # (B, D) -> (B, D)
        """Raw units to the network's."""
        return ((np.asarray(raw, np.float64) - self.shift) / self.scale).astype(np.float32)

    def decode(self, encoded: ArrayLike) -> NDArray[np.float64]:  # (B, D) -> (B, D)
        """The network's units to raw ones."""
        return np.asarray(encoded, np.float64) * self.scale + self.shift

    def outside(self, raw: ArrayLike) -> list[str]:
        """One warning for each column with values beyond the training range."""
        values = np.atleast_2d(np.asarray(raw, np.float64))
        warnings = []
        for name, column, low, high in zip(self.columns, values.T, self.minimum, self.maximum, strict=True):
            beyond = np.unique(column[(column < low) | (column > high)])
            if len(beyond):
                worst = beyond[np.argmax(np.maximum(low - beyond, beyond - high))]
                more = f" and {len(beyond) - 1} more" if len(beyond) > 1 else ""
                warnings.append(f"{name}={worst:g}{more} lies outside the training range {low:g} to {high:g}")
        return warnings

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Sequence[Any]]) -> ConditionScaler:
        """The inverse of `to_dict`."""
        return cls(**{name: tuple(part) for name, part in values.items()})


def norm_name(column: str) -> str:
    """The column that holds a condition as the data set's author normalised it."""
    return f"{column}_norm"


def fit_scaler(columns: Sequence[str], table: Columns, train: NDArray[np.int64], normalized: bool) -> ConditionScaler:
    """Fit on the training rows.

    With `normalized`: a column that itself ends in `_norm` passes through unchanged (shift 0, scale 1); where the table
    has `<column>_norm`, shift and scale reproduce it. Otherwise mean and standard deviation (constant column: scale 1).

    Raises:
        DataError: `<column>_norm` is no affine function of `<column>`, so raw values could not be converted.
    """
    fitted = [_fit(name, table, train, normalized) for name in columns]
    values = [table[name][train] for name in columns]
    return ConditionScaler(
        columns=tuple(columns),
        shift=tuple(shift for shift, _ in fitted),
        scale=tuple(scale for _, scale in fitted),
        minimum=tuple(float(column.min()) for column in values),
        maximum=tuple(float(column.max()) for column in values),
    )


def _fit(name: str, table: Columns, train: NDArray[np.int64], normalized: bool) -> tuple[float, float]:
    """(shift, scale) of one column."""
    raw = table[name][train]
    mean, deviation = float(raw.mean()), float(raw.std())
    constant = deviation <= 1e-12 * max(1.0, abs(mean))
    if normalized and name.endswith("_norm"):
        return 0.0, 1.0
    norm = table.get(norm_name(name)) if normalized else None
    if norm is None:
        return mean, 1.0 if constant else deviation
    norm = norm[train]
    # norm = slope * raw + offset, by least squares around the means
    slope = 1.0 if constant else float(np.mean((raw - mean) * (norm - norm.mean()))) / deviation**2
    residual = float(np.abs(norm - norm.mean() - slope * (raw - mean)).max())
    if residual > _AFFINE_TOLERANCE or slope == 0.0:
        raise DataError(
            f"column {norm_name(name)!r} is no affine function of {name!r} on the training rows "
            f"(largest residual {residual:.3g})",
            f"set data.normalized to false to standardise {name}, or name {norm_name(name)} in data.condition_columns",
        )
    return mean - float(norm.mean()) / slope, 1.0 / slope
