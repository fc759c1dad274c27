"""Distributions over a latent z: sampled from given noise, never from hidden state, with densities in nats."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from epurecli.gmrf import GaussianPrior, gaussian_kl


class Distribution(Protocol):
    """A distribution over z of shape (B, N) that can be sampled."""

    @property
    def mean(self) -> Tensor: ...

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of each latent, (B, N)."""
        ...

    def sample(self, noise: Tensor) -> Tensor:  # standard normal (..., B, N) -> (..., B, N)
        """A reparameterised sample."""
        ...


class Density(Distribution, Protocol):
    """A distribution whose density is known."""

    def log_prob(self, z: Tensor) -> Tensor:  # (..., B, N) -> (..., B)
        """Log density in nats."""
        ...


class Gaussian(ABC):
    """A Gaussian as an invertible affine map of standard normal noise."""

    __slots__ = ()

    @abstractmethod
    def whiten(self, z: Tensor) -> Tensor:  # (..., B, N) -> (..., B, N)
        """The noise that `sample` would turn into z."""

    @property
    @abstractmethod
    def log_det(self) -> Tensor:  # (B,), or one for all
        """Log of the volume that `sample` gives to a unit of noise."""

    def log_prob(self, z: Tensor) -> Tensor:  # (..., B, N) -> (..., B)
        """log N(whitened z; 0, I) - log_det."""
        return standard_log_prob(self.whiten(z)) - self.log_det


@dataclass(frozen=True, slots=True)
class DiagonalGaussian(Gaussian):
    """N(mean, diag(exp(log_variance)))."""

    mean: Tensor  # (B, N)
    log_variance: Tensor  # (B, N)

    @property
    def deviation(self) -> Tensor:
        return (0.5 * self.log_variance).exp()

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def whiten(self, z: Tensor) -> Tensor:
        return (z - self.mean) * (-0.5 * self.log_variance).exp()

    @property
    def log_det(self) -> Tensor:
        return 0.5 * self.log_variance.sum(-1)


@dataclass(frozen=True, slots=True)
class DenseGaussian(Gaussian):
    """N(mean, L L^T), L = scale_tril lower triangular; one for all designs or one each."""

    mean: Tensor  # (B, N)
    scale_tril: Tensor  # (N, N) or (B, N, N)

    @property
    def deviation(self) -> Tensor:
        return self.scale_tril.square().sum(-1).sqrt().expand_as(self.mean)

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
    """N(0, I) with the shape of `like` (..., N)."""
    return DiagonalGaussian(torch.zeros_like(like), torch.zeros_like(like))


def standard_log_prob(noise: Tensor) -> Tensor:  # (..., N) -> (...)
    """Log density of standard normal noise, in nats."""
    return -0.5 * (noise.square() + math.log(2 * math.pi)).sum(-1)


def kl_divergence(q: Density, p: Density, z: Tensor) -> Tensor:  # (..., B, N) -> (..., B)
    """KL(q || p) in nats, summed over latents: closed form for Gaussians of one kind, else the one-sample estimate
    log q(z) - log p(z).

    Args:
        p: one for all designs where both are dense.
        z: a reparameterised sample of q; only the estimate looks at it.

    Source: Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014, appendix B.
    """
    match q, p:
        case DiagonalGaussian(), DiagonalGaussian():
            spread = (q.mean - p.mean).square() + q.log_variance.exp()
            return 0.5 * (spread * (-p.log_variance).exp() - 1 - q.log_variance + p.log_variance).sum(-1)
        case DenseGaussian(), DenseGaussian():
            return gaussian_kl(q.mean, q.scale_tril, GaussianPrior(p.mean.squeeze(0), p.scale_tril))
        case _:
            return q.log_prob(z) - p.log_prob(z)
