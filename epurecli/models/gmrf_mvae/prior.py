"""The learned prior over the joint latent of all components."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.gmrf import GaussianPrior

UNIT = math.log(math.expm1(1.0))  # softplus(UNIT) = 1


class LatentPrior(nn.Module):
    """p(z) = N(mean, L L^T), parameterised by its Cholesky factor with a softplus diagonal: positive definite
    whatever a step does.

    A symmetric matrix with free entries is not: from random off-diagonals of spread 0.2 at N = 20 almost none is
    positive definite.
    """

    def __init__(self, size: int, off_diag_scale: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(size))
        self.raw = nn.Parameter(torch.randn(size, size).mul_(off_diag_scale).fill_diagonal_(UNIT))

    def scale_tril(self) -> Tensor:  # (N, N)
        """The Cholesky factor."""
        return self.raw.tril(-1) + torch.diag_embed(F.softplus(self.raw.diagonal()) + 1e-4)

    def forward(self) -> GaussianPrior:
        return GaussianPrior(self.mean, self.scale_tril())
