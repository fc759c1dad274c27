"""Latent distributions against torch.distributions."""

from __future__ import annotations

import torch
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.distributions import kl_divergence as torch_kl

from epurecli.nn.distributions import DenseGaussian, DiagonalGaussian, kl_divergence, standard_normal

B, N = 4, 5
RNG = torch.Generator().manual_seed(0)
MEAN = torch.randn(B, N, generator=RNG, dtype=torch.float64)
LOG_VARIANCE = torch.randn(B, N, generator=RNG, dtype=torch.float64)
NOISE = torch.randn(3, B, N, generator=RNG, dtype=torch.float64)
TRIL = torch.randn(B, N, N, generator=RNG, dtype=torch.float64).tril() + 3 * torch.eye(N)


def test_kl_of_diagonal_gaussians() -> None:
    ours = kl_divergence(DiagonalGaussian(MEAN, LOG_VARIANCE), DiagonalGaussian(LOG_VARIANCE, MEAN), NOISE)
    theirs = [Independent(Normal(m, (0.5 * v).exp()), 1) for m, v in ((MEAN, LOG_VARIANCE), (LOG_VARIANCE, MEAN))]
    torch.testing.assert_close(ours, torch_kl(*theirs))


def test_kl_of_dense_gaussians() -> None:
    factor = TRIL.tril(-1) + torch.diag_embed(TRIL.diagonal(dim1=1, dim2=2).abs())
    ours = kl_divergence(DenseGaussian(MEAN, factor), DenseGaussian(MEAN[:1], factor[0]), NOISE)
    prior = MultivariateNormal(MEAN[0], scale_tril=factor[0])
    torch.testing.assert_close(ours, torch_kl(MultivariateNormal(MEAN, scale_tril=factor), prior))


def test_kl_without_a_closed_form_is_estimated() -> None:
    """Diagonal against dense: the mean over samples meets the exact figure of the same two as dense ones."""
    factor = TRIL[0].tril(-1) + torch.diag(TRIL[0].diagonal().abs())
    q, p = DiagonalGaussian(MEAN, LOG_VARIANCE), DenseGaussian(MEAN[:1], factor)
    noise = torch.randn(40_000, B, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ratio = kl_divergence(q, p, q.sample(noise))  # (S, B)
    exact = kl_divergence(DenseGaussian(MEAN, torch.diag_embed((0.5 * LOG_VARIANCE).exp())), p, NOISE)
    error = (ratio.mean(0) - exact).abs() / (ratio.std(0) / len(noise) ** 0.5)
    assert (error < 4).all()


def test_the_standard_normal_passes_noise_through() -> None:
    standard = standard_normal(torch.empty(1, N, dtype=torch.float64))
    torch.testing.assert_close(standard.sample(NOISE), NOISE)
    torch.testing.assert_close(kl_divergence(standard, standard, NOISE), torch.zeros(1).double())


def test_diagonal_samples_have_the_stated_moments_and_whiten_back() -> None:
    q = DiagonalGaussian(MEAN, LOG_VARIANCE)
    torch.testing.assert_close(q.sample(torch.zeros(B, N)), MEAN)
    torch.testing.assert_close(q.sample(torch.ones(B, N)) - MEAN, LOG_VARIANCE.exp().sqrt())
    torch.testing.assert_close(q.whiten(q.sample(NOISE)), NOISE)


def test_dense_samples_follow_the_factor_and_whiten_back() -> None:
    for mean, tril in ((MEAN, TRIL), (MEAN[:1], TRIL[0]), (MEAN, TRIL[0])):
        q = DenseGaussian(mean, tril)
        z = q.sample(NOISE)
        factors = tril.expand(B, N, N)
        expected = torch.stack([mean.expand(B, N)[b] + NOISE[:, b] @ factors[b].T for b in range(B)], 1)
        torch.testing.assert_close(z, expected)
        torch.testing.assert_close(q.whiten(z), NOISE)


def test_dense_whitening_gives_the_density() -> None:
    """log p(z) = log N(whitened) - log det L."""
    q = DenseGaussian(MEAN, TRIL)
    z = q.sample(NOISE)
    base = Normal(0.0, 1.0).log_prob(q.whiten(z)).sum(-1) - TRIL.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)
    sign = TRIL.diagonal(dim1=-2, dim2=-1).sign()
    theirs = MultivariateNormal(MEAN, scale_tril=TRIL * sign[:, None, :])
    torch.testing.assert_close(base, theirs.log_prob(z))


def test_densities() -> None:
    z = torch.randn(B, N, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    diagonal = Normal(MEAN, (0.5 * LOG_VARIANCE).exp()).log_prob(z).sum(-1)
    torch.testing.assert_close(DiagonalGaussian(MEAN, LOG_VARIANCE).log_prob(z), diagonal)
    factor = TRIL.tril(-1) + torch.diag_embed(TRIL.diagonal(dim1=1, dim2=2).abs())
    dense = MultivariateNormal(MEAN, scale_tril=factor).log_prob(z)
    torch.testing.assert_close(DenseGaussian(MEAN, factor).log_prob(z), dense)
    shared = MultivariateNormal(MEAN[0], scale_tril=factor[0]).log_prob(z)
    torch.testing.assert_close(DenseGaussian(MEAN[:1], factor[0]).log_prob(z), shared)
