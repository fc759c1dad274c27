"""The learned prior over the joint latent of all components."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from epurecli.gmrf import GaussianPrior, cholesky
from epurecli.nn.moments import moment_step
from epurecli.nn.step import Step

RATE = 0.02  # of the way to each batch's moments: with batches of 64 the prior remembers some 3,000 designs


class LearnedPrior(nn.Module):
    """p(z) = N(mean, L L^T), kept as its Cholesky factor L and learned in closed form.

    For given posteriors N(m_i, S_i) the KL-optimal prior has the moments of their mixture: mean E[m_i], covariance
    E[S_i + (m_i - mean)(m_i - mean)^T]. Each training step goes a fraction of the way there. That is the natural
    gradient, blind to how latents are scaled; Adam on the entries of L never catches up with the encoders. And a convex
    combination of positive definite matrices is positive definite, whatever the encoders do.

    Source: Cappe & Moulines, "On-line expectation-maximization algorithm for latent data models", JRSS B 71(3), 2009.
    """

    mean: Tensor  # (N,)
    scale_tril: Tensor  # (N, N)

    def __init__(self, size: int, off_diag_scale: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale_tril", torch.randn(size, size).mul_(off_diag_scale).tril(-1) + torch.eye(size))

    def forward(self) -> GaussianPrior:
        return GaussianPrior(self.mean, self.scale_tril)

    @property
    def variance(self) -> Tensor:  # (N,)
        """Of each latent on its own."""
        return self.scale_tril.square().sum(1)

    @torch.no_grad()
    def update(self, mean: Tensor, covariance: Tensor, step: Step) -> None:
        """One step towards a batch of posteriors: their means (B, N) and the mean of their covariances (N, N)."""
        factor = self.scale_tril.double()
        shift, mixture = moment_step(
            self.mean.double(), factor @ factor.mT, mean.double(), RATE, step, within=covariance.double()
        )
        # New tensors, not new values: the backward pass of this step still needs the old ones.
        self.mean = self.mean + shift.to(self.mean.dtype)
        self.scale_tril = cholesky(mixture).to(self.scale_tril.dtype)
