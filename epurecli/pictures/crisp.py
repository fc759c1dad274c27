"""From soft images to parts that cannot overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def crisp(images: np.ndarray) -> np.ndarray:
    """Give each pixel to its likeliest owner: one component or the background.

    With p_c the pixel's value in component c,

        p_0 = max(0, 1 - sum_c p_c)        (the background)
        owner = argmax(p_0, p_1, ..., p_C) (a tie goes to the background, then to the first component)
        out_c = 1 if owner = c else 0

    so that at most one component is 1 at any pixel.

    Args:
        images: (..., C, H, W) floats in [0, 1].

    Returns:
        (..., C, H, W) zeros and ones, of the dtype given.
    """
    return planes(owners(images), images.shape[-3]).astype(images.dtype)


def owners(images: np.ndarray) -> NDArray[np.intp]:
    """The owner of each pixel, as `crisp` says.

    Args:
        images: (..., C, H, W) floats in [0, 1].

    Returns:
        (..., H, W) integers: 0 the background, c + 1 component c.
    """
    return _claims(images).argmax(axis=-3)


def labels_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:  # (..., C, H, W) -> (..., H, W)
    """The owner of each pixel of 8-bit images, as `crisp` says."""
    return owners(images.astype(np.float32) / 255).astype(np.uint8)


def planes(labels: NDArray[np.integer], components: int) -> NDArray[np.bool_]:  # (..., H, W) -> (..., C, H, W)
    """Which pixels each component owns; the inverse of `owners` for parts in black and white."""
    return labels[..., None, :, :] == np.arange(1, components + 1, dtype=labels.dtype)[:, None, None]


def changed_owners(images: np.ndarray, other: np.ndarray, tie: float) -> int:
    """Number of pixels that `other` gives to an owner whose claim in `images` is weaker by more than `tie`.

    A pixel that two owners claim alike may go to either: such a tie is no change.

    Args:
        images: (..., C, H, W) floats in [0, 1].
        other: the same shape.
        tie: smallest difference of two claims that means something.
    """
    claims = _claims(images)
    chosen = np.expand_dims(owners(other), -3)
    lost = claims.max(axis=-3) - np.take_along_axis(claims, chosen, axis=-3).squeeze(-3)
    return int((lost > tie).sum())


def _claims(images: np.ndarray) -> NDArray[np.floating]:  # (..., C, H, W) -> (..., 1 + C, H, W), background first
    if images.ndim < 3:
        raise ValueError(f"images: expected (..., C, H, W), got {images.shape}")
    background = np.clip(1 - images.sum(axis=-3, keepdims=True), 0, None)
    return np.concatenate([background, images], axis=-3)
