"""Are hidden components filled in as the design had them, is what was shown left alone, and do the draws differ?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from epurecli.errors import DataError
from epurecli.evaluate.images import Bits, Floats, Inpainted, as_bits
from epurecli.evaluate.interval import mean_metric
from epurecli.evaluate.metric import Better, Metric
from epurecli.evaluate.neighbours import shared_pixels

_GROUP = "inpainting"


def iou(first: Bits, second: Bits) -> Floats:
    """Intersection over union of the last two axes; 1 where both are empty.

    Args:
        first: (*, H, W).
        second: (*, H, W), broadcast against `first`.

    Returns:
        (*,).
    """
    both = (first & second).sum((-1, -2))
    either = (first | second).sum((-1, -2))
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def check(inpainted: Inpainted) -> tuple[Bits, Bits]:
    """Bits of draws (B, S, C, H, W) and truth (B, C, H, W).

    Raises:
        DataError: shapes that do not belong together, or a design of which nothing was hidden that it has.
    """
    draws, truth = as_bits(inpainted.draws, "inpainted draws", 5), as_bits(inpainted.truth, "inpainting truth")
    if draws.shape[:1] + draws.shape[2:] != truth.shape or inpainted.mask.shape != truth.shape[:2]:
        raise DataError(
            f"inpainting: draws {draws.shape}, truth {truth.shape}, mask {inpainted.mask.shape}; "
            "expected (B, S, C, H, W), (B, C, H, W), (B, C)"
        )
    if inpainted.mask.dtype != np.bool_:
        raise DataError(f"inpainting: a mask of {inpainted.mask.dtype}, expected bool (True = observed)")
    full = np.flatnonzero(~inpainted.judged.any(1))
    if len(full):
        raise DataError(f"inpainting: design {full[0]} has no hidden component ({len(full)} such designs)")
    return draws, truth


def inpainting(
    draws: Bits, truth: Bits, mask: Bits, components: Sequence[str], judged: Bits | None = None
) -> tuple[Metric, ...]:
    """Mean and best-of-S IoU of the hidden components, of the draws' majority too, observed bits, spread of the draws.

    Args:
        draws: (B, S, C, H, W).
        truth: (B, C, H, W).
        mask: (B, C) True = observed.
        components: C names.
        judged: (B, C) hidden components of which the truth is known (default: all that are hidden).
    """
    count, judged = draws.shape[1], ~mask if judged is None else judged
    each = np.where(judged[:, None], iou(draws, truth[:, None]), np.nan)  # (B, S, C)
    best = each[np.arange(len(each)), _mean_over_hidden(each).argmax(1)]  # (B, C): one draw, the best as a whole
    middle = np.where(judged, iou(draws.mean(1) >= 0.5, truth), np.nan)  # (B, C)
    out = [
        mean_metric("iou", _GROUP, _mean_over_hidden(each.mean(1)), "share", Better.HIGHER),
        mean_metric(f"best of {count} iou", _GROUP, _mean_over_hidden(best), "share", Better.HIGHER),
        mean_metric("majority iou", _GROUP, _mean_over_hidden(middle), "share", Better.HIGHER),
    ]
    for i, name in enumerate(components):
        if judged[:, i].any():
            out.append(mean_metric(f"iou of {name}", _GROUP, each[:, :, i].mean(1), "share", Better.HIGHER))
    changed = ((draws != truth[:, None]) & mask[:, None, :, None, None]).any((1, 2, 3, 4))
    out.append(mean_metric("observed untouched", _GROUP, ~changed, "share", Better.HIGHER))
    if count > 1:
        out.append(mean_metric("spread", _GROUP, spread(draws, judged), "share", Better.FLOOR))
    return tuple(out)


def design_iou(draws: Bits, truth: Bits, judged: Bits) -> Floats:
    """(B,) IoU of each design's judged components, mean over its draws; arrays as in `inpainting`, whose "iou" is the
    mean of these."""
    each = np.where(judged[:, None], iou(draws, truth[:, None]), np.nan)  # (B, S, C)
    return _mean_over_hidden(each.mean(1))


def spread(draws: Bits, judged: Bits) -> Floats:
    """How much two draws differ: expected pixels that differ between them, over the judged components' mean area.

    With p the share of draws that set a pixel, two different draws disagree there with probability 2 p (1-p) S/(S-1).

    Args:
        draws: (B, S, C, H, W), S >= 2.
        judged: (B, C) hidden components.

    Returns:
        (B,); NaN where every draw left every judged component empty.
    """
    count = draws.shape[1]
    p = draws.mean(1)  # (B, C, H, W)
    differ = (2 * p * (1 - p) * count / (count - 1)).sum((2, 3))
    area = p.sum((2, 3))
    total = (area * judged).sum(1)
    return np.where(total > 0, (differ * judged).sum(1) / np.where(total > 0, total, 1), np.nan)


def nearest_completions(truth: Bits, mask: Bits, train: Bits, count: int) -> Bits:
    """What looking up answers: the hidden components of the `count` training designs whose observed ones are nearest.

    Nearest by the number of observed pixels that differ.

    Args:
        truth: (B, C, H, W).
        mask: (B, C) True = observed.
        train: (M, C, H, W).
        count: S.

    Returns:
        (B, S, C, H, W) the truth's observed components with the neighbours' hidden ones.
    """
    out = np.empty((len(truth), count, *truth.shape[1:]), dtype=np.bool_)
    for pattern in np.unique(mask, axis=0):
        rows = np.flatnonzero((mask == pattern).all(1))
        seen, library = truth[rows][:, pattern], train[:, pattern]
        # |a xor b| = |a| + |b| - 2 |a and b|; |a| is the same for every candidate.
        distance = library.sum((1, 2, 3)) - 2 * shared_pixels(seen, library)
        nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
        out[rows] = train[nearest]
        out[np.ix_(rows, range(count), np.flatnonzero(pattern))] = seen[:, None]
    return out


def _mean_over_hidden(values: Floats) -> Floats:
    """Mean over the last axis of what is not NaN (at least one component is judged)."""
    return np.nanmean(values, -1)
