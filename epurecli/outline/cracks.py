"""Borders of a label map: the cracks between pixels of different owners, joined to arcs between junctions.

Coordinates are pixels of the half section: x to the right, y down, the upper left corner of the image at (0, 0), the
axis at x = W. Beyond the left, upper and lower edge lies background; beyond the axis the mirrored half, so that no
crack runs along it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]


@dataclass(frozen=True)
class Arc:
    """A chain of cracks that parts the same two owners all along.

    Attributes:
        corners: (n + 1, 2) the pixel corners (x, y) that its n cracks join, in order.
        left, right: the owner on either hand of whoever walks along it, as one sees it with y down; 0 = background.
        on_axis: whether it starts, and whether it ends, on the axis.
        closed: whether it is a ring that no other arc touches.
    """

    corners: NDArray[np.int64]
    left: int
    right: int
    on_axis: tuple[bool, bool] = (False, False)
    closed: bool = False


def find_arcs(labels: NDArray[np.integer[Any]]) -> list[Arc]:
    """All borders of a half section.

    Where three or four cracks meet there is a junction, at which arcs end: also where two pixels of a part touch at
    nothing but a corner.

    Args:
        labels: (H, W) owner of each pixel, 0 = background; the axis is the right edge.
    """
    padded = np.pad(labels, ((1, 1), (1, 0)))
    neighbours = _neighbours(padded)
    walked: set[tuple[Corner, Corner]] = set()

    def walk(corner: Corner, ahead: Corner) -> list[Corner]:
        """From a corner along a crack to the next junction, to the axis, or round to the start."""
        path = [corner, ahead]
        while len(neighbours[path[-1]]) == 2 and path[-1] != corner:
            one, other = neighbours[path[-1]]
            path.append(other if one == path[-2] else one)
        walked.update(pairwise(path))
        walked.update(pairwise(reversed(path)))
        return path

    found = []
    # First from junctions and from the axis; what is left then are rings.
    for corner in sorted(neighbours, key=lambda place: len(neighbours[place]) == 2):
        for ahead in neighbours[corner]:
            if (corner, ahead) not in walked:
                path = walk(corner, ahead)
                left, right = _owners_beside(padded, corner, ahead)
                axis = len(neighbours[path[0]]) == 1, len(neighbours[path[-1]]) == 1
                found.append(Arc(np.array(path), left, right, axis, len(neighbours[corner]) == 2))
    return found


def _neighbours(padded: NDArray[np.integer[Any]]) -> dict[Corner, list[Corner]]:
    """The corners that each corner is joined to by a crack."""
    joined: dict[Corner, list[Corner]] = defaultdict(list)
    level = np.argwhere(padded[:-1, 1:] != padded[1:, 1:])  # the owners above and below differ
    upright = np.argwhere(padded[1:-1, :-1] != padded[1:-1, 1:])
    for cracks, (dx, dy) in ((level, (1, 0)), (upright, (0, 1))):
        for y, x in cracks.tolist():
            joined[x, y].append((x + dx, y + dy))
            joined[x + dx, y + dy].append((x, y))
    return joined


def _owners_beside(padded: NDArray[np.integer[Any]], corner: Corner, ahead: Corner) -> tuple[int, int]:
    """Left and right of a crack."""
    (x, y), (dx, dy) = corner, (ahead[0] - corner[0], ahead[1] - corner[1])
    left, right = (((x + (dx + side * dy - 1) // 2), (y + (dy - side * dx - 1) // 2)) for side in (1, -1))
    return int(padded[left[1] + 1, left[0] + 1]), int(padded[right[1] + 1, right[0] + 1])
