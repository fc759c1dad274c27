"""Noise that belongs to a design, not to a batch: the same seed gives the same designs whatever the batch size or
process count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def design_noise(seed: int, first: int, count: int, draws: int, size: int) -> NDArray[np.float32]:  # (S, B, size)
    """Standard normal noise of designs first .. first + count - 1.

    Each design has a Philox stream of its own: key = seed, counter = the design's number. The first draws of a design
    do not depend on how many follow.
    """
    noise = np.empty((count, draws, size), np.float32)
    for row in range(count):
        stream = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, first + row]))
        stream.standard_normal(out=noise[row], dtype=np.float32)
    return noise.swapaxes(0, 1)
