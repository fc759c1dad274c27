"""What is judged: arrays of designs, checked once and turned into bits.

Every metric works on the thresholded design, because that is what is built from it; how much a threshold had to decide
is itself a metric (`validity`, "undecided pixels").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epurecli.errors import DataError

Bits = NDArray[np.bool_]
Floats = NDArray[np.float64]

_FEWEST = 10  # below this no interval, no covariance and no neighbourhood means anything


@dataclass(frozen=True, slots=True)
class Designs:
    """Images with the conditions that belong to them (measured, if real; requested, if generated)."""

    image: NDArray[np.generic]  # (N, C, H, W) uint8 in 0..255, bool, or float in [0, 1]
    condition: Floats  # (N, D) in raw units, not standardised


@dataclass(frozen=True, slots=True)
class Inpainted:
    """Several completions of each of B designs of which only some components were shown."""

    draws: NDArray[np.generic]  # (B, S, C, H, W) the completed designs, values as in `Designs`
    truth: NDArray[np.generic]  # (B, C, H, W) the designs that were hidden in part
    mask: Bits  # (B, C) True = observed
    lacking: Bits | None = None  # (B, C) True = hidden, and the truth has none: not judged

    @property
    def judged(self) -> Bits:
        """(B, C) the hidden components of which the truth is known."""
        return ~self.mask if self.lacking is None else ~(self.mask | self.lacking)


def as_bits(image: NDArray[np.generic], name: str, dimensions: int = 4) -> Bits:
    """Threshold at one half, after checking that the array is what it claims to be.

    Args:
        image: (*, C, H, W) bool, uint8 in 0..255, or float in [0, 1].
        name: what to call the array in an error.
        dimensions: how many axes it must have.

    Raises:
        DataError: another shape or type, values outside [0, 1] or NaN, or 8-bit images that hold only 0 and 1.
    """
    if image.ndim != dimensions:
        raise DataError(f"{name}: expected {dimensions} axes ending in (C, H, W), got shape {image.shape}")
    if image.dtype == np.bool_:
        return image
    if image.dtype == np.uint8:
        if image.size and image.max() == 1:
            raise DataError(
                f"{name}: 8-bit images hold only 0 and 1, expected 0 to 255", "convert them with .astype(bool)"
            )
        return image >= 128
    if not np.issubdtype(image.dtype, np.floating):
        raise DataError(f"{name}: expected bool, uint8 or float images, got {image.dtype}")
    low, high = (float(image.min()), float(image.max())) if image.size else (0.0, 0.0)
    if not (low >= 0.0 and high <= 1.0):  # false for NaN as well
        raise DataError(
            f"{name}: expected values in [0, 1], found {low:g} to {high:g}", "apply the sigmoid to logits first"
        )
    return image >= 0.5


def undecided(image: NDArray[np.generic]) -> Floats:
    """Share of each design's pixels between 0.1 and 0.9, where the threshold decides rather than the model.

    Args:
        image: (N, C, H, W) as accepted by `as_bits`.

    Returns:
        (N,) shares; zero for bool images.
    """
    if image.dtype == np.bool_:
        return np.zeros(len(image))
    low, high = (26, 229) if image.dtype == np.uint8 else (0.1, 0.9)
    return ((image >= low) & (image <= high)).mean((1, 2, 3))


def check_sets(**sets: Bits) -> None:
    """Raise unless the sets hold enough designs of one and the same shape.

    Raises:
        DataError: fewer than 10 designs in a set, or (C, H, W) that differ between sets; names the sets.
    """
    shapes = {name: bits.shape[1:] for name, bits in sets.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"designs of different shapes (C, H, W): {shapes}", "sample and evaluate on the same data set")
    for name, bits in sets.items():
        if len(bits) < _FEWEST:
            hint = (
                "sample more designs"
                if name == "samples"
                else f"the data needs {_FEWEST} designs for this: mark more rows"
            )
            raise DataError(f"{name}: {len(bits)} designs, expected at least {_FEWEST}", hint)
