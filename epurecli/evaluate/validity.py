"""Can it be built? Faults that need no reference: empty, scattered, overlapping or gaping parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epurecli.evaluate import shape
from epurecli.evaluate.images import Bits, Floats, undecided
from epurecli.evaluate.interval import mean_metric
from epurecli.evaluate.metric import Better, Metric

_GROUP = "validity"
_SLIT = 2  # a slit between two parts is at most this wide, in pixels


def stray_pixels(bits: Bits) -> NDArray[np.intp]:
    """Pixels outside the largest 8-connected object of their component, summed over components.

    8-connectivity, because a thin part drawn on a slope touches itself at corners only.

    Args:
        bits: (N, C, H, W).

    Returns:
        (N,).
    """
    flat = bits.reshape(-1, *bits.shape[2:])
    largest = shape.objects(flat, corners=True).largest
    return (flat.sum((1, 2)) - largest).reshape(bits.shape[:2]).sum(1)


def claimed_twice(bits: Bits) -> NDArray[np.intp]:
    """(N,) pixels of each design that two or more components claim."""
    return (bits.sum(1, dtype=np.uint8) > 1).sum((1, 2))


def overlap_share(bits: Bits) -> Floats:
    """(N,) share of a design's pixels that two or more components claim; 0 for an empty design."""
    return claimed_twice(bits) / np.maximum(bits.any(1).sum((1, 2)), 1)


def gap_pixels(bits: Bits) -> NDArray[np.intp]:
    """Background pixels in a hole of the design, or in a slit of at most 2 px (along row or column) between components.

    Args:
        bits: (N, C, H, W).

    Returns:
        (N,).
    """
    union = bits.any(1)
    part = np.where(union, bits.argmax(1).astype(np.uint8) + 1, 0).astype(np.uint8)  # (N, H, W) 0 = background
    gap = shape.hole_pixels(union)
    for axis in (1, 2):
        lines = np.moveaxis(part, axis, 1)
        before, steps_before = _nearest_part(lines)
        after, steps_after = (np.flip(a, 1) for a in _nearest_part(np.flip(lines, 1)))
        slit = (before > 0) & (after > 0) & (before != after) & (steps_before + steps_after <= _SLIT + 1)
        gap |= np.moveaxis(slit & (lines == 0), 1, axis)
    return gap.sum((1, 2))


def _nearest_part(lines: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The nearest part among the few pixels before each one along axis 1, and how many steps back; 0 and 0 if none."""
    part, steps = np.zeros_like(lines), np.zeros_like(lines)
    for step in range(_SLIT, 0, -1):  # nearest last, so that it wins
        seen = lines[:, :-step]
        part[:, step:] = np.where(seen > 0, seen, part[:, step:])
        steps[:, step:] = np.where(seen > 0, np.uint8(step), steps[:, step:])
    return part, steps


def validity(samples: Bits, raw: NDArray[np.generic]) -> tuple[Metric, ...]:
    """Every fault, averaged over designs.

    Args:
        samples: (N, C, H, W) bits.
        raw: (N, C, H, W) the same designs before thresholding.
    """
    empty = ~samples.any((2, 3))  # (N, C)
    return (
        mean_metric("empty components", _GROUP, empty.mean(1), "share", Better.LOWER),
        mean_metric("stray pixels", _GROUP, stray_pixels(samples), "px per design", Better.LOWER),
        mean_metric("overlap", _GROUP, overlap_share(samples), "share", Better.LOWER),
        mean_metric("gap pixels", _GROUP, gap_pixels(samples), "px per design", Better.LOWER),
        mean_metric("one object", _GROUP, shape.objects(samples.any(1)).count == 1, "share", Better.HIGHER),
        mean_metric("undecided pixels", _GROUP, undecided(raw), "share", Better.LOWER),
    )
