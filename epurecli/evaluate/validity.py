"""Can it be built? Faults that need no reference: empty, scattered, overlapping or gaping parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epurecli.evaluate import shape
from epurecli.evaluate.images import Bits, Floats, undecided
from epurecli.evaluate.interval import mean_metric
from epurecli.evaluate.metric import Better, Metric

_GROUP = "validity"
_SLIT = 2  # a slit between two parts is at most this wide, in pixels
STRAY_ALLOWED = 2  # pixels: so few are rounding at the tip of a thin part, and nobody's part


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


@dataclass(frozen=True, slots=True)
class Faults:
    """What keeps each of N designs from being built."""

    objects: NDArray[np.intp]  # (N,) 4-connected objects of the whole design; 1 is right
    empty: NDArray[np.intp]  # (N,) components without a pixel
    stray: NDArray[np.intp]  # (N,) pixels
    gap: NDArray[np.intp]  # (N,) pixels
    overlap: NDArray[np.intp]  # (N,) pixels

    @property
    def valid(self) -> Bits:
        """(N,) one object, all components there, at most `STRAY_ALLOWED` stray pixels, no gap, no overlap."""
        none = (self.empty == 0) & (self.gap == 0) & (self.overlap == 0)
        return (self.objects == 1) & none & (self.stray <= STRAY_ALLOWED)


def faults(bits: Bits, known: Bits | None = None) -> Faults:
    """The faults of each design, rather than their mean over designs.

    Args:
        bits: (N, C, H, W).
        known: (N, C) the components that a design has at all; None: all. One that is not there is not empty.
    """
    blank = ~bits.any((2, 3))
    return Faults(
        objects=shape.objects(bits.any(1)).count,
        empty=(blank if known is None else blank & known).sum(1),
        stray=stray_pixels(bits),
        gap=gap_pixels(bits),
        overlap=claimed_twice(bits),
    )


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
