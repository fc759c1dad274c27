"""Smooth borders that are drawn back to the very same pixels, and keep the area of every part.

Each crack has one vertex, on the segment between the two pixel centres that it parts, t away from its middle. Joined in
order, such vertices leave every pixel centre on its own side whatever t is, as long as |t| < 1/2: round each pixel
corner lies a square of four centres, and within it the border joins those sides whose ends have different owners. So
pixels stay what they are and borders cannot cross, and t is free to make them smooth:

    minimise    sum_k |P_(k-1) - 2 P_k + P_(k+1)|^2       (bending; across the axis with the mirrored neighbour)
    subject to  |t| <= reach,   the area on either side of each arc as pixels have it

by projected accelerated gradient. Junctions stay where they are. Sources: a surface net (Gibson, "Constrained elastic
surface nets", 1998) in the plane; Beck and Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from epurecli.outline.chains import Chains, Floats

REACH = 0.49
STEPS = 120
STEEPEST = 32.0  # largest curvature of the bending: 2 (1 + 2 + 1)^2


def least_bending(chains: Chains, reach: float = REACH, steps: int = STEPS) -> Floats:
    """(n,) how far from the middle of its crack each vertex is, to the left hand."""
    curvature, pull = _bending(chains)
    gains, lacking = chains.gains(np.zeros(len(chains.places))), -chains.excess(np.zeros(len(chains.places)))
    norm = np.bincount(chains.owner, gains**2)
    t = ahead = np.zeros(len(chains.places))
    pace = 1.0
    for _ in range(steps):
        moved = ahead - (curvature @ ahead + pull) / STEEPEST
        moved += gains * ((lacking - np.bincount(chains.owner, gains * moved)) / norm)[chains.owner]
        moved = moved.clip(-reach, reach)
        faster = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead, t, pace = moved + (pace - 1) / faster * (moved - t), moved, faster
    return keep_areas(chains, t, reach)


def keep_areas(chains: Chains, t: Floats, reach: float = REACH, rounds: int = 8) -> Floats:
    """The nearest t with which each arc has the area that pixels have, as far as `reach` lets it: Newton's method."""
    for _ in range(rounds):
        gains, excess = chains.gains(t), chains.excess(t)
        wish = -gains * excess[chains.owner]
        gains[(np.abs(t) >= reach) & (wish * t > 0)] = 0  # those at the end of their way move no further
        norm = np.bincount(chains.owner, gains**2)
        t = (t - gains * (excess / np.maximum(norm, 1e-12))[chains.owner]).clip(-reach, reach)
    return t


def _bending(chains: Chains) -> tuple[sparse.csr_array, Floats]:
    """Matrix (n, n) and vector (n,): the derivative of the bending by t is matrix @ t + vector."""
    count = len(chains.places)
    start = np.zeros((count, 2))
    change = sparse.csr_array((2 * count, count))  # of the second differences, each in x and y, by t
    for offset, times in ((-1, 1), (0, -2), (1, 1)):
        point = chains.places + offset
        start += times * chains.base[point]
        entries = times * chains.slide[point].reshape(-1), (np.arange(2 * count), chains.vertex[point].repeat(2))
        change += sparse.csr_array(entries, shape=change.shape)
    return 2 * (change.T @ change).tocsr(), 2 * change.T @ start.reshape(-1)
