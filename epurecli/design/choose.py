"""Which of many acceptable designs to show: good ones that differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epurecli.evaluate.neighbours import differing_pixels


def farthest(bits: NDArray[np.bool_], first: int, count: int) -> list[int]:
    """Greedily, each design furthest in pixels from those chosen before; begins with `first`. At most `count`.

    Source: Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", 1985.
    """
    chosen = [first]
    nearest = differing_pixels(bits, bits[[first]])[:, 0]
    while len(chosen) < min(count, len(bits)):
        following = int(nearest.argmax())
        if nearest[following] == 0:  # all the rest are there already
            break
        chosen.append(following)
        nearest = np.minimum(nearest, differing_pixels(bits, bits[[following]])[:, 0])
    return chosen


def non_dominated(merit: NDArray[np.float64]) -> NDArray[np.bool_]:  # (B, J) -> (B,)
    """Whether no other design is as good in all objectives and better in one; more is better."""
    as_good = (merit[None] >= merit[:, None]).all(2)
    better = (merit[None] > merit[:, None]).any(2)
    return ~(as_good & better).any(1)


def spread_over_front(merit: NDArray[np.float64], count: int) -> list[int]:
    """The ends of a front (B, J), then greedily what is furthest from those chosen, in standard deviations."""
    chosen = list(dict.fromkeys(int(i) for i in merit.argmax(0)))[:count]
    while len(chosen) < min(count, len(merit)):
        nearest = np.linalg.norm(merit[:, None] - merit[chosen][None], axis=2).min(1)
        following = int(nearest.argmax())
        if nearest[following] == 0:
            break
        chosen.append(following)
    return chosen
