"""p(z | given parts, condition) as one Gaussian for each subset of parts, fitted in closed form.

A trained encoder that has seen some parts says where the latents of the whole design are, but too sharply and not quite
in the right place. Regressing the whole designs' latents on what it says of each subset corrects both: the residuals'
covariance is what the parts leave open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

EVERY_SUBSET = 6  # up to so many components each subset has a Gaussian of its own; beyond, subsets of one size share it
ENOUGH = 4  # rows for each coefficient of a regression; with fewer, subsets of one size are pooled
USUAL = 4.0  # standard deviations: nothing is heard beyond, for an encoder says anything of what it never saw
RIDGE = 1e-4  # of the variance, added to variances: keeps each factor regular where a latent never varies
BELIEVED = 1.0  # rows' worth of it on top: with few designs less is believed of what they have in common


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of B designs: what the encoder says of their given parts, and their conditions.

    Where nothing is given, `mean` and `deviation` are ignored.
    """

    mask: Tensor  # (B, C) bool, True = given
    mean: Tensor  # (B, N) of q(z | given parts)
    deviation: Tensor  # (B, N) standard deviations of it
    condition: Tensor  # (B, D) standardised
    present: Tensor  # (B, 1) 1 where the condition holds, else 0

    def double(self) -> Given:
        """The same in float64."""
        return Given(self.mask, *(x.double() for x in (self.mean, self.deviation, self.condition, self.present)))

    @property
    def nothing(self) -> Tensor:  # (B, 1) bool
        return ~self.mask.any(1, keepdim=True)


def nothing_given(components: int, said: int, condition: Tensor, present: Tensor) -> Given:
    """What is known of designs of which no part is given."""
    mask, mean = (present @ present.new_zeros(1, size) for size in (components, said))
    return Given(mask.bool(), mean, torch.ones_like(mean), condition, present)


