"""What the predictor says of designs, and of designs of which there are several draws."""

from __future__ import annotations

from contextlib import suppress
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from epurecli.api.designing import PREDICTOR
from epurecli.api.designs import Designs
from epurecli.api.run import Run
from epurecli.errors import EpureError, UsageError
from epurecli.pictures.crisp import planes

_NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 21) for i in range(21)])  # a normal law as 21 equal chances
_HALF = NormalDist().inv_cdf(0.95)  # standard deviations to each side that hold 90 % of it


def as_designs(run: Run, labels: NDArray[np.uint8], names: tuple[str, ...] | None = None) -> Designs:
    """(N, H, W) owners as designs of the run's components."""
    images = planes(labels, len(run.components)).astype(np.uint8) * 255
    return Designs(images, run.components, names or tuple(f"design_{i:05d}" for i in range(len(labels))))


class Advice:
    """The predictor of one run. It is fitted when somebody asks for it: that takes seconds."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.ready = False

    def take_up(self) -> None:
        """Read the predictor that stands in the run folder, if one does."""
        if (self.run.path / PREDICTOR).is_file():
            with suppress(EpureError, OSError):
                self.fit()

    def fit(self) -> None:
        """Raises: NotFound, DataError: the run's data; UsageError: too few known figures."""
        self.run.predictor  # noqa: B018 - read or fitted now, kept by the run
        self.ready = True

    def predicted(self, labels: NDArray[np.uint8]) -> dict[str, list[list[float]]]:
        """For each figure, for each of N designs (N, H, W): value, low and high of the 90 % interval. Sizes, which are
        measured, are left out.

        Raises: UsageError: the predictor is not fitted yet.
        """
        if not self.ready:
            raise UsageError("the predictor of this run is not fitted yet")
        frame = self.run.predict(as_designs(self.run, labels))
        sizes = {measure.name for measure in self.run.predictor.measures}
        names = [name for name in self.run.predictor.columns if name not in sizes]
        return {name: frame[[name, f"{name}_low", f"{name}_high"]].to_numpy(float).tolist() for name in names}


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
