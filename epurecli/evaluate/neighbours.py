"""Nearest designs: novelty, copies, duplicates, precision, recall, density, coverage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epurecli.evaluate.images import Bits
from epurecli.evaluate.interval import mean_metric
from epurecli.evaluate.metric import Better, Metric

_ROWS = 1024  # rows of a distance matrix held at once: 20 MB against 5,000 columns
_NEIGHBOURS = 5  # the k of the manifold estimates

Floats32 = NDArray[np.float32]


def shared_pixels(first: Bits, second: Bits) -> Floats32:
    """Pixels set in both, for every pair of designs; exact, as counts stay below 2^24.

    Args:
        first: (N, *).
        second: (M, *), same trailing shape.

    Returns:
        (N, M).
    """
    a, b = first.reshape(len(first), -1), second.reshape(len(second), -1)
    alive = a.any(0) & b.any(0)  # most of an image is background in every design: those pixels are never shared
    right = b[:, alive].astype(np.float32).T
    out = np.empty((len(a), len(b)), dtype=np.float32)
    for i in range(0, len(a), _ROWS):
        out[i : i + _ROWS] = a[i : i + _ROWS, alive].astype(np.float32) @ right
    return out


def differing_pixels(first: Bits, second: Bits) -> Floats32:
    """Pixels that differ, for every pair of designs; the squared Euclidean distance of bit images.

    Args:
        first: (N, C, H, W).
        second: (M, C, H, W).

    Returns:
        (N, M).
    """
    out = shared_pixels(first, second)
    out *= -2
    out += first.sum((1, 2, 3), dtype=np.float32)[:, None]
    out += second.sum((1, 2, 3), dtype=np.float32)
    return out


def nearest_pixels(samples: Bits, train: Bits) -> NDArray[np.intp]:
    """(N,) pixels, over all components, by which each design (N, C, H, W) differs from the nearest of (M, C, H, W)."""
    parts = [differing_pixels(samples[i : i + _ROWS], train).min(1) for i in range(0, len(samples), _ROWS)]
    return np.concatenate(parts).astype(np.intp)


def duplicates(samples: Bits) -> Bits:
    """(N,) whether an identical design occurs elsewhere in the same set."""
    packed = np.packbits(samples.reshape(len(samples), -1), axis=1)
    rows = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()  # one sortable item a design
    _, inverse, count = np.unique(rows, return_inverse=True, return_counts=True)
    return count[inverse] > 1


def novelty(samples: Bits, nearest: NDArray[np.intp]) -> tuple[Metric, ...]:
    """Distance to the nearest training design, exact copies of one, and repeats within the set.

    Args:
        samples: (N, C, H, W).
        nearest: (N,) from `nearest_pixels(samples, train)`.
    """
    return (
        mean_metric("nearest training design", "novelty", nearest, "px", Better.FLOOR),
        mean_metric("exact copies", "novelty", nearest == 0, "share", Better.LOWER),
        mean_metric("duplicates", "novelty", duplicates(samples), "share", Better.LOWER),
    )


def radii(bits: Bits) -> Floats32:
    """(N,) pixels by which each design (N, C, H, W) differs from its 5th nearest other design of the same set."""
    parts = []
    for i in range(0, len(bits), _ROWS):
        distance = differing_pixels(bits[i : i + _ROWS], bits)  # a design itself, at 0, is the smallest of its row
        parts.append(np.partition(distance, _NEIGHBOURS, axis=1)[:, _NEIGHBOURS])
    return np.concatenate(parts)


def manifold(samples: Bits, real: Bits, real_radius: Floats32) -> tuple[Metric, ...]:
    """Precision, recall, density and coverage with k = 5, in all pixels.

    Principal components would not do here: they do not see the noise that a model adds outside of them.

    Args:
        samples: (N, C, H, W).
        real: (M, C, H, W).
        real_radius: (M,) from `radii(real)`.

    Source:
        Kynkäänniemi et al. 2019 (precision, recall); Naeem et al. 2020, eq. 4 and 5 (density, coverage).
    """
    sample_radius = radii(samples)
    around = np.zeros(len(samples))  # real balls that hold a sample
    recalled = np.zeros(len(real), dtype=np.bool_)  # real design within some sample's ball
    covered = np.zeros(len(real), dtype=np.bool_)  # real ball that holds some sample
    for i in range(0, len(samples), _ROWS):
        distance = differing_pixels(samples[i : i + _ROWS], real)  # (n, M)
        within = distance <= real_radius
        around[i : i + _ROWS] = within.sum(1)
        covered |= within.any(0)
        recalled |= (distance <= sample_radius[i : i + _ROWS, None]).any(0)
    group = "distribution"
    return (
        mean_metric("precision", group, around > 0, "share", Better.HIGHER),
        mean_metric("recall", group, recalled, "share", Better.HIGHER),
        mean_metric("density", group, around / _NEIGHBOURS, "1", Better.FLOOR),
        mean_metric("coverage", group, covered, "share", Better.HIGHER),
    )
