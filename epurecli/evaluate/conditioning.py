"""Does a design have the size that was asked for? Sizes are measured on the image and compared with the request.

A data set writes a measure by its own convention (the whole width although half a section is drawn, last pixel minus
first or one more, clipped at the image). The convention is learnt from the training designs, of which image and value
are both known, instead of being guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from epurecli.errors import DataError
from epurecli.evaluate import shape
from epurecli.evaluate.images import Bits, Floats
from epurecli.evaluate.interval import mean_metric
from epurecli.evaluate.metric import Better, Metric

_GROUP = "conditioning"
_UNEXPLAINED = 0.1  # of a column's mean absolute deviation: above it the column is no size of the box
_BEYOND = 0.1  # "10 % outside": a request up to a tenth of the training range beyond it


@dataclass(frozen=True, slots=True)
class Measure:
    """A convention: `min(cap, scale * extent + offset)`, extent = rows or columns of the union's bounding box."""

    column: int  # of the condition vector
    name: str
    axis: Literal["height", "width"]
    scale: int  # 2 where half of a symmetric section is drawn
    offset: float
    cap: float  # infinity where nothing is clipped

    def __call__(self, bits: Bits) -> Floats:
        """Measured values of designs (N, C, H, W): (N,)."""
        extent = getattr(shape.bounding_box(bits.any(1)), self.axis)
        return np.minimum(self.cap, self.scale * extent + self.offset)


def learn_measures(bits: Bits, condition: Floats, names: Sequence[str]) -> tuple[Measure, ...]:
    """Find the condition columns that are sizes of the drawn design, and how each is counted.

    For each column the axis, scale (1 or 2), offset (the median residual) and cap (none, or the column's maximum) with
    the least mean absolute error are taken. A column whose error stays above a tenth of its spread is not a size.

    Args:
        bits: (N, C, H, W) training designs.
        condition: (N, D) their conditions in raw units.
        names: D column names.

    Raises:
        DataError: as many names as columns, or as many conditions as designs, are missing.
    """
    if condition.shape != (len(bits), len(names)):
        raise DataError(f"conditions of shape {condition.shape}, expected {(len(bits), len(names))}: one row a design")
    box = shape.bounding_box(bits.any(1))
    found = []
    for column, name in enumerate(names):
        wanted = condition[:, column]
        spread = np.abs(wanted - np.median(wanted)).mean()
        # No cap comes before a cap, height before width: at a tie the simpler convention stays.
        candidates = [
            _fit(wanted, getattr(box, axis), Measure(column, name, axis, scale, 0.0, cap))
            for cap, scale, axis in product((np.inf, float(wanted.max())), (1, 2), ("height", "width"))
        ]
        error, best = min(candidates, key=lambda pair: pair[0])
        if spread > 0 and error <= _UNEXPLAINED * spread:
            found.append(best)
    return tuple(found)


def _fit(wanted: Floats, extent: Floats, shape_of: Measure) -> tuple[float, Measure]:
    """Offset and error of one candidate; designs at the cap say nothing about the offset."""
    free = wanted < shape_of.cap
    rest = (wanted - shape_of.scale * extent)[free]
    offset = float(np.median(rest)) if len(rest) else 0.0
    value = np.minimum(shape_of.cap, shape_of.scale * extent + offset)
    measure = Measure(shape_of.column, shape_of.name, shape_of.axis, shape_of.scale, offset, shape_of.cap)
    return float(np.abs(value - wanted).mean()), measure


def requests_beyond(train: Floats, columns: Sequence[int], count: int, rng: np.random.Generator) -> Floats:
    """Conditions up to 10 % outside the training range, to ask of a model: training rows moved in one column each.

    Args:
        train: (N, D) training conditions.
        columns: those that may leave their range, e.g. `[m.column for m in measures]`.
        count: B, rows wanted.
        rng: source of the draws.

    Returns:
        (B, D).
    """
    rows = train[rng.integers(len(train), size=count)].copy()
    low, high = train.min(0), train.max(0)
    column = rng.choice(np.asarray(columns), size=count)
    beyond = rng.uniform(0.0, _BEYOND, size=count) * (high - low)[column]
    up = rng.random(count) < 0.5
    rows[np.arange(count), column] = np.where(up, high[column] + beyond, low[column] - beyond)
    return rows


def size_errors(generated: Bits, requested: Floats, measures: Sequence[Measure]) -> dict[str, Floats]:
    """Name of a size -> (N,) pixels by which each design (N, C, H, W) misses its request (N, D)."""
    return {m.name: np.abs(m(generated) - np.minimum(m.cap, requested[:, m.column])) for m in measures}


def conditioning(
    generated: Bits, requested: Floats, train_condition: Floats, measures: Sequence[Measure]
) -> tuple[Metric, ...]:
    """Mean absolute error and share within 1 px of each size; apart where a requested size leaves the training range.

    A request above a measure's cap is taken as the cap, as the data set itself would write it.

    Args:
        generated: (N, C, H, W).
        requested: (N, D) raw units.
        train_condition: (M, D) tells the range.
        measures: from `learn_measures`.
    """
    columns = [m.column for m in measures]
    asked, trained = requested[:, columns], train_condition[:, columns]
    inside = ((asked >= trained.min(0)) & (asked <= trained.max(0))).all(1)  # (N,)
    out = []
    for place, rows in (("", inside), (" out of range", ~inside)):
        if not rows.any():
            continue
        error = size_errors(generated[rows], requested[rows], measures)
        for name, values in error.items():
            out.append(mean_metric(f"{name} error{place}", _GROUP, values, "px", Better.LOWER))
            out.append(mean_metric(f"{name} within 1 px{place}", _GROUP, values <= 1.0, "share", Better.HIGHER))
        if len(error) > 1:
            every = np.stack(list(error.values())).max(0) <= 1.0
            out.append(mean_metric(f"all within 1 px{place}", _GROUP, every, "share", Better.HIGHER))
    return tuple(out)
