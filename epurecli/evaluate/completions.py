"""Are completions draws, rather than one answer said many times? Judged for subsets of given components.

If truth and draws come from one law, two draws differ as much as a draw and the truth, and designs completed by a draw
are distributed as real ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from epurecli.evaluate import shape
from epurecli.evaluate.distribution import frechet
from epurecli.evaluate.features import PixelFeatures
from epurecli.evaluate.images import Bits, Floats
from epurecli.evaluate.inpainting import iou, nearest_completions
from epurecli.evaluate.metric import Better, Metric

if TYPE_CHECKING:
    from epurecli.evaluate.judge import Reference

GROUP = "completions"
NAMED = 3  # components up to which each subset has rows of its own; beyond, subsets of one size share them
MOST = 30  # subsets that are looked at: all of five components

Subset = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """What was measured of completions of many designs that show one subset of their components."""

    given: Subset
    ratio: dict[int, float]  # of each hidden component; honest: 1
    majority: dict[int, float]  # IoU with the truth of what most draws say
    best: dict[int, float]  # IoU of the draw that is nearest to the truth as a whole
    frechet: float  # of each design's first draw to as many real designs
    one_object: float  # share of completed designs


def subsets(components: int) -> list[Subset]:
    """Non-empty proper subsets of the components: all, or about as many of each size, spread evenly."""
    each = MOST // (components - 1) if 2**components - 2 > MOST else MOST
    chosen: list[Subset] = []
    for size in range(1, components):
        number = comb(components, size)
        wanted = {round(k) for k in np.linspace(0, number - 1, min(each, number))}
        if number <= 100_000:
            chosen += [s for k, s in enumerate(combinations(range(components), size)) if k in wanted]
        else:  # too many to go through: windows of neighbours
            chosen += [tuple(sorted((i + k) % components for k in range(size))) for i in range(min(each, components))]
    return chosen


def spread_ratio(draws: Bits, truth: Bits) -> Floats:
    """Expected pixels that differ between two draws, by those that differ between a draw and the truth.

    1 where draws and truth come from one law; 0 where one answer is repeated. Sums over designs come before the ratio.

    Args:
        draws: (B, S, C, H, W), S >= 2.
        truth: (B, C, H, W).

    Returns:
        (C,); NaN for a component that every draw gets right.
    """
    count = draws.shape[1]
    p = draws.mean(1, dtype=np.float32)
    apart = (2 * p * (1 - p) * count / (count - 1)).sum((0, 2, 3), dtype=np.float64)
    wrong = np.where(truth, 1 - p, p).sum((0, 2, 3), dtype=np.float64)
    return np.where(wrong > 0, apart / np.where(wrong > 0, wrong, 1), np.nan)


def judge_completions(draws: Bits, truth: Bits, given: Subset, features: PixelFeatures, real: Floats) -> Completion:
    """Measure completions of designs of which the components `given` were shown.

    Args:
        draws: (B, S, C, H, W), S >= 2.
        truth: (B, C, H, W).
        features: of the pixels.
        real: (M, F) features of other real designs.
    """
    ratio = spread_ratio(draws, truth)
    whole = draws.any(2).reshape(-1, *draws.shape[-2:])
    return Completion(
        given,
        {c: float(ratio[c]) for c in _hidden(truth, given)},
        *_agreement(draws, truth, given),
        frechet(features(draws[:, 0]), real),
        _in_one_piece(whole),
    )


def floors(truth: Bits, count: int, chosen: Sequence[Subset], reference: Reference) -> list[Completion]:
    """What stands beside the completions from each subset: real designs for the distance, honest draws for the ratio,
    and for the IoU the `count` training designs whose given components are nearest."""
    distance = frechet(reference.pixel(truth), real_features(reference, len(truth)))
    whole = _in_one_piece(truth.any(1))
    out = []
    for given in chosen:
        mask = mask_of(given, truth)
        found = nearest_completions(truth, mask, reference.train, min(count, len(reference.train)))
        honest = dict.fromkeys(_hidden(truth, given), 1.0)
        out.append(Completion(given, honest, *_agreement(found, truth, given), distance, whole))
    return out


def mask_of(given: Subset, truth: Bits) -> Bits:  # -> (B, C)
    """The mask of designs that all show one subset."""
    mask = np.zeros(truth.shape[:2], bool)
    mask[:, list(given)] = True
    return mask


def real_features(reference: Reference, count: int) -> Floats:
    """Of as many real designs as are judged: training designs, in the reference's random order."""
    return reference.pixel(reference.train[:count])


def _agreement(draws: Bits, truth: Bits, given: Subset) -> tuple[dict[int, float], dict[int, float]]:
    """IoU with the truth of each hidden component: of the draws' majority, and of the best draw as a whole."""
    hidden = _hidden(truth, given)
    majority = iou(draws.mean(1, dtype=np.float32) >= 0.5, truth).mean(0)
    each = iou(draws, truth[:, None])  # (B, S, C)
    nearest = each[..., hidden].mean(-1).argmax(1)
    best = each[np.arange(len(each)), nearest].mean(0)
    return {c: float(majority[c]) for c in hidden}, {c: float(best[c]) for c in hidden}


def _hidden(truth: Bits, given: Subset) -> list[int]:
    return [c for c in range(truth.shape[1]) if c not in given]


def _in_one_piece(whole: Bits) -> float:
    """Share of (N, H, W) designs that are one object."""
    return float((shape.objects(whole).count == 1).mean())


def completion_metrics(
    found: Sequence[Completion], beside: Sequence[Completion], components: Sequence[str], draws: int
) -> tuple[Metric, ...]:
    """Rows of a report.

    Args:
        found: one for each subset.
        beside: the `floors` of each.
        components: C names.
        draws: S.
    """
    labels = [_label(completion.given, components) for completion in found]
    out: list[Metric] = []
    for label in dict.fromkeys(labels):
        both = [[c for c, own in zip(some, labels, strict=True) if own == label] for some in (found, beside)]
        ratio, majority, best = (
            [_mean(v for c in some for v in getattr(c, key).values()) for some in both]
            for key in ("ratio", "majority", "best")
        )
        frechet, whole = ([fmean(getattr(c, key) for c in some) for some in both] for key in ("frechet", "one_object"))
        for name, unit, better, (value, floor) in (
            ("spread ratio", "1", Better.FLOOR, ratio),
            ("frechet", "px", Better.LOWER, frechet),
            ("majority iou", "share", Better.HIGHER, majority),
            (f"best of {draws} iou", "share", Better.HIGHER, best),
            ("one object", "share", Better.HIGHER, whole),
        ):
            out.append(Metric(f"{name}, given {label}", GROUP, value, unit, better, floor))
    ratios = [v for c in found for v in c.ratio.values() if not np.isnan(v)]
    if ratios:
        worst = max(ratios, key=lambda v: abs(np.log(max(v, 1e-9))))
        out.append(Metric("spread ratio, farthest from honest", GROUP, worst, "1", Better.FLOOR, 1.0))
    return tuple(out)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return fmean(known) if known else float("nan")


def _label(given: Subset, components: Sequence[str]) -> str:
    if len(components) <= NAMED:
        return " + ".join(components[c] for c in given)
    return f"{len(given)} of {len(components)}"
