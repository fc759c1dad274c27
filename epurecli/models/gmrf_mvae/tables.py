"""The assembled posterior's answer to a subset, without linear algebra: a gain and a factor for each subset."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from epurecli.gmrf import GaussianPrior, conditional_table
from epurecli.gmrf.masks import spread_mask
from epurecli.nn.distributions import DenseGaussian
from epurecli.nn.masking import subset_of

MAX_NUMBERS = 64 * 2**20  # in both tables together: 256 MB; ten components of 16 latents need 52 M, eleven too many


@dataclass(frozen=True, slots=True)
class PickedConditional:
    """`CrossModal` with the prior's conditional of each row's subset already picked.

    z_o = m_o + sqrt(v_o) noise,  z_m = mean_m + gain (z_o - mean_o) + factor noise
    """

    prior_mean: Tensor  # (N,)
    prior_deviation: Tensor  # (N,)
    gain: Tensor  # (B, N, N), zero but from observed to missing entries
    scale_tril: Tensor  # (B, N, N), zero but among missing entries
    encoded: Tensor  # (B, N) encoder means
    variance: Tensor  # (B, N)
    observed: Tensor  # (B, N) bool

    @property
    def mean(self) -> Tensor:  # (B, N)
        return self.sample(torch.zeros_like(self.encoded))

    @property
    def deviation(self) -> Tensor:  # (B, N)
        return torch.where(self.observed, self.variance.sqrt(), self.prior_deviation)

    def sample(self, noise: Tensor) -> Tensor:  # (..., B, N) -> (..., B, N)
        seen = self.encoded + self.variance.sqrt() * noise
        pull = torch.where(self.observed, seen - self.prior_mean, 0.0).unsqueeze(-1)
        missing = self.prior_mean + (self.gain @ pull + self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
        return torch.where(self.observed, seen, missing)


class SubsetTables(nn.Module):
    """Picks each design's conditional by its mask: entry k is the subset of k's bits, component 0 the lowest."""

    def __init__(self, prior: GaussianPrior, components: int, latent_dim: int) -> None:
        super().__init__()
        self.sizes = (latent_dim,) * components
        masks = subset_of(torch.arange(2**components).unsqueeze(1), components)  # (2^C, C)
        gain, scale_tril = conditional_table(prior, masks, self.sizes)
        self.register_buffer("gain", gain)
        self.register_buffer("scale_tril", scale_tril)
        self.register_buffer("mean", prior.mean.clone())
        self.register_buffer("deviation", DenseGaussian(prior.mean, prior.scale_tril).deviation)
        self.register_buffer("weights", 2 ** torch.arange(components))

    @staticmethod
    def fits(components: int, latent_dim: int) -> bool:
        """Whether the tables have a reasonable size."""
        return 2 * 2**components * (components * latent_dim) ** 2 <= MAX_NUMBERS

    def forward(self, encoded: Tensor, variance: Tensor, mask: Tensor) -> PickedConditional:
        subset = (mask * self.weights).sum(1)  # (B,)
        picked = self.gain[subset], self.scale_tril[subset]
        return PickedConditional(self.mean, self.deviation, *picked, encoded, variance, spread_mask(mask, self.sizes))
