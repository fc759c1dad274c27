"""The predictor and the search, where the run has them; a sentence and a way on where it has not."""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epurecli.api.designs import Designs
from epurecli.api.run import Run
from epurecli.errors import EpureError, UsageError

if TYPE_CHECKING:
    import pandas as pd

_NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 21) for i in range(21)])  # a normal law as 21 equal chances
_HALF = NormalDist().inv_cdf(0.95)  # standard deviations to each side that hold 90 % of it


def as_designs(run: Run, labels: NDArray[np.uint8], names: tuple[str, ...] | None = None) -> Designs:
    """(N, H, W) owners as designs of the run's components."""
    parts = len(run.components)
    images = (labels[:, None] == np.arange(1, parts + 1, dtype=np.uint8)[:, None, None]).astype(np.uint8) * 255
    return Designs(images, run.components, names or tuple(f"design_{i:05d}" for i in range(len(labels))))


def can_predict(run: Run) -> bool:
    """Whether this version of epure has a predictor at all."""
    return getattr(run, "predict", None) is not None


def predicted(run: Run, labels: NDArray[np.uint8]) -> dict[str, list[list[float]]]:
    """For each predicted column, for each design: value, low and high of the 90 % interval.

    Raises: EpureError: there is no predictor, or it refuses.
    """
    predict = getattr(run, "predict", None)
    if predict is None:
        raise UsageError("there is no predictor in this version", "designs are drawn, measured and checked without it")
    frame: pd.DataFrame = predict(as_designs(run, labels))
    return {
        str(name): frame[[name, f"{name}_low", f"{name}_high"]].to_numpy(float).tolist()
        for name in frame.columns
        if f"{name}_low" in frame.columns
    }


def over_draws(predictions: dict[str, list[list[float]]]) -> dict[str, list[float]]:
    """Value and 90 % interval of a design of which there are several draws: what the predictor does not know, and what
    the draws do not agree on, together.

    Each prediction counts as a normal law with its interval; the quantiles are those of their mixture.
    """
    found = {}
    for name, rows in predictions.items():
        value, low, high = np.array(rows).T
        mixed = value[:, None] + ((high - low) / (2 * _HALF))[:, None] * _NORMAL
        found[name] = [float(np.median(value)), *np.quantile(mixed, [0.05, 0.95]).tolist()]
    return found


def searched(run: Run, brief: dict[str, dict[str, Any]], fix: Designs | None, seed: int) -> Any:
    """Designs that meet a brief, by `Run.design`.

    Args:
        brief: target, ranges, maximise, minimise as `Run.design` takes them.

    Raises: EpureError: no search here, or an impossible brief, in sentences.
    """
    design = getattr(run, "design", None)
    if design is None:
        raise UsageError("there is no search in this version", "vary the brief: the variants follow it")
    given: dict[str, Any] = {key: value for key, value in brief.items() if value}
    if not given:
        raise EpureError("the brief is empty", "set a target, a range or an aim for at least one column")
    return design(**given, fix=fix, count=8, seed=seed)
