"""Geometry of bit images, batched: objects, bounding boxes, areas, centres, descriptors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from epurecli.evaluate.images import Bits, Floats

_CHUNK = 4096  # images per labelling call: bounds the int32 label array to 34 MB at 64x32
# In-plane neighbours only: one 3-D labelling call serves a whole stack without joining one design to the next.
_EDGES = np.zeros((3, 3, 3), dtype=bool)
_EDGES[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
_CORNERS = np.zeros((3, 3, 3), dtype=bool)
_CORNERS[1] = True


@dataclass(frozen=True, slots=True)
class Objects:
    """Connected objects of each image of a stack."""

    count: NDArray[np.intp]  # (N,)
    largest: NDArray[np.intp]  # (N,) pixels of the largest object, 0 for an empty image


def objects(mask: Bits, corners: bool = False) -> Objects:
    """Count connected objects and measure the largest.

    Args:
        mask: (N, H, W).
        corners: whether pixels that touch at a corner only are connected (8-connectivity), else they are not (4).
    """
    parts = [_objects(mask[i : i + _CHUNK], corners) for i in range(0, len(mask), _CHUNK)]
    return Objects(np.concatenate([p.count for p in parts]), np.concatenate([p.largest for p in parts]))


def _objects(mask: Bits, corners: bool) -> Objects:
    labels, total = ndimage.label(mask, _CORNERS if corners else _EDGES)
    flat = labels.reshape(len(mask), -1)
    image, pixel = np.nonzero(flat)
    label = flat[image, pixel] - 1
    size = np.bincount(label, minlength=total)
    owner = np.empty(total, dtype=np.intp)
    owner[label] = image
    largest = np.zeros(len(mask), dtype=np.intp)
    np.maximum.at(largest, owner, size)
    return Objects(np.bincount(owner, minlength=len(mask)), largest)


def hole_pixels(mask: Bits) -> Bits:
    """Background pixels that cannot reach the border without crossing the design (8-connected paths are allowed).

    Args:
        mask: (N, H, W).

    Returns:
        (N, H, W) True in a hole.
    """
    out = np.empty_like(mask)
    for i in range(0, len(mask), _CHUNK):
        # A frame of background joins everything that reaches the border into the one object that holds the corner.
        outside = np.pad(~mask[i : i + _CHUNK], ((0, 0), (1, 1), (1, 1)), constant_values=True)
        labels, _ = ndimage.label(outside, _CORNERS)
        out[i : i + _CHUNK] = (labels != labels[:, :1, :1])[:, 1:-1, 1:-1] & ~mask[i : i + _CHUNK]
    return out


@dataclass(frozen=True, slots=True)
class Box:
    """Bounding boxes; all zero for an empty image."""

    top: NDArray[np.intp]  # (*,)
    left: NDArray[np.intp]
    height: NDArray[np.intp]
    width: NDArray[np.intp]


def bounding_box(mask: Bits) -> Box:
    """Bounding box of the set pixels.

    Args:
        mask: (*, H, W).
    """
    rows, columns = mask.any(-1), mask.any(-2)  # (*, H), (*, W)
    occupied = rows.any(-1)

    def span(line: Bits) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        first = line.argmax(-1)
        last = line.shape[-1] - 1 - line[..., ::-1].argmax(-1)
        return np.where(occupied, first, 0), np.where(occupied, last - first + 1, 0)

    top, height = span(rows)
    left, width = span(columns)
    return Box(top, left, height, width)


def centre(mask: Bits) -> Floats:
    """Centre of mass in pixels, (row, column); (0, 0) for an empty image, which no real part has.

    Args:
        mask: (*, H, W).

    Returns:
        (*, 2).
    """
    return np.stack([_moments(mask.sum(-1))[0], _moments(mask.sum(-2))[0]], -1)


def _moments(profile: NDArray[np.int_]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the position under a profile (*, K); zeros where the profile is empty."""
    weight = profile / np.maximum(profile.sum(-1, keepdims=True), 1)
    position = np.arange(profile.shape[-1], dtype=np.float64)
    mean = weight @ position
    variance = weight @ position**2 - mean**2
    return mean, np.sqrt(np.maximum(variance, 0.0))


DESCRIPTORS = ("area", "row", "column", "row spread", "column spread", "perimeter", "top", "left", "height", "width")


def descriptors(bits: Bits) -> Floats:
    """Ten numbers, in pixels, for each component and for their union: see `DESCRIPTORS`.

    The perimeter counts pixel edges between inside and outside, the frame of the image left out.

    Args:
        bits: (N, C, H, W).

    Returns:
        (N, 10 * (C + 1)).
    """
    parts = np.concatenate([bits, bits.any(1, keepdims=True)], 1)  # (N, C + 1, H, W)
    rows, columns = parts.sum(-1), parts.sum(-2)
    row, row_spread = _moments(rows)
    column, column_spread = _moments(columns)
    down = (parts[..., 1:, :] != parts[..., :-1, :]).sum((-1, -2))
    across = (parts[..., 1:] != parts[..., :-1]).sum((-1, -2))
    box = bounding_box(parts)
    numbers = (
        *(rows.sum(-1), row, column, row_spread, column_spread, down + across),
        *(box.top, box.left, box.height, box.width),
    )
    return np.stack(numbers, -1).reshape(len(bits), -1).astype(np.float64)
