"""Latent beliefs against torch.distributions."""

from __future__ import annotations

import torch
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from epurecli.nn.belief import DenseGaussian, Density, DiagonalGaussian, standard_log_prob, standard_normal

B, N = 4, 5
RNG = torch.Generator().manual_seed(0)
MEAN = torch.randn(B, N, generator=RNG, dtype=torch.float64)
LOG_VARIANCE = torch.randn(B, N, generator=RNG, dtype=torch.float64)
NOISE = torch.randn(3, B, N, generator=RNG, dtype=torch.float64)
TRIL = torch.randn(B, N, N, generator=RNG, dtype=torch.float64).tril() + 3 * torch.eye(N)


def test_kl_to_the_standard_normal() -> None:
    theirs = Independent(Normal(MEAN, (0.5 * LOG_VARIANCE).exp()), 1)
    standard = Independent(Normal(torch.zeros(N).double(), torch.ones(N).double()), 1)
    torch.testing.assert_close(DiagonalGaussian(MEAN, LOG_VARIANCE).kl_to_standard(), kl_divergence(theirs, standard))


def test_kl_is_the_mean_log_ratio_of_samples() -> None:
    belief = DiagonalGaussian(MEAN, LOG_VARIANCE)
    noise = torch.randn(40_000, B, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = belief.sample(noise)
    posterior = Normal(MEAN, (0.5 * LOG_VARIANCE).exp()).log_prob(z).sum(-1)
    ratio = posterior - Normal(0.0, 1.0).log_prob(z).sum(-1)  # (S, B)
    error = (ratio.mean(0) - belief.kl_to_standard()).abs() / (ratio.std(0) / len(noise) ** 0.5)
    assert (error < 4).all()


def test_the_standard_normal_passes_noise_through() -> None:
    belief = standard_normal(torch.empty(1, N, dtype=torch.float64))
    torch.testing.assert_close(belief.sample(NOISE), NOISE)
    torch.testing.assert_close(belief.kl_to_standard(), torch.zeros(1).double())


def test_diagonal_samples_have_the_stated_moments_and_whiten_back() -> None:
    belief = DiagonalGaussian(MEAN, LOG_VARIANCE)
    torch.testing.assert_close(belief.sample(torch.zeros(B, N)), MEAN)
    torch.testing.assert_close(belief.sample(torch.ones(B, N)) - MEAN, LOG_VARIANCE.exp().sqrt())
    torch.testing.assert_close(belief.whiten(belief.sample(NOISE)), NOISE)


def test_dense_samples_follow_the_factor_and_whiten_back() -> None:
    for mean, tril in ((MEAN, TRIL), (MEAN[:1], TRIL[0]), (MEAN, TRIL[0])):
        belief = DenseGaussian(mean, tril)
        z = belief.sample(NOISE)
        factors = tril.expand(B, N, N)
        expected = torch.stack([mean.expand(B, N)[b] + NOISE[:, b] @ factors[b].T for b in range(B)], 1)
        torch.testing.assert_close(z, expected)
        torch.testing.assert_close(belief.whiten(z), NOISE)


def test_dense_whitening_gives_the_density() -> None:
    """log p(z) = log N(whitened) - log det L."""
    belief = DenseGaussian(MEAN, TRIL)
    z = belief.sample(NOISE)
    base = Normal(0.0, 1.0).log_prob(belief.whiten(z)).sum(-1) - TRIL.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
    sign = TRIL.diagonal(dim1=-2, dim2=-1).sign()
    theirs = MultivariateNormal(MEAN, scale_tril=TRIL * sign[:, None, :])
    torch.testing.assert_close(base, theirs.log_prob(z))


def test_densities() -> None:
    def log_prob(belief: Density) -> torch.Tensor:
        return standard_log_prob(belief.whiten(z)) - belief.log_det

    z = torch.randn(B, N, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    diagonal = Normal(MEAN, (0.5 * LOG_VARIANCE).exp()).log_prob(z).sum(-1)
    torch.testing.assert_close(log_prob(DiagonalGaussian(MEAN, LOG_VARIANCE)), diagonal)
    factor = TRIL.tril(-1) + torch.diag_embed(TRIL.diagonal(dim1=1, dim2=2).abs())
    dense = MultivariateNormal(MEAN, scale_tril=factor).log_prob(z)
    torch.testing.assert_close(log_prob(DenseGaussian(MEAN, factor)), dense)
    shared = MultivariateNormal(MEAN[0], scale_tril=factor[0]).log_prob(z)
    torch.testing.assert_close(log_prob(DenseGaussian(MEAN[:1], factor[0])), shared)
