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
    corners = np.concatenate([arc.corners for arc in arcs]) - (width, 0.0)
    cracks = np.array([len(arc.corners) - 1 for arc in arcs])
    end = np.delete(np.arange(len(corners)), np.cumsum(cracks + 1) - cracks - 1)  # the corner where each crack ends
    along = corners[end] - corners[end - 1]
    middle, across = corners[end - 1] + along / 2, along[:, ::-1] * (1, -1)
    pixel_area = np.bincount(np.repeat(np.arange(len(arcs)), cracks), cross(corners[end - 1], corners[end])) / 2

    past = np.cumsum(cracks + 2)  # of the points of each arc
    heads, tails = past - cracks - 2, past - 1
    places = np.delete(np.arange(past[-1]), np.concatenate([heads, tails]))
    base, slide = np.zeros((2, past[-1], 2))
    vertex, weight = np.zeros(past[-1], np.int64), np.ones(past[-1])
    base[places], slide[places], vertex[places] = middle, across, np.arange(len(middle))
    weight[tails] = 0  # from one arc to the next
    last = np.cumsum(cracks) - 1
    first = last - cracks + 1
    closed, axis = np.array([arc.closed for arc in arcs]), np.array([arc.on_axis for arc in arcs]).T
    # Of a ring what joins its last vertex to the first counts once; half of what crosses the axis lies beyond it.
    for points, near, far, junction, on_axis, segment, joins in (
        (heads, first, last, end[first] - 1, axis[0], heads, 0.0),
        (tails, last, first, end[last], axis[1], tails - 1, 1.0),
    ):
        partner = np.where(closed, far, near)
        mirrored = np.where(on_axis[:, None], (-1, 1), (1, 1))
        slides = (closed | on_axis)[:, None]
        base[points] = np.where(slides, middle[partner] * mirrored, corners[junction])
        slide[points], vertex[points] = np.where(slides, across[partner], 0.0), partner
        weight[segment] = np.where(closed, joins, np.where(on_axis, 0.5, 1.0))
    return Chains(base, slide, vertex, np.repeat(np.arange(len(arcs)), cracks + 2), places, weight[:-1], pixel_area)


def cross(a: Floats, b: Floats) -> Floats:
    """(K,) cross products of vectors (K, 2)."""
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
