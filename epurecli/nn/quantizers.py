"""Grids of numbers to grids of codes, and back. Gradients pass a rounding as if it were not there (straight-through).

`codes` are integers 0 .. K - 1, (B, h, w); vectors are (B, D, h, w).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.nn.step import Step

DEAD = 0.03  # of an even share of the cells: less, and a code is put elsewhere


class Quantizer(nn.Module, ABC):
    """K codes of D numbers."""

    count: int  # K
    width: int  # D

    @abstractmethod
    def encode(self, vectors: Tensor) -> Tensor:  # -> codes
        """The code of each cell."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:  # -> vectors
        """What each code stands for."""

    @abstractmethod
    def forward(self, vectors: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        """For training: the vectors as they are decoded, with gradients, and what it costs, a mean over cells."""


class FiniteScalar(Quantizer):
    """Each number is bounded and rounded to one of L levels: no codebook, no code that is never used.

    Source: Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", ICLR 2024.
    """

    levels: Tensor
    basis: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.count, self.width = math.prod(levels), len(levels)
        basis = torch.tensor([1, *levels[:-1]]).cumprod(0)
        self.register_buffer("levels", torch.tensor(levels).view(-1, 1, 1), persistent=False)
        self.register_buffer("basis", basis.view(-1, 1, 1), persistent=False)

    def bounded(self, vectors: Tensor) -> Tensor:
        """Each number within its levels, -L // 2 .. (L - 1) // 2, not yet rounded."""
        half = (self.levels - 1) * (1 + 1e-3) / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        return (vectors + torch.atanh(offset / half)).tanh() * half - offset

    def encode(self, vectors: Tensor) -> Tensor:
        places = self.bounded(vectors).round().long() + self.levels // 2
        return (places * self.basis).sum(-3)

    def decode(self, codes: Tensor) -> Tensor:
        places = (codes.unsqueeze(-3) // self.basis) % self.levels
        return (places - self.levels // 2) / (self.levels // 2)

    def forward(self, vectors: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        bounded = self.bounded(vectors)
        rounded = bounded + (bounded.round() - bounded).detach()
        return rounded / (self.levels // 2), vectors.new_zeros(())


class MovingAverage(Quantizer):
    """The nearest of K vectors, which follow the means of what is nearest to them. One that is hardly used is put where
    an encoder output is.

    Source: van den Oord et al., "Neural Discrete Representation Learning", NeurIPS 2017, eqs. 3, 6-8.
    """

    book: Tensor  # (K, D)
    uses: Tensor  # (K,) moving average of how many cells of a batch have each code
    sums: Tensor  # (K, D) of their vectors

    def __init__(self, count: int, width: int, decay: float, commitment: float) -> None:
        super().__init__()
        self.count, self.width, self.decay, self.commitment = count, width, decay, commitment
        book = torch.randn(count, width)
        self.register_buffer("book", book)
        self.register_buffer("uses", torch.ones(count))
        self.register_buffer("sums", book.clone())

    def encode(self, vectors: Tensor) -> Tensor:
        cells = vectors.movedim(-3, -1)  # (B, h, w, D)
        return (self.book.square().sum(1) - 2 * cells @ self.book.T).argmin(-1)

    def decode(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.book).movedim(-1, -3)

    def forward(self, vectors: Tensor, step: Step) -> tuple[Tensor, Tensor]:
        vectors = vectors.to(self.book.dtype)
        codes = self.encode(vectors)
        found = self.decode(codes)
        cost = self.commitment * (vectors - found).square().mean()
        if self.training:
            self._follow(vectors.detach(), codes, step)
        return vectors + (found - vectors).detach(), cost

    @torch.no_grad()
    def _follow(self, vectors: Tensor, codes: Tensor, step: Step) -> None:
        """One step of the moving averages, over all processes' cells."""
        cells = vectors.movedim(-3, -1).reshape(-1, self.width)
        mine = F.one_hot(codes.flatten(), self.count).to(cells.dtype)
        uses, sums = step.total(mine.sum(0)), step.total(mine.T @ cells)
        self.uses.lerp_(uses, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        smooth = (self.uses + 1e-5) / (self.uses.sum() + self.count * 1e-5) * self.uses.sum()  # Laplace's
        self.book.copy_(self.sums / smooth.unsqueeze(1))
        dead = self.uses < DEAD * uses.sum() / self.count
        chosen = self._some_cells(vectors, step)
        self.book.copy_(torch.where(dead.unsqueeze(1), chosen, self.book))
        fresh = uses.sum() / self.count
        self.sums.copy_(torch.where(dead.unsqueeze(1), chosen * fresh, self.sums))
        self.uses.copy_(torch.where(dead, fresh, self.uses))

    def _some_cells(self, vectors: Tensor, step: Step) -> Tensor:  # (B, D, h, w) -> (K, D)
        """A random cell of a random design for each code, the same whichever process has that design."""
        rows = len(vectors)
        cells = vectors.flatten(2).transpose(1, 2)  # (B, h w, D)
        drawn = torch.rand(2, self.count, generator=step.generator, device=step.generator.device)
        design = (drawn[0] * step.size(rows)).long() - step.start
        cell = (drawn[1] * cells.shape[1]).long()
        here = (design >= 0) & (design < rows)
        mine = cells[design.clamp(0, rows - 1), cell]
        return step.total(torch.where(here.unsqueeze(1), mine, 0.0))
