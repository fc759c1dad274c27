"""Fewer vertices, within a tolerance, with every pixel on its own side and every area as before.

A vertex may go where the straight line that takes its place passes its gate: the middle part of the segment between the
two pixel centres that the vertex parted. The farthest such line is found by narrowing the cone of directions that pass
all gates so far (Imai and Iri, "Polygonal approximations of a curve", 1988). What the lines cut off, the vertices that
stay make good by a small slide along their gates.
"""

from __future__ import annotations

import numpy as np

from epurecli.outline.chains import Floats, Ints, cross
from epurecli.outline.smooth import REACH

TOLERANCE = 0.02  # pixels along the gate
MARGIN = 0.02  # of REACH, left for making areas good


def thinned(points: Floats, slide: Floats, t: Floats) -> Floats:
    """The points that stay, moved a little. Where pixels or the area would change, all stay as they are.

    Args:
        points: (K, 2) of a border, y down, x from the axis; of a ring the last is the first.
        slide: (K, 2) unit vectors along the gates, to the left hand; 0 of a point that does not move.
        t: (K,) where in its gate, from the middle, each point is.
    """
    most = REACH - MARGIN
    left = points + slide * np.maximum(np.minimum(TOLERANCE, most - t), 0)[:, None]
    right = points + slide * np.minimum(np.maximum(-TOLERANCE, -most - t), 0)[:, None]
    stay = _stay(points, left, right)
    if len(stay) == len(points):
        return points
    area = cross(points[:-1], points[1:]).sum()
    moved = _with_area(points[stay], slide[stay], t[stay], area)
    same = abs(cross(moved[:-1], moved[1:]).sum() - area) < 1e-6 and _passes_gates(moved, stay, points, slide, t)
    return moved if same else points


def _stay(points: Floats, left: Floats, right: Floats) -> Ints:
    """Rows of the points that stay: the first, from there the farthest that a line reaches through all gates, ..."""
    rows = list(zip(points.tolist(), left.tolist(), right.tolist(), strict=True))
    stay = [0]
    while stay[-1] < len(rows) - 1:
        start = stay[-1]
        (x, y), farthest = rows[start][0], start + 1
        (_, (ax, ay), (bx, by)) = rows[farthest]
        ax, ay, bx, by = ax - x, ay - y, bx - x, by - y  # the cone's left and right edge
        for row in range(start + 2, len(rows)):
            (dx, dy), (lx, ly), (rx, ry) = rows[row]
            dx, dy, lx, ly, rx, ry = dx - x, dy - y, lx - x, ly - y, rx - x, ry - y
            if ax * dy - ay * dx >= 0 >= bx * dy - by * dx:
                farthest = row
            if ax * ly - ay * lx > 0:
                ax, ay = lx, ly
            if bx * ry - by * rx < 0:
                bx, by = rx, ry
            if ax * by - ay * bx <= 0:
                break
        stay.append(farthest)
    return np.array(stay)


def _with_area(points: Floats, slide: Floats, t: Floats, wanted: float) -> Floats:
    """Points slid so that twice the area between them and the axis is `wanted`, as far as gates let them: Newton."""
    middle = points - slide * t[:, None]
    for _ in range(5):
        points = middle + slide * t[:, None]
        lacking = wanted - cross(points[:-1], points[1:]).sum()
        if abs(lacking) < 1e-9:
            break
        gains = np.zeros(len(points))
        gains[:-1] += cross(slide[:-1], points[1:])
        gains[1:] += cross(points[:-1], slide[1:])
        gains[(np.abs(t) >= REACH) & (gains * lacking * t > 0)] = 0
        t = (t + gains * lacking / max(gains @ gains, 1e-12)).clip(-REACH, REACH)
    return middle + slide * t[:, None]


def _passes_gates(line: Floats, stay: Ints, points: Floats, slide: Floats, t: Floats) -> bool:
    """Whether a line of the points that stayed parts the same pixels: it crosses each gate within REACH."""
    segment = np.repeat(np.arange(len(stay) - 1), np.diff(stay))  # of each gate but the last
    start, along = line[segment], (line[1:] - line[:-1])[segment]
    gates = slice(0, -1)
    steep = cross(along, slide[gates])
    moves = slide[gates].any(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = t[gates] - cross(along, points[gates] - start) / steep
    last = t[-1] + (line[-1] - points[-1]) @ slide[-1]
    return bool((np.abs(crossing[moves]) <= REACH).all() and abs(last) <= REACH)
