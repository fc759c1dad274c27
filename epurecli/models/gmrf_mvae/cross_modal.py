"""The assembled posterior when only some components are observed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from epurecli.gmrf import GaussianPrior, condition_gaussian
from epurecli.gmrf.masks import spread_mask
from epurecli.nn.distributions import DenseGaussian


@dataclass(frozen=True, slots=True)
class CrossModal:
    """Observed latents from their encoders, z_o ~ N(m_o, v_o); missing ones from the prior given them, z_m ~ p(z_m |
    z_o).

    Masks differ per design; no row is complete or empty. Source: docs/plan.md, GMRF MVAE (cross-modal).
    """

    prior: GaussianPrior
    encoded: Tensor  # (B, N) encoder means
    variance: Tensor  # (B, N)
    mask: Tensor  # (B, C) bool
    sizes: tuple[int, ...]

    @property
    def mean(self) -> Tensor:
        return condition_gaussian(self.prior, self.encoded, self.mask, self.sizes).mean

    @property
    def deviation(self) -> Tensor:
        """Of missing latents that of the prior: what is known of them is in the mean."""
        prior = DenseGaussian(self.prior.mean, self.prior.scale_tril)
        return torch.where(spread_mask(self.mask, self.sizes), self.variance.sqrt(), prior.deviation)

    def sample(self, noise: Tensor) -> Tensor:  # (B, N)
        seen = self.encoded + self.variance.sqrt() * noise
        return condition_gaussian(self.prior, seen, self.mask, self.sizes, noise).sample


def complete_rows(mask: Tensor) -> Tensor:  # (B, C) -> (B,)
    """Designs of which every component is observed."""
    return torch.all(mask, dim=1)
