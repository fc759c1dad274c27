"""Every border of a design once, as a line: a staircase of pixels, or smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epurecli.outline.chains import Floats, chains_of
from epurecli.outline.cracks import Arc, find_arcs
from epurecli.outline.simplify import thinned
from epurecli.outline.smooth import REACH, least_bending


@dataclass(frozen=True)
class Border:
    """A line between two owners, from one junction, or from the axis, to another; or a ring.

    Attributes:
        points: (K, 2) pixels: x from the axis (negative: the images are the left half), y down. A ring's last point is
            its first.
        left, right: owners on either hand of whoever walks along it, as one sees it with y down; 0 = background.
        on_axis: whether it starts, and whether it ends, on the axis.
    """

    points: Floats
    left: int
    right: int
    on_axis: tuple[bool, bool]


def find_borders(labels: NDArray[np.integer[Any]], smooth: float) -> list[Border]:
    """The borders of a half section.

    Args:
        labels: (H, W) owner of each pixel, 0 = background; the axis is the right edge.
        smooth: 0 follows the pixels' edges; from there to 1, how much of the way to the next pixel's centre vertices
            may go.
    """
    arcs = find_arcs(labels)
    if not arcs:
        return []
    lines = _smooth(arcs, labels.shape[1], REACH * smooth) if smooth else [_stairs(a, labels.shape[1]) for a in arcs]
    return [Border(line, arc.left, arc.right, arc.on_axis) for line, arc in zip(lines, arcs, strict=True)]


def _smooth(arcs: list[Arc], width: int, reach: float) -> list[Floats]:
    chains = chains_of(arcs, width)
    t = least_bending(chains, reach)
    points, slide, offset = chains.points(t), chains.slide, t[chains.vertex]
    lines = []
    rows_of = np.split(np.arange(len(points)), np.flatnonzero(np.diff(chains.arc)) + 1)
    for arc, rows in zip(arcs, rows_of, strict=True):
        line = points[rows]
        for end, axis in zip((0, -1), arc.on_axis, strict=True):
            if axis:
                line[end, 0] = 0.0  # half way to the mirrored vertex
        if arc.closed:  # from its sharpest corner round to it again
            bend = np.abs(np.diff(line, 2, axis=0)).sum(1)
            rows = np.roll(rows[1:-1], -int(bend.argmax()))
            rows = np.append(rows, rows[0])
            line = points[rows]
        free = slide[rows]
        if arc.closed:
            free[[0, -1]] = 0  # one point, which stays
        lines.append(thinned(line, free, offset[rows]))
    return lines


def _stairs(arc: Arc, width: int) -> Floats:
    """The corners at which an arc turns, and its ends."""
    corners = arc.corners - (width, 0.0)
    turns = (np.diff(corners, 2, axis=0) != 0).any(1)
    return corners[np.concatenate([[True], turns, [True]])]
