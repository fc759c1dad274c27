"""What a judgement is: one number with its unit, its floor and its uncertainty; and a report of many.

Nothing here computes: the modules beside this file fill these records and `report` writes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from epurecli.evaluate.album import Album, LossCurve

COST = "cost"  # the group of what a model takes; all other figures judge its designs


class Better(StrEnum):
    """Which way a metric improves."""

    LOWER = "lower"
    HIGHER = "higher"
    FLOOR = "floor"  # neither way: real designs have a value of their own, and the nearest to it wins


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure about one set of images.

    Attributes:
        name: unique within the group, e.g. "iou wasserstein".
        group: "lineage", "validity", "conditioning", "inpainting", "completions", "distribution", "diversity",
            "novelty", "likelihood" or "cost".
        value: the figure, in `unit`; NaN where it cannot be formed (the docs say when).
        unit: "px", "share" (0 to 1), "nats", "1" for a pure number...
        better: which way it improves.
        floor: what real designs score in the same place; None where none can be put there (`docs/metrics.md`).
        ci: 95 % interval of `value` due to the finite number of designs, or None.
    """

    name: str
    group: str
    value: float
    unit: str
    better: Better
    floor: float | None = None
    ci: tuple[float, float] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the metric across reports."""
        return (self.group, self.name)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Shares of designs per bin, for real and generated ones: what the report plots."""

    name: str
    unit: str
    edges: tuple[float, ...]  # (K + 1,)
    real: tuple[float, ...]  # (K,) sums to 1
    generated: tuple[float, ...]  # (K,) sums to 1


@dataclass(frozen=True, slots=True)
class Report:
    """Everything measured on the output of one model trained from one seed.

    Attributes:
        model: the name shown in tables.
        seed: training seed, the axis over which `summary.summarise` takes mean and spread; None if unknown.
        counts: how many designs of each kind were judged, e.g. {"samples": 5000, "test": 500, "train": 4000}.
        notes: sentences that a reader of the figures must know.
        losses: how the model was trained, where that is known.
        album: pictures of what was judged, from `portray`; only `report.html` holds them.
        weights: digest of the weights that drew the samples; None: of no run, or not known.
        data: digest of the data set that they were held against; likewise.
    """

    model: str
    seed: int | None
    counts: dict[str, int]
    metrics: tuple[Metric, ...]
    histograms: tuple[Histogram, ...] = ()
    notes: tuple[str, ...] = ()
    losses: tuple[LossCurve, ...] = ()
    album: Album | None = field(default=None, repr=False, compare=False)
    weights: str | None = None
    data: str | None = None

    def __getitem__(self, key: tuple[str, str]) -> Metric:
        """The metric named by (group, name).

        Raises:
            KeyError: no such metric; lists those there are.
        """
        for metric in self.metrics:
            if metric.key == key:
                return metric
        raise KeyError(f"no metric {key}; there are {[m.key for m in self.metrics]}")


def with_floor(metrics: Iterable[Metric], real: Iterable[Metric]) -> tuple[Metric, ...]:
    """Give each metric the value that real designs scored; a metric that `real` lacks keeps its own floor."""
    floor = {m.key: m.value for m in real}
    return tuple(replace(m, floor=floor.get(m.key, m.floor)) for m in metrics)
