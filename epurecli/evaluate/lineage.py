"""The three scores that earlier work on these data reported, kept so that new figures can be put beside old ones.

Source: the scores "IoU/Dice", "CoM" and "RCE" of the earlier tyre models; definitions in `docs/metrics.md`.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.stats import wasserstein_distance

from epurecli.evaluate import shape
from epurecli.evaluate.images import Bits, Floats
from epurecli.evaluate.interval import mean_metric, two_sample
from epurecli.evaluate.metric import Better, Metric

_GROUP = "lineage"


def pair_overlaps(bits: Bits) -> tuple[Floats, Floats]:
    """IoU and Dice between every two components of one design; 0 where both are empty.

    Args:
        bits: (N, C, H, W).

    Returns:
        Two arrays (N, P), P = C (C - 1) / 2.
    """
    area = bits.sum((2, 3))  # (N, C)
    iou, dice = [], []
    for i, j in combinations(range(bits.shape[1]), 2):
        both = (bits[:, i] & bits[:, j]).sum((1, 2))
        total = area[:, i] + area[:, j]
        iou.append(both / np.maximum(total - both, 1))
        dice.append(2 * both / np.maximum(total, 1))
    empty = np.zeros((len(bits), 0))
    return (np.stack(iou, 1), np.stack(dice, 1)) if iou else (empty, empty)


def mean_wasserstein(first: Floats, second: Floats) -> float:
    """1-Wasserstein distance of each column's two samples, averaged over the columns.

    Args:
        first: (N, K).
        second: (M, K).
    """
    return float(np.mean([wasserstein_distance(a, b) for a, b in zip(first.T, second.T, strict=True)]))


def lineage(samples: Bits, real: Bits) -> tuple[Metric, ...]:
    """Pairwise IoU and Dice Wasserstein, centre-of-mass Wasserstein (px), relative count error.

    Args:
        samples: (N, C, H, W).
        real: (M, C, H, W).
    """
    out = []
    if samples.shape[1] > 1:
        for name, ours, theirs in zip(
            ("iou wasserstein", "dice wasserstein"), pair_overlaps(samples), pair_overlaps(real), strict=True
        ):
            value, ci = two_sample(mean_wasserstein, ours, theirs)
            out.append(Metric(name, _GROUP, value, "1", Better.LOWER, ci=ci))
    centres = [shape.centre(bits).reshape(len(bits), -1) for bits in (samples, real)]
    value, ci = two_sample(mean_wasserstein, *centres)
    out.append(Metric("centre of mass wasserstein", _GROUP, value, "px", Better.LOWER, ci=ci))
    # The ideal count is one, so the Wasserstein distance to it is the mean |count - 1|.
    count = shape.objects(samples.any(1)).count
    out.append(mean_metric("relative count error", _GROUP, np.abs(count - 1), "objects", Better.LOWER))
    return tuple(out)
