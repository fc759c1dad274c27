"""The linear-Gaussian part of p(z | condition), in closed form: least squares of latents on conditions.

A trained encoder knows a design's size far better than chance, so p(z | size) is a thin slab of latent space. Gradient
descent takes thousands of steps to find a slab; its mean and covariance are one solve.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from epurecli.nn.moments import moment_step
from epurecli.nn.step import Step

REMEMBERED = 20_000  # designs: beyond it old moments fade, so that one odd early batch does not stay for ever
BELIEVED = 64  # designs' worth of "standard normal, whatever the condition", which keeps every factor regular


class LinearGaussian(nn.Module):
    """Noise u (B, N) -> latents N(mean + gain^T (f(c) - mean of f), S_c), or the marginal N(mean, S) without condition.

    f(c) is the condition and its products of two, so a mean may bend with a size. Moments are running sums over what
    `update` was shown; there is nothing to train.

    Source: Bishop, "Pattern Recognition and Machine Learning", 2006, eq. 2.81-2.82 (conditional of a joint Gaussian).
    """

    mean: Tensor  # (N,)
    centre: Tensor  # (F,) of the features
    gain: Tensor  # (F, N)
    factors: Tensor  # (2, N, N) Cholesky factors: without a condition, with one

    def __init__(self, size: int, cond_dim: int) -> None:
        super().__init__()
        self.pairs = torch.triu_indices(cond_dim, cond_dim)
        features = cond_dim + self.pairs.shape[1]
        joint = features + size
        self.register_buffer("seen", torch.zeros((), dtype=torch.float64))
        self.register_buffer("joint_mean", torch.zeros(joint, dtype=torch.float64))
        self.register_buffer("joint_covariance", torch.eye(joint, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("centre", torch.zeros(features))
        self.register_buffer("gain", torch.zeros(features, size))
        self.register_buffer("factors", torch.eye(size).repeat(2, 1, 1))

    def features(self, condition: Tensor) -> Tensor:  # (B, D) -> (B, D + D (D + 1) / 2)
        first, second = self.pairs
        return torch.cat([condition, condition[:, first] * condition[:, second]], dim=-1)

    @torch.no_grad()
    def update(self, z: Tensor, condition: Tensor, step: Step) -> None:
        """Take in a batch of latents (B, N) and their conditions (B, D)."""
        joint = torch.cat([self.features(condition), z], dim=-1).double()
        count = step.size(len(joint))
        weight = count / (BELIEVED + self.seen.clamp(max=REMEMBERED) + count)
        self.seen = self.seen + count
        shift, mixture = moment_step(self.joint_mean, self.joint_covariance, joint, weight, step)
        self.joint_mean, self.joint_covariance = self.joint_mean + shift, mixture
        f = len(self.centre)
        factor = torch.linalg.cholesky(mixture)  # of (f, z): its corner is the factor of z given f
        within, across = factor[:f, :f], factor[f:, :f]
        gain = torch.linalg.solve_triangular(within, across, upper=False, left=False)
        factors = torch.stack([torch.linalg.cholesky(mixture[f:, f:]), factor[f:, f:]])
        kind = self.mean.dtype
        self.centre, self.mean = self.joint_mean[:f].to(kind), self.joint_mean[f:].to(kind)
        self.gain, self.factors = gain.mT.to(kind), factors.to(kind)

    def _expected(self, condition: Tensor, present: Tensor) -> Tensor:
        return self.mean + present * ((self.features(condition) - self.centre) @ self.gain)

    def forward(self, noise: Tensor, condition: Tensor, present: Tensor) -> Tensor:
        without, given = self.factors
        spread = torch.where(present > 0, noise @ given.mT, noise @ without.mT)
        return self._expected(condition, present) + spread

    def inverse(self, z: Tensor, condition: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Noise, and the log determinant (B,) of this direction."""
        around = (z - self._expected(condition, present)).mT  # (N, B)
        without, given = (torch.linalg.solve_triangular(f, around, upper=False).mT for f in self.factors)
        log_det = -self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (2,)
        with_one = present > 0
        return torch.where(with_one, given, without), torch.where(with_one.squeeze(-1), log_det[1], log_det[0])
