"""Smooth borders that are drawn back to the very same pixels, and keep the area of every part.

Each crack has one vertex, on the segment between the two pixel centres that it parts, t away from its middle. Joined in
order, such vertices leave every pixel centre on its own side whatever t is, as long as |t| < 1/2: round each pixel
corner lies a square of four centres, and within it the border joins those sides whose ends have different owners. So
pixels stay what they are and borders cannot cross, and t is free to make them smooth:

    minimise    sum_k ((n_k . b_k)^2 + 0.1 (a_k . b_k)^2) / h_k
    where       b_k = (P_(k+1) - P_k) / l_(k+1) - (P_k - P_(k-1)) / l_k,    l_k = |P_k - P_(k-1)|
    subject to  |t| <= reach,   the area on either side of each arc as pixels have it

with h_k the mean of l_k and l_(k+1), a_k and n_k along and across the border. This is the integral of the squared
curvature, but that what comes from uneven steps along a border counts for little. (Where it counts in full, as in a
surface net, slanted borders keep the waves of their staircase: Gibson, "Constrained elastic surface nets", 1998.)
Across the axis the neighbour is the mirrored vertex; junctions stay where they are. With lengths and directions of the
last round it is a quadratic programme, solved by the alternating direction method of multipliers (Boyd et al., 2011;
Stellato et al., "OSQP", 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from epurecli.outline.chains import Chains, Floats, Ints

REACH = 0.49
ROUNDS, SWEEPS = 8, 6  # lengths and directions are measured anew in each round
ALONG = 0.1
SHORTEST = 0.3  # pixels, of the lengths
STIFFNESS = 1.0  # of the multipliers' method


def least_bending(chains: Chains, reach: float = REACH) -> Floats:
    """(n,) how far from the middle of its crack each vertex is, to the left hand."""
    count, arcs = len(chains.places), len(chains.pixel_area)
    steps = chains.vertex[chains.places + np.array([[-1], [0], [1]])]  # (3, n): what a second difference is made of
    free, area = np.arange(count), count + chains.owner
    pattern = _Pattern.of(
        [np.repeat(steps[:, None], 3, 1), free, free, area, count + np.arange(arcs)],
        [np.repeat(steps[None], 3, 0), free, area, free, count + np.arange(arcs)],
    )
    never = np.full(arcs, -1e-9)  # solvable even if no vertex could change an arc's area
    t = price = np.zeros(count)
    for _ in range(ROUNDS):
        curvature, pull = _bending(chains, t)
        gains = chains.gains(t)
        solve = splu(pattern.filled([curvature, np.full(count, STIFFNESS), gains, gains, never])).solve
        wanted = np.bincount(chains.owner, gains * t) - chains.excess(t)
        for _ in range(SWEEPS):
            found = solve(np.concatenate([STIFFNESS * (t - price) - pull, wanted]))[:count]
            t = (found + price).clip(-reach, reach)
            price = price + found - t
    return keep_areas(chains, t, reach)


def keep_areas(chains: Chains, t: Floats, reach: float = REACH) -> Floats:
    """The nearest t with which each arc has the area that pixels have, as far as `reach` lets it: Newton's method."""
    for _ in range(8):
        gains = chains.gains(t)
        excess = chains.excess(t)[chains.owner]
        gains[(np.abs(t) >= reach) & (gains * excess * t < 0)] = 0  # those at the end of their way go no further
        norm = np.bincount(chains.owner, gains**2)
        t = (t - gains * excess / np.maximum(norm, 1e-12)[chains.owner]).clip(-reach, reach)
    return t


def _bending(chains: Chains, t: Floats) -> tuple[Floats, Floats]:
    """The derivative of the bending by t is matrix @ t + vector: what each second difference adds to the matrix, by the
    three points that it is made of (3, 3, n), and the vector (n,)."""
    points, here = chains.points(t), chains.places
    steps = here + np.array([[-1], [0], [1]])
    lengths = np.hypot(*np.diff(points, axis=0).T).clip(SHORTEST)
    before, after = lengths[here - 1], lengths[here]
    times = np.stack([1 / before, -1 / before - 1 / after, 1 / after])  # (3, n)
    along = points[here + 1] - points[here - 1]
    along /= np.hypot(*along.T).clip(SHORTEST)[:, None]
    axes = np.stack([along[:, ::-1] * (1, -1), np.sqrt(ALONG) * along])  # (2, n, 2): across and along the border
    axes *= np.sqrt(2 / ((before + after) / 2))[:, None]
    change = np.einsum("sk,aki,ski->ask", times, axes, chains.slide[steps])  # (2, 3, n) of b by t
    start = np.einsum("sk,aki,ski->ak", times, axes, chains.base[steps])
    pull = np.bincount(chains.vertex[steps].ravel(), (change * start[:, None]).sum(0).ravel())
    return np.einsum("ask,ark->srk", change, change), pull


@dataclass(frozen=True)
class _Pattern:
    """Where the entries of a sparse square matrix are; those at one place add up."""

    place: Ints  # (M,) of each entry among the K places that hold any
    rows: Ints  # (K,)
    starts: Ints  # (N + 1,) of the columns

    @classmethod
    def of(cls, rows: list[Ints], columns: list[Ints]) -> _Pattern:
        row, column = (np.concatenate([part.ravel() for part in parts]) for parts in (rows, columns))
        size = int(row.max()) + 1
        places, place = np.unique(column * size + row, return_inverse=True)
        return cls(place, places % size, np.searchsorted(places, np.arange(size + 1) * size))

    def filled(self, entries: list[Floats]) -> sparse.csc_array:
        values = np.bincount(self.place, np.concatenate([part.ravel() for part in entries]))
        return sparse.csc_array((values, self.rows, self.starts))
