"""Several reports side by side: for each metric every model's mean and spread over its seeds, and who is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from epurecli.errors import UsageError
from epurecli.evaluate.metric import COST, Better, Histogram, Metric, Report


@dataclass(frozen=True, slots=True)
class Cell:
    """One model's figure in one row."""

    mean: float  # over seeds; NaN where no seed has the metric
    spread: float | None  # standard deviation over seeds; None for one seed
    interval: tuple[float, float] | None  # one seed: its own 95 % interval; several: mean -+ spread
    seeds: int
    best: bool  # of the models in this row
    rank: int | None  # 1 = best of the models in this row, equals alike; None where nothing can be said
    at_floor: bool  # as good as real designs, to within the interval


@dataclass(frozen=True, slots=True)
class Row:
    """One metric across models."""

    group: str
    name: str
    unit: str
    better: Better
    floor: float | None
    cells: tuple[Cell, ...]  # in the order of `Summary.models`

    @property
    def judges_designs(self) -> bool:
        """Whether it says something of designs, and not of what they cost."""
        return self.group != COST


@dataclass(frozen=True, slots=True)
class Curve:
    """One histogram across models (mean over seeds)."""

    name: str
    unit: str
    edges: tuple[float, ...]  # (K + 1,)
    real: tuple[float, ...]  # (K,)
    generated: tuple[tuple[float, ...], ...]  # one (K,) a model


@dataclass(frozen=True, slots=True)
class Summary:
    """What a table or a page shows."""

    models: tuple[str, ...]
    rows: tuple[Row, ...]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]


def summarise(reports: Sequence[Report]) -> Summary:
    """Put reports side by side; reports of one model are its seeds.

    Raises:
        UsageError: no report, or reports that were judged against different real designs.
    """
    if not reports:
        raise UsageError("no reports to compare", "run `epure evaluate` first")
    _check_same_reference(reports)
    models = tuple(dict.fromkeys(r.model for r in reports))
    runs = [[r for r in reports if r.model == model] for model in models]
    # A model without some mode lacks its metrics: rows are the union, in order of first appearance.
    known = dict.fromkeys(m.key for r in reports for m in r.metrics)
    rows = tuple(_row([[m for r in run for m in r.metrics if m.key == key] for run in runs]) for key in known)
    notes = tuple(
        dict.fromkeys(note if len(models) == 1 else f"{r.model}: {note}" for r in reports for note in r.notes)
    )
    return Summary(models, rows, _curves(runs), notes)


def _check_same_reference(reports: Sequence[Report]) -> None:
    def reference(report: Report) -> tuple[object, ...]:
        real = tuple((h.name, h.edges, h.real) for h in report.histograms)
        return report.counts["test"], report.counts["train"], real

    for report in reports[1:]:
        if reference(report) != reference(reports[0]):
            raise UsageError(
                f"the reports of {reports[0].model} and {report.model} were judged against different real designs",
                "evaluate both with the same --data",
            )


def _row(metrics: list[list[Metric]]) -> Row:
    """Row from one list of metrics (its seeds) a model."""
    every = [m for seeds in metrics for m in seeds]
    floors = [m.floor for m in every if m.floor is not None and not math.isnan(m.floor)]
    floor = fmean(floors) if floors else None
    first = every[0]
    means = [fmean(m.value for m in seeds) if seeds else math.nan for seeds in metrics]
    loss = [_loss(mean, first.better, floor) for mean in means]
    ranks = [_rank(lost, loss) for lost in loss]
    cells = []
    for mean, rank, seeds in zip(means, ranks, metrics, strict=True):
        spread = float(np.std([m.value for m in seeds], ddof=1)) if len(seeds) > 1 else None
        interval = (mean - spread, mean + spread) if spread is not None else seeds[0].ci if seeds else None
        at_floor = _reaches(mean, interval, first.better, floor)
        cells.append(Cell(mean, spread, interval, len(seeds), len(metrics) > 1 and rank == 1, rank, at_floor))
    return Row(first.group, first.name, first.unit, first.better, floor, tuple(cells))


def _rank(loss: float, others: Sequence[float]) -> int | None:
    return None if math.isnan(loss) else 1 + sum(other < loss for other in others)


def _loss(value: float, better: Better, floor: float | None) -> float:
    """A number that is lower the better the value; NaN where nothing can be said."""
    match better:
        case Better.LOWER:
            return value
        case Better.HIGHER:
            return -value
        case Better.FLOOR:
            return math.nan if floor is None else abs(value - floor)


def _reaches(value: float, interval: tuple[float, float] | None, better: Better, floor: float | None) -> bool:
    if floor is None or math.isnan(value):
        return False
    known = interval is not None and not math.isnan(interval[0])
    low, high = interval if interval is not None and known else (value, value)
    match better:
        case Better.LOWER:
            return low <= floor
        case Better.HIGHER:
            return high >= floor
        case Better.FLOOR:
            return low <= floor <= high


def _curves(runs: Sequence[Sequence[Report]]) -> tuple[Curve, ...]:
    def mean(run: Sequence[Report], place: int) -> tuple[float, ...]:
        return tuple(fmean(shares) for shares in zip(*(r.histograms[place].generated for r in run), strict=True))

    first: tuple[Histogram, ...] = runs[0][0].histograms
    return tuple(
        Curve(h.name, h.unit, h.edges, h.real, tuple(mean(run, i) for run in runs)) for i, h in enumerate(first)
    )
