"""p(z | given parts, condition), for any parts: a Gaussian of each subset, bent by a small conditional flow.

The aggregate posterior of a trained VAE never quite matches its prior, and that mismatch is what ruins unconditional
samples; its answer to a few parts is one design, hardly varied, where many are possible. This density, fitted after
training, replaces both. With no part given it is the prior.

Source: Dinh et al., "Density Estimation using Real NVP", ICLR 2017, eq. 7-8; Dai & Wipf, "Diagnosing and Enhancing VAE
Models", ICLR 2019 (fitting a second model to the aggregate posterior); Winkler et al., "Learning Likelihoods with
Conditional Normalizing Flows", 2019 (what is known as context of each coupling).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.nn.distributions import standard_log_prob
from epurecli.nn.subset_gaussian import USUAL, Given, SubsetGaussian

MAX_LOG_SCALE = 2.0
HEARD = 4.0  # initial weight of the few numbers that say most (which parts, what condition) beside 2 N others


class Linear(nn.Linear):
    """A linear layer that computes in the dtype of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class Coupling(nn.Module):
    """b -> b exp(s(a, h)) + t(a, h) for one part b of the coordinates given the other part a and a projection h of the
    context; starts as the identity."""

    def __init__(self, kept: int, moved: int, hidden: int) -> None:
        super().__init__()
        self.enter = Linear(kept, hidden)
        self.middle = Linear(hidden, hidden)
        self.leave = Linear(hidden, 2 * moved)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def affine(self, a: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Log scale s and shift t of b."""
        hidden = F.silu(self.enter(a) + context)
        log_scale, shift = self.leave(F.silu(self.middle(hidden))).chunk(2, dim=-1)
        return MAX_LOG_SCALE * torch.tanh(log_scale / MAX_LOG_SCALE), shift


class ConditionalFlow(nn.Module):
    """Noise (..., B, N) -> latents (..., B, N): couplings that move one half of the coordinates and then the other, a
    fixed permutation before each two of them, and at the end the subset's Gaussian, which leaves the couplings only
    what is not linear or not Gaussian."""

    shift: Tensor  # (2 N,) of the encoder's means and log deviations, over designs and subsets
    scale: Tensor  # (2 N,)
    orders: Tensor  # (layers / 2, N)

    def __init__(self, components: int, size: int, cond_dim: int, layers: int, hidden: int) -> None:
        super().__init__()
        shuffle = torch.Generator().manual_seed(0)  # part of the architecture, not of the run
        orders = [torch.randperm(size, generator=shuffle) for _ in range(-(-layers // 2))]
        self.register_buffer("orders", torch.stack(orders), persistent=False)
        self.register_buffer("back", self.orders.argsort(1), persistent=False)
        self.half = size // 2
        sizes = (self.half, size - self.half), (size - self.half, self.half)
        self.couplings = nn.ModuleList(Coupling(*sizes[layer % 2], hidden) for layer in range(layers))
        self.context = nn.Sequential(  # of all couplings at once
            Linear(components + cond_dim + 1 + 2 * size, hidden), nn.SiLU(), Linear(hidden, layers * hidden)
        )
        with torch.no_grad():
            few, many = self.context[0].weight.split((components + cond_dim + 1, 2 * size), dim=1)
            few.mul_(HEARD)
            many.mul_(1 / HEARD)
        self.base = SubsetGaussian(components, size, size, cond_dim)
        self.register_buffer("shift", torch.zeros(2 * size))
        self.register_buffer("scale", torch.ones(2 * size))

    def _said(self, given: Given) -> Tensor:  # -> (B, 2 N)
        return torch.cat([given.mean, given.deviation.log()], dim=1)

    def _contexts(self, given: Given) -> tuple[Tensor, ...]:  # (B, hidden) for each coupling
        usual = ((self._said(given) - self.shift) / self.scale).clamp(-USUAL, USUAL)
        said = torch.where(given.nothing, 0.0, usual)
        known = torch.cat([given.mask.to(said.dtype), given.condition * given.present, given.present, said], dim=1)
        return self.context(known).chunk(len(self.couplings), dim=1)

    def _apart(self, x: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """The half that a coupling keeps, and the one that it moves."""
        first, second = x[..., : self.half], x[..., self.half :]
        return (first, second) if layer % 2 == 0 else (second, first)

    def _together(self, kept: Tensor, moved: Tensor, layer: int) -> Tensor:
        return torch.cat([kept, moved] if layer % 2 == 0 else [moved, kept], dim=-1)

    def forward(self, noise: Tensor, given: Given) -> Tensor:
        # In float64: what float32 rounds here, a sharp decoder shows as other grey levels in every runtime.
        x, given = noise.double(), given.double()
        for layer, (coupling, context) in enumerate(zip(self.couplings, self._contexts(given), strict=True)):
            if layer % 2 == 0:
                x = x[..., self.orders[layer // 2]]
            kept, moved = self._apart(x, layer)
            log_scale, shift = coupling.affine(kept, context)
            x = self._together(kept, moved * log_scale.exp() + shift, layer)
        return self.base(x, given).to(noise.dtype)

    def log_prob(self, z: Tensor, given: Given) -> Tensor:  # (B, N) -> (B,) nats
        x, total = self.base.inverse(z, given)
        contexts = self._contexts(given)
        for layer in reversed(range(len(self.couplings))):
            kept, moved = self._apart(x, layer)
            log_scale, shift = self.couplings[layer].affine(kept, contexts[layer])
            x = self._together(kept, (moved - shift) * (-log_scale).exp(), layer)
            total = total - log_scale.sum(-1)
            if layer % 2 == 0:
                x = x[:, self.back[layer // 2]]
        return total + standard_log_prob(x)

    @torch.no_grad()
    def fit(self, z: Tensor, given: Given) -> None:
        """What has a closed form, from latents of whole designs (M, N) and what is known of them."""
        said = self._said(given)[~given.nothing.squeeze(1)]
        if len(said):
            self.shift, self.scale = said.mean(0), said.std(0, correction=0).clamp_min(1e-3)
        self.base.fit(z, given)


@dataclass(frozen=True, slots=True)
class Conditioned:
    """The density of what is given, to be sampled."""

    flow: ConditionalFlow
    given: Given

    def sample(self, noise: Tensor) -> Tensor:  # standard normal (..., B, N) -> (..., B, N)
        return self.flow(noise, self.given)
