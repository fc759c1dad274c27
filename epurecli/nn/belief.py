"""What a model believes about its latent z: distributions that are sampled from given noise, never from hidden
state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Belief(Protocol):
    """A distribution over z of shape (B, N)."""

    mean: Tensor

    def sample(self, noise: Tensor) -> Tensor:  # standard normal (..., B, N) -> (..., B, N)
        """A reparameterised sample."""
        ...


class Density(Belief, Protocol):
    """A belief whose log density at z is standard_log_prob(whiten(z)) - log_det: any prior, and what is known of whole
    designs."""

    def whiten(self, z: Tensor) -> Tensor:  # (..., B, N) -> (..., B, N)
        """The noise that `sample` would turn into z."""
        ...

    @property
    def log_det(self) -> Tensor:  # (B,), or one for all
        """Log of the volume that `sample` gives to a unit of noise."""
        ...


@dataclass(frozen=True, slots=True)
class DiagonalGaussian:
    """N(mean, diag(exp(log_variance)))."""

    mean: Tensor  # (B, N)
    log_variance: Tensor  # (B, N)

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def whiten(self, z: Tensor) -> Tensor:
        return (z - self.mean) * (-0.5 * self.log_variance).exp()

    @property
    def log_det(self) -> Tensor:
        return 0.5 * self.log_variance.sum(-1)

    def kl_to_standard(self) -> Tensor:  # (B,)
        """KL(q || N(0, I)) in nats, summed over latents. Source: Kingma & Welling 2014, appendix B."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance).sum(-1)


@dataclass(frozen=True, slots=True)
class DenseGaussian:
    """N(mean, L L^T), L = scale_tril lower triangular; one for all designs or one each."""

    mean: Tensor  # (B, N)
    scale_tril: Tensor  # (N, N) or (B, N, N)

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def whiten(self, z: Tensor) -> Tensor:
        delta = (z - self.mean).unsqueeze(-1)
        tril = self.scale_tril.expand(*delta.shape[:-2], *self.scale_tril.shape[-2:])
        return torch.linalg.solve_triangular(tril, delta, upper=False).squeeze(-1)

    @property
    def log_det(self) -> Tensor:
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def standard_normal(like: Tensor) -> DiagonalGaussian:
    """N(0, I) with the shape of `like` (B, N)."""
    return DiagonalGaussian(torch.zeros_like(like), torch.zeros_like(like))


def standard_log_prob(noise: Tensor) -> Tensor:  # (..., N) -> (...)
    """Log density of standard normal noise, in nats."""
    return -0.5 * (noise.square() + math.log(2 * math.pi)).sum(-1)
