"""A small conditional normalising flow: standard noise <-> latents, given the conditions.

The aggregate posterior of a trained VAE never quite matches its prior, and that mismatch is what ruins unconditional
samples. This flow, fitted after training, closes it.

Source: Dinh et al., "Density Estimation using Real NVP", ICLR 2017, eq. 7-8; Dai & Wipf, "Diagnosing and Enhancing VAE
Models", ICLR 2019 (fitting a second model to the aggregate posterior).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from epurecli.nn.distributions import standard_log_prob
from epurecli.nn.regression import LinearGaussian

MAX_LOG_SCALE = 2.0


class Coupling(nn.Module):
    """x_b = u_b exp(s(u_a, c)) + t(u_a, c) for one half b of the coordinates given the other half a; starts as the
    identity."""

    def __init__(self, size: int, context: int, hidden: int, kept: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept, persistent=False)  # (N,) 1 = passed through
        self.net = nn.Sequential(
            nn.Linear(size + context, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, 2 * size),
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def _affine(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.net(torch.cat([x * self.kept, context], dim=-1)).chunk(2, dim=-1)
        free = 1 - self.kept
        return MAX_LOG_SCALE * torch.tanh(log_scale / MAX_LOG_SCALE) * free, shift * free

    def forward(self, u: Tensor, context: Tensor) -> Tensor:
        log_scale, shift = self._affine(u, context)
        return u * log_scale.exp() + shift

    def inverse(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self._affine(x, context)
        return (x - shift) * (-log_scale).exp(), -log_scale.sum(-1)


class ConditionalFlow(nn.Module):
    """Noise u (B, N) -> latents (B, N) through alternating couplings, a fixed permutation between pairs of them, and
    a linear-Gaussian map fitted in closed form, which leaves the couplings only what is not linear or not Gaussian."""

    def __init__(self, size: int, cond_dim: int, layers: int, hidden: int) -> None:
        super().__init__()
        shuffle = torch.Generator().manual_seed(0)  # part of the architecture, not of the run
        couplings, halves = [], torch.arange(size) % 2
        for layer in range(layers):
            if layer % 2 == 0:
                halves = halves[torch.randperm(size, generator=shuffle)]
            kept = halves if layer % 2 == 0 else 1 - halves
            couplings.append(Coupling(size, cond_dim + 1, hidden, kept.float()))
        self.couplings = nn.ModuleList(couplings)
        self.linear = LinearGaussian(size, cond_dim)

    @staticmethod
    def context(condition: Tensor, present: Tensor) -> Tensor:  # (B, D), (B, 1) -> (B, D + 1)
        return torch.cat([condition * present, present], dim=-1)

    def forward(self, noise: Tensor, condition: Tensor, present: Tensor) -> Tensor:
        context, x = self.context(condition, present), noise
        for coupling in self.couplings:
            x = coupling(x, context)
        return self.linear(x, condition, present)

    def log_prob(self, z: Tensor, condition: Tensor, present: Tensor) -> Tensor:  # (B, N) -> (B,) nats
        context = self.context(condition, present)
        x, total = self.linear.inverse(z, condition, present)
        for coupling in reversed(self.couplings):
            x, log_det = coupling.inverse(x, context)
            total = total + log_det
        return total + standard_log_prob(x)
