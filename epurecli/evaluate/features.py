"""Two descriptions of a design as a vector: principal components of its pixels, and its shape descriptors.

Both are fitted on the training designs alone, so that no model's samples can move the ruler that measures them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epurecli.evaluate import shape
from epurecli.evaluate.images import Bits, Floats

_COMPONENTS = 64
_CHUNK = 1024

Floats32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PixelFeatures:
    """Projection onto the leading principal components, not whitened: a unit is a pixel."""

    alive: Bits  # (C*H*W,) pixels that vary in training; the others have no part in any axis
    mean: Floats32  # (A,)
    axes: Floats32  # (A, F) orthonormal columns

    def __call__(self, bits: Bits) -> Floats32:
        """(N, F) features of (N, C, H, W)."""
        flat = bits.reshape(len(bits), -1)
        parts = [
            (flat[i : i + _CHUNK, self.alive].astype(np.float32) - self.mean) @ self.axes
            for i in range(0, len(flat), _CHUNK)
        ]
        return np.concatenate(parts)


def fit_pixel_features(train: Bits, rng: np.random.Generator, count: int = _COMPONENTS) -> PixelFeatures:
    """Principal components by a randomised range finder with four power iterations.

    The axes that matter converge to far below the metrics' own noise; an exact decomposition of 10,000 pixels would
    take longer than everything else here.

    Args:
        train: (N, C, H, W).
        rng: source of the start vectors.
        count: F; fewer where there are fewer designs or pixels.

    Source:
        Halko, Martinsson, Tropp 2011, algorithm 4.4.
    """
    flat = train.reshape(len(train), -1)
    share = flat.mean(0)
    alive = (share > 0) & (share < 1)
    mean = share[alive].astype(np.float32)
    centred = flat[:, alive].astype(np.float32) - mean  # (N, A)
    count = min(count, *centred.shape)
    guess = rng.standard_normal((centred.shape[1], min(count + 16, *centred.shape)), dtype=np.float32)
    for _ in range(4):
        guess, _ = np.linalg.qr(centred.T @ (centred @ guess))
    _, _, rotation = np.linalg.svd(centred @ guess, full_matrices=False)
    return PixelFeatures(alive, mean, (guess @ rotation[:count].T).astype(np.float32))


@dataclass(frozen=True, slots=True)
class ShapeFeatures:
    """Shape descriptors, standardised."""

    mean: Floats  # (F,)
    scale: Floats  # (F,)

    def __call__(self, bits: Bits) -> Floats32:
        """(N, F) features of (N, C, H, W)."""
        parts = [shape.descriptors(bits[i : i + _CHUNK]) for i in range(0, len(bits), _CHUNK)]
        return ((np.concatenate(parts) - self.mean) / self.scale).astype(np.float32)


def fit_shape_features(train: Bits) -> ShapeFeatures:
    """Training mean and standard deviation of each descriptor, the latter at least one pixel.

    The floor keeps a descriptor that never varies in training (a part that always touches the frame) from being ignored
    or from dividing by zero: leaving it by a pixel counts as one unit.
    """
    values = np.concatenate([shape.descriptors(train[i : i + _CHUNK]) for i in range(0, len(train), _CHUNK)])
    return ShapeFeatures(values.mean(0), np.maximum(values.std(0), 1.0))
