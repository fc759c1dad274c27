"""Smooth borders that are drawn back to the very same pixels, and keep the area of every part.

Each crack has one vertex, on the segment between the two pixel centres that it parts, t away from its middle. Joined in
order, such vertices leave every pixel centre on its own side whatever t is, as long as |t| < 1/2: round each pixel
corner lies a square of four centres, and within it the border joins those sides whose ends have different owners. So
pixels stay what they are and borders cannot cross, and t is free to make them smooth:

    minimise    sum_k |d_(k+1) - d_k|^2 / ((h_k + h_(k+1)) / 2),    d_k = (P_k - P_(k-1)) / h_k,   h_k = |P_k - P_(k-1)|
    subject to  |t| <= reach,   the area on either side of each arc as pixels have it

which is the integral of the squared curvature. Across the axis the neighbour is the mirrored vertex; junctions stay
where they are. With the h of the last round it is a quadratic programme, solved by the alternating direction method of
multipliers (Boyd et al., 2011; Stellato et al., "OSQP", 2020). It is a surface net (Gibson, "Constrained elastic
surface nets", 1998) in the plane; with h = 1, as there, slanted borders keep the waves of their staircase.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from epurecli.outline.chains import Chains, Floats

REACH = 0.49
ROUNDS, SWEEPS = 8, 10  # lengths are measured anew in each round
SHORTEST = 0.5  # h at least, in pixels
STIFFNESS = 1.0  # of the multipliers' method


def least_bending(chains: Chains, reach: float = REACH) -> Floats:
    """(n,) how far from the middle of its crack each vertex is, to the left hand."""
    count, arcs = len(chains.places), len(chains.pixel_area)
    t = price = np.zeros(count)
    for _ in range(ROUNDS):
        curvature, pull = _bending(chains, chains.points(t))
        gains = chains.gains(t)
        rows = sparse.csr_array((gains, (chains.owner, np.arange(count))), shape=(arcs, count))
        area = rows @ t - chains.excess(t)
        held = curvature + STIFFNESS * sparse.eye_array(count)
        soft = -1e-9 * sparse.eye_array(arcs)  # solvable even if no vertex could change an arc's area
        solve = splu(sparse.block_array([[held, rows.T], [rows, soft]]).tocsc()).solve
        for _ in range(SWEEPS):
            free = solve(np.concatenate([STIFFNESS * (t - price) - pull, area]))[:count]
            t = (free + price).clip(-reach, reach)
            price = price + free - t
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


def _bending(chains: Chains, points: Floats) -> tuple[sparse.csr_array, Floats]:
    """Matrix (n, n) and vector (n,): the derivative of the bending by t is matrix @ t + vector."""
    count = len(chains.places)
    length = np.hypot(*np.diff(points, axis=0).T).clip(SHORTEST)
    before, after = length[chains.places - 1], length[chains.places]
    weight = ((before + after) / 2) ** -0.5
    start = np.zeros((count, 2))
    change = sparse.csr_array((2 * count, count))  # of what is squared, in x and in y, by t
    for offset, times in ((-1, weight / before), (0, -weight / before - weight / after), (1, weight / after)):
        place = chains.places + offset
        start += times[:, None] * chains.base[place]
        entries = (times[:, None] * chains.slide[place]).reshape(-1)
        where = np.arange(2 * count), chains.vertex[place].repeat(2)
        change += sparse.csr_array((entries, where), shape=change.shape)
    return 2 * (change.T @ change), 2 * change.T @ start.reshape(-1)
