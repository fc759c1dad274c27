"""What a loss is told beside its batch: where training stands, and the random numbers that belong to the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from epurecli.config.schema import StageConfig


def alone(tensor: Tensor) -> Tensor:
    """The sum over one process."""
    return tensor


@dataclass(frozen=True, slots=True)
class Step:
    """One evaluation of a loss, on the rows that this process has of a batch: all of them, or some of a shared batch.

    Random numbers are drawn for the whole batch, by every process alike, and cut to its own rows: a batch has the same
    masks and the same noise however many processes share it.
    """

    generator: torch.Generator
    settings: StageConfig = field(default_factory=StageConfig)
    epoch: int = 0  # 0-based, within the stage
    index: int = 0  # optimizer steps that the objective has done in the stage
    start: int = 0  # of this process's rows in the whole batch
    whole: int | None = None  # rows of the whole batch; None = this process's are all there are
    total: Callable[[Tensor], Tensor] = alone  # sums a tensor over the processes

    def size(self, rows: int) -> int:
        """Rows of the whole batch, of which `rows` are this process's."""
        return rows if self.whole is None else self.whole

    def randn(self, rows: int, *shape: int) -> Tensor:  # -> (rows, *shape)
        """Standard normal numbers."""
        return self._own(torch.randn(self.size(rows), *shape, **self._source), rows)

    def rand(self, rows: int, *shape: int) -> Tensor:  # -> (rows, *shape)
        """Uniform in [0, 1)."""
        return self._own(torch.rand(self.size(rows), *shape, **self._source), rows)

    def randint(self, low: int, high: int, rows: int, *shape: int) -> Tensor:  # -> (rows, *shape)
        """Integers low .. high - 1."""
        return self._own(torch.randint(low, high, (self.size(rows), *shape), **self._source), rows)

    def stratified(self, rows: int) -> Tensor:  # -> (rows,)
        """Uniform in [0, 1), one in each of as many equal parts as the whole batch has rows: (u + i) / B.

        Source: Kingma et al., "Variational Diffusion Models", NeurIPS 2021, appendix I.1.
        """
        place = torch.arange(self.start, self.start + rows, device=self.generator.device)
        return (torch.rand(1, **self._source) + place) / self.size(rows)

    @property
    def _source(self) -> dict:
        return {"generator": self.generator, "device": self.generator.device}

    def _own(self, drawn: Tensor, rows: int) -> Tensor:
        return drawn[self.start : self.start + rows]
