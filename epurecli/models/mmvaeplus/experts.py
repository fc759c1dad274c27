"""The posterior of MM-VAE+: a mixture over the components that are observed, each an expert on the shared latent.

A latent is (z, w_1 .. w_C, choice): the shared part, each component's own, and a standard normal number that only says
which expert a sample takes. Normal and Laplace marginals alike have a location and a scale; standard normal noise is
turned into either by its quantiles.

Source: Palumbo, Daunhawer & Vogt, "MMVAE+: Enhancing the Generative Quality of Multimodal VAEs without Compromises",
ICLR 2023, section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from epurecli.nn.distributions import standard_log_prob

Family = Literal["normal", "laplace"]
EDGE = 1e-6  # how near to 0 and 1 a quantile comes


def quantile_of(noise: Tensor) -> Tensor:
    """Standard normal numbers to uniform ones in (0, 1)."""
    return (0.5 * torch.erfc(-noise / math.sqrt(2))).clamp(EDGE, 1 - EDGE)


def standard(noise: Tensor, family: Family) -> Tensor:
    """Standard normal numbers as a family's own, with scale one."""
    if family == "normal":
        return noise
    centred = quantile_of(noise) - 0.5
    return -centred.sign() * torch.log1p(-2 * centred.abs())


def log_density(x: Tensor, location: Tensor, log_scale: Tensor, family: Family) -> Tensor:
    """Elementwise, in nats."""
    apart = (x - location) * (-log_scale).exp()
    if family == "normal":
        return -0.5 * (apart.square() + math.log(2 * math.pi)) - log_scale
    return -apart.abs() - math.log(2.0) - log_scale


def standard_density(x: Tensor, family: Family) -> Tensor:
    """Elementwise log density of the prior, in nats."""
    zero = torch.zeros_like(x)
    return log_density(x, zero, zero, family)


def spread(log_scale: Tensor, family: Family) -> Tensor:
    """Standard deviation: a Laplace's is the root of two times its scale."""
    return log_scale.exp() * (1.0 if family == "normal" else math.sqrt(2))


@dataclass(frozen=True, slots=True)
class Experts:
    """q(z, w | observed components): z a mixture of the observed experts, w of an observed component its encoder's, of
    a hidden one the prior's. Where nothing is observed all of it is the prior."""

    shared: Tensor  # (B, C, L) locations
    shared_log: Tensor  # (B, C, L) log scales
    private: Tensor  # (B, C, W)
    private_log: Tensor  # (B, C, W)
    mask: Tensor  # (B, C) bool
    family: Family

    @property
    def weights(self) -> Tensor:  # (B, C + 1), the last the prior's
        seen = self.mask.to(self.shared.dtype)
        none = (~self.mask.any(1, keepdim=True)).to(seen.dtype)
        every = torch.cat([seen, none], 1)
        return every / every.sum(1, keepdim=True)

    def _with_prior(self, values: Tensor) -> Tensor:  # (B, C, L) -> (B, C + 1, L)
        return torch.cat([values, torch.zeros_like(values[:, :1])], 1)

    def _own(self) -> tuple[Tensor, Tensor]:  # (B, C W) twice
        seen = self.mask.unsqueeze(2)
        return tuple(torch.where(seen, x, 0.0).flatten(1) for x in (self.private, self.private_log))

    @property
    def mean(self) -> Tensor:
        weights = self.weights.unsqueeze(2)
        shared = (weights * self._with_prior(self.shared)).sum(1)
        return torch.cat([shared, self._own()[0], torch.zeros_like(shared[:, :1])], 1)

    @property
    def deviation(self) -> Tensor:
        weights, places = self.weights.unsqueeze(2), self._with_prior(self.shared)
        square = spread(self._with_prior(self.shared_log), self.family).square() + places.square()
        variance = (weights * square).sum(1) - (weights * places).sum(1).square()
        own = spread(self._own()[1], self.family)
        return torch.cat([variance.clamp_min(1e-12).sqrt(), own, torch.ones_like(own[:, :1])], 1)

    def sample(self, noise: Tensor) -> Tensor:  # (..., B, N) -> (..., B, N)
        latent, own = self.shared.shape[2], self._own()
        edges = self.weights.cumsum(1)[:, :-1]
        chosen = (edges <= quantile_of(noise[..., -1:])).sum(-1, keepdim=True)  # (..., B, 1)
        which = torch.arange(self.mask.shape[1] + 1, device=noise.device)
        pick = (chosen == which).to(noise.dtype).unsqueeze(-1)  # (..., B, C + 1, 1)
        place = (pick * self._with_prior(self.shared)).sum(-2)
        scale = (pick * self._with_prior(self.shared_log)).sum(-2).exp()
        drawn = standard(noise[..., :-1], self.family)
        return torch.cat(
            [place + scale * drawn[..., :latent], own[0] + own[1].exp() * drawn[..., latent:], noise[..., -1:]], -1
        )

    def log_prob(self, latents: Tensor) -> Tensor:  # (..., B, N) -> (..., B)
        latent = self.shared.shape[2]
        z, w, choice = latents[..., :latent], latents[..., latent:-1], latents[..., -1:]
        each = log_density(
            z.unsqueeze(-2), self._with_prior(self.shared), self._with_prior(self.shared_log), self.family
        ).sum(-1)  # (..., B, C + 1)
        mixed = (each + self.weights.log()).logsumexp(-1)
        own = log_density(w, *self._own(), self.family).sum(-1)
        return mixed + own + standard_log_prob(choice)


@dataclass(frozen=True, slots=True)
class StandardPrior:
    """p(z, w): standard normal, or Laplace of scale one; one row."""

    like: Tensor  # (1, N)
    family: Family

    @property
    def mean(self) -> Tensor:
        return torch.zeros_like(self.like)

    @property
    def deviation(self) -> Tensor:
        own = torch.zeros_like(self.like[:, :-1])
        return torch.cat([spread(own, self.family), torch.ones_like(self.like[:, -1:])], 1)

    def sample(self, noise: Tensor) -> Tensor:
        return torch.cat([standard(noise[..., :-1], self.family), noise[..., -1:]], -1)

    def log_prob(self, latents: Tensor) -> Tensor:
        own = standard_density(latents[..., :-1], self.family).sum(-1)
        return own + standard_log_prob(latents[..., -1:])
