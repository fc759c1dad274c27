"""The learned prior over the joint latent of all components."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.gmrf import GaussianPrior

UNIT = math.log(math.expm1(1.0))  # softplus(UNIT) = 1

# Adam moves every number by about the learning rate a step, which suits weights of order 0.1. The prior's entries are
# of the latents' order, one to ten: without a gain it lags far behind the encoders, and correlations are hardly learnt.
GAIN = 10.0


class LatentPrior(nn.Module):
    """p(z) = N(mean, L L^T) by its Cholesky factor with a softplus diagonal: positive definite whatever a step does.

    A symmetric matrix with free entries is not: at N = 20, of random ones with off-diagonals of spread 0.2 almost none.
    """

    def __init__(self, size: int, off_diag_scale: float) -> None:
        super().__init__()
        self.mean_raw = nn.Parameter(torch.zeros(size))
        self.tril_raw = nn.Parameter(torch.randn(size, size).mul_(off_diag_scale).fill_diagonal_(UNIT) / GAIN)

    @property
    def mean(self) -> Tensor:  # (N,)
        return GAIN * self.mean_raw

    def scale_tril(self) -> Tensor:  # (N, N)
        """The Cholesky factor."""
        raw = GAIN * self.tril_raw
        return raw.tril(-1) + torch.diag_embed(F.softplus(raw.diagonal()) + 1e-4)

    def forward(self) -> GaussianPrior:
        return GaussianPrior(self.mean, self.scale_tril())
