"""Pictures of a section: mirrored, overlaid in colour, as heat."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from epurecli.pictures.palette import colour

SPREAD_FULL_SCALE = 0.5  # the largest standard deviation that values in [0, 1] can have

HEAT = ((255, 255, 255), (254, 217, 118), (240, 110, 40), (160, 10, 40), (50, 0, 30))  # evenly spaced stops


class Side(StrEnum):
    """Which edge of the images is the centre plane that the section is mirrored at."""

    RIGHT = "right"
    LEFT = "left"
    TOP = "top"
    BOTTOM = "bottom"
    NONE = "none"


def mirrored(planes: np.ndarray, side: Side) -> np.ndarray:
    """(..., H, W) half sections as full sections."""
    match side:
        case Side.RIGHT:
            return np.concatenate([planes, planes[..., ::-1]], axis=-1)
        case Side.LEFT:
            return np.concatenate([planes[..., ::-1], planes], axis=-1)
        case Side.BOTTOM:
            return np.concatenate([planes, planes[..., ::-1, :]], axis=-2)
        case Side.TOP:
            return np.concatenate([planes[..., ::-1, :], planes], axis=-2)
        case Side.NONE:
            return planes


def overlay(image: np.ndarray) -> np.ndarray:
    """All components in one picture, as inks on white paper.

    rgb = 255 prod_c (1 - x_c (1 - colour_c / 255)) (1 - o / 2),   x_c = image_c / 255,   o = clip(sum_c x_c - 1, 0, 1)

    A lone component has its colour and a gap is white. An overlap is darker than either part; o makes that plain for
    inks that absorb alike, such as the two blues, and is 0 at a soft seam, where the parts share a pixel.

    Args:
        image: (C, H, W) uint8.

    Returns:
        (H, W, 3) uint8.
    """
    paper = np.ones((*image.shape[1:], 3))
    for c, plane in enumerate(image):
        paper *= 1 - plane[:, :, None] / 255 * (1 - np.array(colour(c)) / 255)
    excess = np.clip(image.sum(axis=0) / 255 - 1, 0, 1)  # (H, W)
    return np.rint(paper * (1 - excess[:, :, None] / 2) * 255).astype(np.uint8)


def heat(spread: np.ndarray) -> np.ndarray:
    """(C, H, W) standard deviations as (H, W, 3) uint8: the largest of the components, 0 white to 0.5 dark."""
    level = np.clip(spread.max(axis=0) / SPREAD_FULL_SCALE, 0, 1) * (len(HEAT) - 1)
    stops = np.array(HEAT, dtype=float)
    channels = [np.interp(level, np.arange(len(HEAT)), stops[:, k]) for k in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
