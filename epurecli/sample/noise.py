"""Noise that belongs to a design, not to a batch: the same seed gives the same designs whatever the batch size or
process count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class DesignNoise:
    """One draw of some designs. See `epurecli.types.Noise`.

    Each draw of each design has a Philox stream of its own: key = seed, counter = (draw, design). Numbers are drawn
    when asked for, so memory is that of what one step of a model needs.

    Args:
        designs: their numbers.
        rows: B, at least as many; rows beyond are padding, whose noise is constant.
    """

    def __init__(
        self,
        seed: int,
        designs: Sequence[int],
        draw: int = 0,
        rows: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self._streams = [
            np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, draw, number])) for number in designs
        ]
        self._rows, self._device = rows or len(designs), device

    def normal(self, *shape: int) -> Tensor:
        drawn = np.zeros((self._rows, *shape), np.float32)
        for row, stream in zip(drawn, self._streams, strict=False):
            stream.standard_normal(out=row, dtype=np.float32)
        return self._placed(drawn)

    def uniform(self, *shape: int) -> Tensor:
        drawn = np.full((self._rows, *shape), 0.5, np.float32)
        for row, stream in zip(drawn, self._streams, strict=False):
            stream.random(out=row, dtype=np.float32)
        return self._placed(drawn)

    def _placed(self, drawn: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(drawn).to(self._device)


def design_noise(
    seed: int, first: int, count: int, draws: int, rows: int | None = None, device: str | torch.device = "cpu"
) -> list[DesignNoise]:
    """S draws of designs first .. first + count - 1; the first draws do not depend on how many follow."""
    return [DesignNoise(seed, range(first, first + count), draw, rows, device) for draw in range(draws)]