class SubsetGaussian(nn.Module):
    """Noise (..., B, N) -> N(offset + gain^T [encoder's mean, f(condition)], L L^T); offset, gain and L of the design's
    subset of given parts, and of whether it has a condition.

    Args:
        components: C.
        said: size of the encoder's mean.
        size: N, of what is described: the latents, or what else depends on them.
        cond_dim: D, of the conditions that it is given.

    f(c) is the condition and its products of two, so a mean may bend with a size.

    Source: Bishop, "Pattern Recognition and Machine Learning", 2006, eq. 3.15 and 2.81-2.82 (least squares; conditional
    of a joint Gaussian).
    """

    centre: Tensor  # (T, said + F), entry 2 k + (1 with a condition, else 0) for group k of subsets
    scale: Tensor  # (T, said + F)
    offset: Tensor  # (T, N)
    gain: Tensor  # (T, said + F, N) of the standardised features
    factor: Tensor  # (T, N, N) lower triangular, residual = factor @ noise
    whitener: Tensor  # (T, N, N) its inverse
    log_det: Tensor  # (T,) of the factor

    def __init__(self, components: int, said: int, size: int, cond_dim: int) -> None:
        super().__init__()
        self.said, self.size = said, size
        self.pairs = torch.triu_indices(cond_dim, cond_dim)
        self.each = components <= EVERY_SUBSET
        self.groups = 2**components if self.each else components + 1
        weights = 2 ** torch.arange(components) if self.each else torch.ones(components, dtype=torch.int64)
        features = said + cond_dim + self.pairs.shape[1]
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("centre", torch.zeros(2 * self.groups, features))
        self.register_buffer("scale", torch.ones(2 * self.groups, features))
        self.register_buffer("offset", torch.zeros(2 * self.groups, size))
        self.register_buffer("gain", torch.zeros(2 * self.groups, features, size))
        self.register_buffer("factor", torch.eye(size).repeat(2 * self.groups, 1, 1))
        self.register_buffer("whitener", torch.eye(size).repeat(2 * self.groups, 1, 1))
        self.register_buffer("log_det", torch.zeros(2 * self.groups))

    def group(self, mask: Tensor) -> Tensor:  # (B, C) -> (B,)
        """Which group of subsets each row belongs to."""
        return (mask * self.weights).sum(1)

    def features(self, given: Given) -> Tensor:  # -> (B, said + F)
        first, second = self.pairs
        condition = given.condition * given.present
        mean = torch.where(given.nothing, 0.0, given.mean)
        return torch.cat([mean, condition, condition[:, first] * condition[:, second]], dim=1)

    def _usual(self, features: Tensor) -> Tensor:  # standardised (B, said + F) -> same
        """Without what the encoder never said of such parts. Conditions may be asked for beyond the training range."""
        said, condition = features.tensor_split((self.said,), dim=1)
        return torch.cat([said.clamp(-USUAL, USUAL), condition], dim=1)

    def _pick(self, given: Given) -> tuple[Tensor, Tensor]:
        """Table entries (B,) and expected latents (B, N)."""
        entry = 2 * self.group(given.mask) + (given.present.squeeze(1) > 0)
        features = self._usual((self.features(given) - self.centre[entry]) / self.scale[entry])
        expected = self.offset[entry] + (features.unsqueeze(1) @ self.gain[entry].to(features.dtype)).squeeze(1)
        return entry, expected

    def moments(self, given: Given) -> tuple[Tensor, Tensor]:  # -> (B, N), (B, N, N)
        """The mean and the factor of the covariance."""
        entry, expected = self._pick(given)
        return expected, self.factor[entry]

    def forward(self, noise: Tensor, given: Given) -> Tensor:
        entry, expected = self._pick(given)
        return expected + (self.factor[entry].to(noise.dtype) @ noise.unsqueeze(-1)).squeeze(-1)

    def inverse(self, z: Tensor, given: Given) -> tuple[Tensor, Tensor]:
        """Noise (B, N), and the log determinant (B,) of this direction."""
        entry, expected = self._pick(given)
        noise = self.whitener[entry] @ (z - expected).unsqueeze(-1)
        return noise.squeeze(-1), -self.log_det[entry]

    @torch.no_grad()
    def fit(self, z: Tensor, given: Given) -> None:
        """From latents of whole designs (M, N) and what is known of them, conditions too.

        Each group is fitted on the designs that show one of its subsets; where those are too few, on all that show as
        many parts, and else on all.
        """
        groups, sizes = self.group(given.mask), given.mask.sum(1)
        features = self.features(replace(given, present=torch.ones_like(given.present))).double()
        kind, f = self.offset.dtype, features.shape[1]
        for number in range(self.groups):
            rows = groups == number
            shown = number.bit_count() if self.each else number
            for wider in (sizes == shown, torch.ones_like(rows)):
                if rows.sum() < ENOUGH * (f + 1):
                    rows = wider
            for entry, columns in ((2 * number, self.said), (2 * number + 1, f)):
                used = features[rows, :columns]
                centre, scale = used.mean(0), used.std(0, correction=0)
                scale = torch.where(scale > 1e-9 * (1 + centre.abs()), scale, torch.inf)  # the rest explains nothing
                standard = self._usual((used - centre) / scale)
                offset, gain, factor = _regress(z[rows].double(), standard, int(torch.isfinite(scale).sum()))
                self.centre[entry, :columns] = centre.to(kind)
                self.scale[entry, :columns] = torch.where(torch.isfinite(scale), scale, 1.0).to(kind)
                self.offset[entry] = offset.to(kind)
                self.gain[entry].zero_()
                self.gain[entry, :columns] = gain.to(kind)
                self.factor[entry] = factor.to(kind)
                eye = torch.eye(self.size, dtype=factor.dtype, device=factor.device)
                self.whitener[entry] = torch.linalg.solve_triangular(factor, eye, upper=False).to(kind)
                self.log_det[entry] = factor.diagonal().log().sum().to(kind)


def _regress(z: Tensor, x: Tensor, used: int) -> tuple[Tensor, Tensor, Tensor]:  # (M, N), (M, F)
    """Offset (N,), gain (F, N) and the Cholesky factor (N, N) of the residuals' covariance.

    Args:
        x: standardised features, zero where one says nothing.
        used: how many say something.
    """
    count, shift, middle = len(x), x.mean(0), z.mean(0)
    spread = z.std(0, correction=0).clamp_min(1e-6)
    ours, theirs = x - shift, (z - middle) / spread
    ridge = RIDGE + BELIEVED / count
    normal = ours.mT @ ours / count
    normal.diagonal().add_(ridge)
    gain = torch.cholesky_solve(ours.mT @ theirs / count, torch.linalg.cholesky(normal))
    rest = theirs - ours @ gain
    covariance = rest.mT @ rest / max(count - used - 1, 1)
    covariance.diagonal().add_(ridge)
    gain = gain * spread
    return middle - shift @ gain, gain, spread.unsqueeze(1) * torch.linalg.cholesky(covariance)
