"""95 % intervals: of a mean, and of any other statistic by the delete-a-group jackknife.

Source: Kott, "The delete-a-group jackknife" (2001). The groups are shuffled: designs may be written in blocks (by
condition) or in turns (draw by draw), and a group of one kind would not vary as the whole does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, t

from epurecli.evaluate.metric import Better, Metric

GROUPS = 10

Interval = tuple[float, float]


def mean_and_interval(values: ArrayLike) -> tuple[float, Interval]:
    """Mean of one value per design and its interval; NaNs count as missing.

    `mean +- t * s / sqrt(N)`; for yes-or-no values Wilson's interval, which has a width where all of them agree.
    """
    given = np.asarray(values)
    if given.dtype == np.bool_ and len(given):
        low, high = binomtest(int(given.sum()), len(given)).proportion_ci(method="wilson")
        return float(given.mean()), (float(low), float(high))
    kept = given.astype(np.float64)
    kept = kept[~np.isnan(kept)]
    if len(kept) < 2:
        mean = float(kept[0]) if len(kept) else float("nan")
        return mean, (float("nan"), float("nan"))
    mean = float(kept.mean())
    half = float(t.ppf(0.975, len(kept) - 1) * kept.std(ddof=1) / np.sqrt(len(kept)))
    return mean, (mean - half, mean + half)


def mean_metric(name: str, group: str, values: ArrayLike, unit: str, better: Better) -> Metric:
    """The metric that is the mean of one value per design."""
    value, ci = mean_and_interval(values)
    return Metric(name, group, value, unit, better, ci=ci)


def groups_of(count: int) -> NDArray[np.intp]:
    """(N,) group index of each design, 0..GROUPS-1: equal sizes, the same fixed shuffle every time."""
    return np.random.default_rng(0).permutation(count) % GROUPS


def jackknife(value: float, left_out: ArrayLike) -> Interval:
    """Interval of a statistic from its values with one group left out each: variance = (G-1)/G * sum (v_g - mean)^2."""
    values = np.asarray(left_out, dtype=np.float64)
    spread = np.sqrt((len(values) - 1) * values.var())
    half = float(t.ppf(0.975, len(values) - 1) * spread)
    return value - half, value + half


def two_sample(
    statistic: Callable[[NDArray[np.float64], NDArray[np.float64]], float],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
) -> tuple[float, Interval]:
    """A statistic of two samples and its interval; a group is left out of both at once, so that both vary.

    Args:
        statistic: maps (N, ...) and (M, ...) to a number.
        first: (N, ...).
        second: (M, ...).
    """
    value = statistic(first, second)
    one, two = groups_of(len(first)), groups_of(len(second))
    return value, jackknife(value, [statistic(first[one != g], second[two != g]) for g in range(GROUPS)])
