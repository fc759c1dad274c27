"""What the engine answers with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """N designs. Of completions the first is the majority of the draws, and the draws follow."""

    labels: NDArray[np.uint8]  # (N, H, W) 0 air, c + 1 component c
    numbers: NDArray[np.uint32]  # (N,) of the design, or the draw, under its seed
    counts: NDArray[np.uint16] | None = None  # (C, H, W) draws that give the pixel to the component
    draws: int = 0  # that were counted
    preview: bool = False  # whether more of the same follows
    nearest: bool = False  # whether these are the nearest of many to what was painted
    strokes_kept: float = 1.0  # share of the painted pixels that the first design has as they were painted
    milliseconds: float = 0.0
