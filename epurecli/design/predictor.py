"""What figures a design has: an ensemble on descriptors of its image, with calibrated intervals.

The image is looked at, not a model's latent: a latent forgets what the decoder then draws.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epurecli.checkpoint import load_tensors, save_tensors
from epurecli.design.descriptors import NAMES, SIZES, descriptors, places
from epurecli.design.ensemble import Ensemble, fit_perceptrons, fit_ridge, folds_of, out_of_fold
from epurecli.errors import UsageError
from epurecli.evaluate.conditioning import Measure, learn_measures
from epurecli.evaluate.images import as_bits
from epurecli.listener import QUIET, Listener

FEWEST = 50  # designs whose figures are known
COVERAGE = 0.9  # of the intervals
_HELD_OUT = 0.2  # of the labelled designs calibrate the intervals
_PIXELS = 64  # principal components
_BLOCK = 256
METHODS = {  # what is looked at of each part, whether principal components of the pixels too, whether not linearly
    "linear in the shapes": (NAMES, False, False),
    "perceptrons on the sizes": (SIZES, False, True),
    "perceptrons on the shapes": (NAMES, False, True),
    "perceptrons on the shapes and pixels": (NAMES, True, True),
}


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Figures of B designs in raw units, each with the interval that holds `COVERAGE` of designs like those that were
    learnt from."""

    columns: tuple[str, ...]
    value: NDArray[np.float64]  # (B, K)
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.generic]) -> Predictions:
        return Predictions(self.columns, self.value[rows], self.low[rows], self.high[rows])

    def __add__(self, other: Predictions) -> Predictions:
        pairs = ((self.value, other.value), (self.low, other.low), (self.high, other.high))
        return Predictions(self.columns, *(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """From images to figures. Columns that are sizes of the drawn section are measured, not predicted."""

    columns: tuple[str, ...]
    components: tuple[str, ...]
    method: str
    labels: tuple[int, ...]  # designs that each column was learnt from
    error: tuple[float, ...]  # mean absolute error of each column by cross-validation, raw units
    deviation: tuple[float, ...]  # of each column over the designs that were learnt from
    measures: tuple[Measure, ...]  # `column` counts in `columns`
    centre: Tensor  # (F,) of the features
    width: Tensor  # (F,)
    basis: Tensor  # (P, C * H * W) principal components of the pixels; P may be 0
    shift: Tensor  # (K,) raw = shift + scale * standardised
    scale: Tensor  # (K,)
    ensemble: Ensemble
    spread_floor: Tensor  # (K,) of the members' spread, standardised
    quantile: Tensor  # (K,) half-width of the interval, in spreads

    def standardised(self, images: Tensor) -> tuple[Tensor, Tensor]:  # (B, C, H, W) -> (B, K) twice
        """Mean and spread of the members, in standard deviations of each column; gradients pass to the images."""
        seen = features(images, METHODS[self.method][0], self.basis)
        said = self.ensemble((seen - self.centre) / self.width)
        return said.mean(0), said.std(0).clamp_min(self.spread_floor)

    @torch.no_grad()
    def __call__(self, images: NDArray[np.generic]) -> Predictions:
        """Figures of (B, C, H, W) images, bits or levels."""
        bits = as_bits(images, "designs")
        blocks = [self.standardised(_ink(bits[i : i + _BLOCK])) for i in range(0, len(bits), _BLOCK)]
        empty = torch.empty(0, len(self.columns))
        mean, spread = (torch.cat([empty, *part]) for part in (zip(*blocks, strict=True) if blocks else ((), ())))
        value = (self.shift + self.scale * mean).double().numpy()
        half = (self.scale * spread * self.quantile).double().numpy()
        for measure in self.measures:
            value[:, measure.column] = measure(bits)
        return Predictions(self.columns, value, value - half, value + half)


def features(images: Tensor, names: Sequence[str], basis: Tensor) -> Tensor:  # (B, C, H, W) -> (B, F)
    """Descriptors of the parts, and the weights of principal components of the pixels where there are any."""
    shape = descriptors(images)[:, places(names, images.shape[1])]
    return torch.cat([shape, images.flatten(1) @ basis.T], 1) if len(basis) else shape


def _ink(bits: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(bits)).float()


def fit_predictor(
    images: NDArray[np.generic],
    values: NDArray[np.float64],
    columns: Sequence[str],
    components: Sequence[str],
    seed: int = 0,
    listener: Listener = QUIET,
) -> Predictor:
    """Fit on designs whose figures are known.

    A fifth of them calibrates the intervals. On the rest, the methods of `METHODS` are compared by five-fold
    cross-validation; the least error, in standard deviations and on average over the columns, wins. What looks at less
    is often better, and surer of designs that were drawn by a model, whose borders are not those of real ones.

    Intervals: value -+ q s, s the spread of the members (at least half its median), q the quantile of |error| / s over
    the held-out designs. Source: Lei et al., "Distribution-Free Predictive Inference for Regression", JASA 2018, sec.
    2.2 and 5.2.

    Args:
        images: (M, C, H, W), bits or levels.
        values: (M, K) raw units, NaN where a design has none.
        columns: K names; those with fewer than 50 values, or that never change, are left out.

    Raises: UsageError: no column has 50 values.
    """
    known = np.isfinite(values)
    usable = np.array([known[:, k].sum() >= FEWEST and np.ptp(values[known[:, k], k]) > 0 for k in range(len(columns))])
    if not usable.any():
        most = int(known.sum(0).max(initial=0))
        told = f"{most} designs have figures to learn from; a predictor needs at least {FEWEST}"
        raise UsageError(told, "add values to the CSV of the data: one row a design, one column a figure")
    columns = tuple(name for name, kept in zip(columns, usable, strict=True) if kept)
    values, rows = values[:, usable], np.isfinite(values[:, usable]).any(1)
    bits, values = as_bits(images[rows], "designs"), values[rows]
    order = np.random.default_rng(seed).permutation(len(bits))
    held = max(1, round(_HELD_OUT * len(bits)))
    calibration, learning = np.sort(order[:held]), np.sort(order[held:])

    ink = torch.cat([_ink(bits[i : i + _BLOCK]) for i in range(0, len(bits), _BLOCK)])
    shift, scale = np.nanmean(values[learning], 0), np.nanstd(values[learning], 0)
    scale = np.where(scale > 0, scale, 1.0)
    targets = torch.from_numpy((values - shift) / scale).float()
    folds = folds_of(len(learning), seed)
    best: tuple[float, str, Tensor, Tensor, Tensor, Ensemble, Tensor] | None = None
    for step, (method, (names, pixels, bent)) in enumerate(METHODS.items()):
        listener.progress("fitting the predictor", step, len(METHODS))
        basis = _basis(ink[learning], seed) if pixels else ink.new_empty(0, ink[0].numel())
        seen = torch.cat([features(ink[i : i + _BLOCK], names, basis) for i in range(0, len(ink), _BLOCK)])
        centre, width = seen[learning].mean(0), seen[learning].std(0).clamp_min(1e-3)
        inputs = (seen - centre) / width
        ensemble = fit_ridge(inputs[learning], targets[learning], folds)
        if bent:
            ensemble = fit_perceptrons(ensemble, inputs[learning], targets[learning], folds, seed)
        misses = (out_of_fold(ensemble, inputs[learning], folds) - targets[learning]).abs().nanmean(0)
        if best is None or float(misses.mean()) < best[0]:
            best = float(misses.mean()), method, basis, centre, width, ensemble, misses
            held_out = ensemble(inputs[calibration])
    listener.progress("fitting the predictor", len(METHODS), len(METHODS))
    assert best is not None
    _, method, basis, centre, width, ensemble, misses = best
    mean, spread = held_out.mean(0), held_out.std(0)
    floor = spread.median(0).values / 2
    away = (mean - targets[calibration]).abs() / spread.clamp_min(floor)
    measures = _measures(bits[learning], values[learning], columns)
    for measure in measures:
        away[:, measure.column] = torch.from_numpy(
            np.abs(measure(bits[calibration]) - values[calibration, measure.column]) / scale[measure.column]
        ) / spread[:, measure.column].clamp_min(floor[measure.column])
    return Predictor(
        columns=columns,
        components=tuple(components),
        method=method,
        labels=tuple(np.isfinite(values).sum(0).tolist()),
        error=tuple((misses.numpy() * scale).tolist()),
        deviation=tuple(scale.tolist()),
        measures=measures,
        centre=centre,
        width=width,
        basis=basis,
        shift=torch.from_numpy(shift).float(),
        scale=torch.from_numpy(scale).float(),
        ensemble=ensemble,
        spread_floor=floor,
        quantile=torch.tensor([_quantile(column[column.isfinite()]) for column in away.T]),
    )


def _quantile(sorted_by: Tensor) -> float:
    """The conformal quantile of scores; the largest where they are too few for one."""
    ranked = sorted_by.sort().values
    if not len(ranked):
        return math.inf
    return float(ranked[min(len(ranked), math.ceil((len(ranked) + 1) * COVERAGE)) - 1])


def _basis(ink: Tensor, seed: int) -> Tensor:  # (M, C, H, W) -> (P, C * H * W)
    """Principal components of the pixels."""
    flat = ink.flatten(1)
    count = min(_PIXELS, len(flat) // 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.pca_lowrank(flat, count, niter=2)[2].T.contiguous()


def _measures(bits: NDArray[np.bool_], values: NDArray[np.float64], columns: tuple[str, ...]) -> tuple[Measure, ...]:
    """The columns that are sizes of the drawn section."""
    whole = np.isfinite(values).all(1)
    if whole.sum() < FEWEST:
        return ()
    return learn_measures(bits[whole], values[whole], columns)


# --- files ------------------------------------------------------------------------------------------------------------

_TENSORS = ("centre", "width", "basis", "shift", "scale", "spread_floor", "quantile")
_FACTS = ("columns", "components", "method", "labels", "error", "deviation")


def save_predictor(path: Path, predictor: Predictor, source: str) -> None:
    """One safetensors file, appearing whole.

    Args: source: digest of what it was fitted on.

    Raises: CannotWrite.
    """
    tensors = {name: getattr(predictor, name) for name in _TENSORS}
    tensors |= {"slope": predictor.ensemble.slope, "intercept": predictor.ensemble.intercept}
    for layer, pair in enumerate(zip(predictor.ensemble.weights, predictor.ensemble.biases, strict=True)):
        tensors |= {f"weight.{layer}": pair[0], f"bias.{layer}": pair[1]}
    facts: dict[str, Any] = {name: getattr(predictor, name) for name in _FACTS}
    facts["measures"] = [asdict(measure) | {"cap": repr(measure.cap)} for measure in predictor.measures]
    save_tensors(path, tensors, {"predictor": json.dumps(facts), "source": source})


def load_predictor(path: Path, source: str) -> Predictor | None:
    """The predictor that was fitted on the same; None where there is none, or it is of something else or of another
    version: it is fitted again in seconds.

    Raises: CheckpointError: damaged or altered.
    """
    if not path.is_file():
        return None
    tensors, metadata = load_tensors(path)
    if metadata.get("source") != source:
        return None
    try:
        facts = json.loads(metadata["predictor"])
        measures = tuple(Measure(**{**found, "cap": float(found["cap"])}) for found in facts.pop("measures"))
        layers = range(sum(name.startswith("weight.") for name in tensors))
        weights, biases = (tuple(tensors[f"{kind}.{layer}"] for layer in layers) for kind in ("weight", "bias"))
        told = {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}
        if facts["method"] not in METHODS:
            raise ValueError(f"no method {facts['method']!r}")
        return Predictor(
            **told,
            measures=measures,
            ensemble=Ensemble(tensors["slope"], tensors["intercept"], weights, biases),
            **{name: tensors[name] for name in _TENSORS},
        )
    except (KeyError, TypeError, ValueError):
        return None
