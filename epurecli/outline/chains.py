"""The vertices of arcs, one on each crack, as arrays; what their sliding does to the areas on either side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epurecli.outline.cracks import Arc

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Chains:
    """The points of all arcs one after the other: for each arc the point before it, its vertices, the point after it.

    A point is base + t slide, t being that of a vertex: its own, or that of the vertex which it goes with. Before and
    after an arc stands a junction, which does not slide; beyond the axis the mirrored vertex, which slides with its
    own; of a ring the vertex at the other end.

    Attributes:
        base: (E, 2) x from the axis, y down; of a vertex the middle of its crack.
        slide: (E, 2) of a vertex the unit vector across its crack, to the left hand.
        vertex: (E,) the vertex whose t moves the point.
        arc: (E,) the arc that it belongs to.
        places: (n,) which of the points the vertices are.
        weight: (E - 1,) how much of the area under the segment from each point to the next counts.
        pixel_area: (A,) area between each arc, as pixels have it, and the axis.
    """

    base: Floats
    slide: Floats
    vertex: Ints
    arc: Ints
    places: Ints
    weight: Floats
    pixel_area: Floats

    @property
    def owner(self) -> Ints:
        """(n,) the arc of each vertex."""
        return self.arc[self.places]

    def points(self, t: Floats) -> Floats:
        """(E, 2) where vertices are `t` (n,) away from the middles of their cracks."""
        return self.base + self.slide * t[self.vertex, None]

    def excess(self, t: Floats) -> Floats:
        """(A,) area that each arc gives to its right hand beyond what pixels do."""
        points = self.points(t)
        return np.bincount(self.arc[1:], self.weight * cross(points[:-1], points[1:]) / 2) - self.pixel_area

    def gains(self, t: Floats) -> Floats:
        """(n,) derivative of the excess by each t."""
        points = self.points(t)
        start = self.weight * cross(self.slide[:-1], points[1:]) / 2
        end = self.weight * cross(points[:-1], self.slide[1:]) / 2
        return np.bincount(self.vertex[:-1], start) + np.bincount(self.vertex[1:], end)


def chains_of(arcs: Sequence[Arc], width: int) -> Chains:
    """The vertices of the arcs (at least one) of a half section that is `width` pixels wide."""
    pieces: list[tuple[Floats, Floats, Ints, Floats]] = []
    pixel_area = []
    count = 0
    for arc in arcs:
        corners = arc.corners - (width, 0.0)
        along = np.diff(corners, axis=0)
        middle, across = corners[:-1] + along / 2, along[:, ::-1] * (1, -1)
        vertex = count + np.arange(len(middle))
        count += len(middle)
        if arc.closed:  # what joins its last vertex to the first counts once
            before, after = (middle[-1], across[-1], vertex[-1], 0.0), (middle[0], across[0], vertex[0], 1.0)
        else:  # half of what crosses the axis lies beyond it
            before, after = (
                (middle[k] * (-1, 1), across[k], vertex[k], 0.5) if axis else (corners[k], np.zeros(2), vertex[k], 1.0)
                for k, axis in zip((0, -1), arc.on_axis, strict=True)
            )
        pieces.append((
            np.stack([before[0], *middle, after[0]]),
            np.stack([before[1], *across, after[1]]),
            np.array([before[2], *vertex, after[2]]),
            np.array([before[3], *np.ones(len(middle) - 1), after[3], 0.0]),
        ))  # fmt: skip
        pixel_area.append(cross(corners[:-1], corners[1:]).sum() / 2)
    base, slide, vertex, weight = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    lengths = np.array([len(arc.corners) + 1 for arc in arcs])
    ends = np.cumsum(lengths)
    places = np.setdiff1d(np.arange(ends[-1]), [ends - 1, ends - lengths])
    owner = np.repeat(np.arange(len(arcs)), lengths)
    return Chains(base, slide, vertex, owner, places, weight[:-1], np.array(pixel_area))


def cross(a: Floats, b: Floats) -> Floats:
    """(K,) cross products of vectors (K, 2)."""
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
