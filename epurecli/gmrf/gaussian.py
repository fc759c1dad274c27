"""Gaussians over a design's joint latent, and the training step's fused evidence lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from epurecli.errors import NotPositiveDefinite
from epurecli.gmrf import backend, checks, reference
from epurecli.gmrf.covariance import SHRINK, coupling_size


@dataclass(frozen=True, slots=True)
class GaussianPrior:
    """A Gaussian shared by every row: N(mean, scale_tril scale_tril^T)."""

    mean: Tensor  # (N,)
    scale_tril: Tensor  # (N, N) lower triangular, positive diagonal

    @property
    def covariance(self) -> Tensor:  # (N, N)
        """scale_tril scale_tril^T."""
        return self.scale_tril @ self.scale_tril.mT


@dataclass(frozen=True, slots=True)
class CoupledGaussian:
    """One Gaussian per row, in the packed form of `assemble_covariance`."""

    mean: Tensor  # (B, N)
    variance: Tensor  # (B, N)
    coupling: Tensor  # (B, K)
    shrink: float = SHRINK


def check_prior(prior: GaussianPrior, like: Tensor) -> None:
    """Shapes, dtype and device of a prior against a tensor (*, N)."""
    size = like.shape[-1]
    checks.check_float("prior.mean", prior.mean, (size,), like=like)
    checks.check_float("prior.scale_tril", prior.scale_tril, (size, size), like=like)


def gaussian_elbo(
    mean: Tensor,  # (B, N)
    variance: Tensor,  # (B, N), > 0
    coupling: Tensor,  # (B, K)
    noise: Tensor,  # (B, N), standard normal
    prior: GaussianPrior,
    sizes: Sequence[int],
    shrink: float = SHRINK,
) -> tuple[Tensor, Tensor]:  # (B, N), (B,)
    """Sample the posterior N(mean, Sigma), Sigma assembled from its packed form, and measure its KL from the prior.

        sample = mean + L noise,  L L^T = Sigma = assemble_covariance(variance, coupling, sizes, shrink)
        kl = (tr(P Sigma) + (mean - m_p)^T P (mean - m_p) - N + log det Sigma_p - log det Sigma) / 2,  P = Sigma_p^-1

    One fused operation in the native body, forward and backward. Gradients reach every tensor, the prior included.

    Returns:
        sample (B, N) and kl (B,) in nats per row.

    Raises:
        TypeError, ValueError: dtype, shape, device or sizes that do not fit.
        NumericalError: not finite, or a variance that is not positive; names argument and row.
        NotPositiveDefinite: names the row (rounding, at variances many orders of magnitude apart).
    """
    sizes = checks.check_sizes(sizes)
    checks.check_shrink(shrink)
    rows = checks.check_rows("mean", mean, sum(sizes))
    checks.check_float("variance", variance, mean.shape, like=mean)
    checks.check_float("noise", noise, mean.shape, like=mean)
    checks.check_float("coupling", coupling, (rows, coupling_size(sizes)), like=mean)
    check_prior(prior, mean)
    sample, kl, bad = backend.body(mean, constants=(noise,)).elbo(
        mean, variance, coupling, noise, prior.mean, prior.scale_tril, sizes, shrink
    )
    if bad >= 0:
        checks.check_values(
            variance,
            mean=mean,
            coupling=coupling,
            noise=noise,
            prior_mean=prior.mean,
            prior_scale_tril=prior.scale_tril,
        )
        raise NotPositiveDefinite(
            f"row {bad}: its assembled covariance has no Cholesky factor in {mean.dtype}, or its KL overflows it",
            hint="variances many orders of magnitude apart need float64",
        )
    return sample, kl


def gaussian_kl(mean: Tensor, scale_tril: Tensor, prior: GaussianPrior) -> Tensor:
    """KL(N(mean, scale_tril scale_tril^T) || prior) in nats per row, from Cholesky factors only.

    Args:
        mean: (B, N). scale_tril: (B, N, N) lower triangular.

    Returns:
        (B,)
    """
    rows = checks.check_rows("mean", mean, mean.shape[-1])
    checks.check_float("scale_tril", scale_tril, (rows, mean.shape[1], mean.shape[1]), like=mean)
    check_prior(prior, mean)
    return reference.kl(mean, scale_tril, prior.mean, prior.scale_tril)
