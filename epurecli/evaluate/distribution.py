"""Distances between two clouds of features, and the diversity of one."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import pdist

from epurecli.evaluate.features import Floats32
from epurecli.evaluate.images import Floats
from epurecli.evaluate.interval import GROUPS, groups_of, jackknife, mean_and_interval, two_sample
from epurecli.evaluate.metric import Better, Metric

_MEDIAN_OF = 2000  # designs that the bandwidth is taken from
_VENDI_OF = 500  # designs in one Vendi score: it depends on their number, so the number is fixed
_VENDI_TIMES = 4


def frechet(first: Floats, second: Floats) -> float:
    """Fréchet distance between the Gaussians fitted to two samples.

    `|m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2)`, in squared units of the features.

    Args:
        first: (N, F).
        second: (M, F).

    Source:
        Dowson and Landau 1982; Heusel et al. 2017.
    """
    difference = first.mean(0) - second.mean(0)
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    one, two = np.atleast_2d(one), np.atleast_2d(two)
    value, vector = np.linalg.eigh(one)
    root = (vector * np.sqrt(np.maximum(value, 0.0))) @ vector.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ two @ root), 0.0)).sum()
    return float(difference @ difference + np.trace(one) + np.trace(two) - 2 * cross)


def median_bandwidth(features: Floats32) -> float:
    """Median distance between two designs of the reference set (evenly thinned to 2,000): the kernel's length.

    Source:
        Gretton et al. 2012, section 8.
    """
    median = float(np.median(pdist(features[:: -(-len(features) // _MEDIAN_OF)])))
    return median if median > 0 else 1.0


def squared_distances(first: Floats32, second: Floats32) -> Floats32:
    """(N, M) squared Euclidean distances of (N, F) and (M, F), never negative."""
    out = first @ second.T
    out *= -2
    out += (first**2).sum(1)[:, None]
    out += (second**2).sum(1)
    return np.maximum(out, 0, out=out)


def kernel_distance(first: Floats32, second: Floats32, bandwidth: float) -> tuple[float, tuple[float, float]]:
    """Unbiased squared maximum mean discrepancy under `exp(-d^2 / (2 bandwidth^2))`, and its jackknife interval.

    Unbiased, so that equal distributions score 0 on average whatever the sample sizes, and may score below it.

    Args:
        first: (N, F).
        second: (M, F).
        bandwidth: length in feature units.

    Source:
        Gretton et al. 2012, eq. 3.
    """
    one, two = groups_of(len(first)), groups_of(len(second))
    # Kernel sums between every two groups: the full statistic and each one with a group left out are sums of these.
    xx = _group_sums(first, first, one, one, bandwidth)
    yy = _group_sums(second, second, two, two, bandwidth)
    xy = _group_sums(first, second, one, two, bandwidth)
    n, m = np.bincount(one, minlength=GROUPS), np.bincount(two, minlength=GROUPS)

    def statistic(kept: np.ndarray) -> float:
        rows, columns = n[kept].sum(), m[kept].sum()
        inner = np.ix_(kept, kept)
        own = (xx[inner].sum() - rows) / (rows * (rows - 1)) + (yy[inner].sum() - columns) / (columns * (columns - 1))
        return float(own - 2 * xy[inner].sum() / (rows * columns))

    everything = np.arange(GROUPS)
    value = statistic(everything)
    return value, jackknife(value, [statistic(np.delete(everything, g)) for g in everything])


def _group_sums(first: Floats32, second: Floats32, one: np.ndarray, two: np.ndarray, bandwidth: float) -> Floats:
    """(GROUPS, GROUPS) sums of the kernel between the groups of two samples."""
    out = np.zeros((GROUPS, GROUPS))
    indicator = np.eye(GROUPS, dtype=np.float32)[two]  # (M, GROUPS)
    for g in range(GROUPS):
        kernel = squared_distances(first[one == g], second)
        kernel *= np.float32(-0.5 / bandwidth**2)
        np.exp(kernel, out=kernel)
        out[g] = (kernel @ indicator).sum(0, dtype=np.float64)
    return out


def vendi(features: Floats32, bandwidth: float) -> float:
    """Effective number of different designs: exp of the entropy of the eigenvalues of K / N, K as in `kernel_distance`.

    1 if all are alike, N if all are far apart.

    Args:
        features: (N, F).
        bandwidth: length in feature units.

    Source:
        Friedman and Dieng 2023, definition 3.1.
    """
    kernel = np.exp(-0.5 / bandwidth**2 * squared_distances(features, features).astype(np.float64))
    np.fill_diagonal(kernel, 1.0)
    weight = np.maximum(np.linalg.eigvalsh(kernel / len(features)), 0.0)
    weight = weight[weight > 0]
    return float(np.exp(-(weight * np.log(weight)).sum()))


def distances(samples: Floats32, real: Floats32, space: str, unit: str, bandwidth: float) -> tuple[Metric, ...]:
    """Fréchet and kernel distance in one feature space.

    Args:
        samples: (N, F).
        real: (M, F).
        space: names the features.
        unit: of a squared feature distance.
        bandwidth: from `median_bandwidth(real)`.
    """
    value, ci = two_sample(frechet, samples.astype(np.float64), real.astype(np.float64))
    kernel, kernel_ci = kernel_distance(samples, real, bandwidth)
    return (
        Metric(f"frechet ({space})", "distribution", value, unit, Better.LOWER, ci=ci),
        Metric(f"kernel ({space})", "distribution", kernel, "1", Better.LOWER, ci=kernel_ci),
    )


def diversity(samples: Floats32, bandwidth: float) -> Metric:
    """Vendi score of 500 designs (fewer where there are fewer), mean over up to four disjoint strided subsets."""
    times = max(1, min(_VENDI_TIMES, len(samples) // _VENDI_OF))
    value, ci = mean_and_interval([vendi(samples[i::times][:_VENDI_OF], bandwidth) for i in range(times)])
    return Metric("vendi", "diversity", value, "designs", Better.FLOOR, ci=ci if times > 1 else None)
