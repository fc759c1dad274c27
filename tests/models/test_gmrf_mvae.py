"""The GMRF MVAE's maths, against hand computation, brute force and Monte Carlo."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from epurecli.config import load_config
from epurecli.gmrf.dependence import canonical_correlations
from epurecli.models.gmrf_mvae.config import EvidenceKind, PosteriorKind
from epurecli.models.gmrf_mvae.model import GMRFMVAE, SHARPEST
from epurecli.models.gmrf_mvae.networks import positive
from epurecli.models.gmrf_mvae.prior import RATE, LearnedPrior
from epurecli.models.registry import build, schema_of
from epurecli.nn.distributions import kl_divergence
from epurecli.nn.step import Step
from epurecli.types import Batch

KINDS = [
    (PosteriorKind.CONJUGATE, EvidenceKind.ALL),
    (PosteriorKind.CONJUGATE, EvidenceKind.OWN),
    (PosteriorKind.ASSEMBLED, EvidenceKind.OWN),
]


def make(
    posterior: PosteriorKind, components: int = 2, latent: int = 1, evidence: EvidenceKind = EvidenceKind.OWN
) -> GMRFMVAE:
    """A tiny model in float64."""
    names = [f"part_{i}" for i in range(components)]
    config = load_config(
        "gmrf_mvae_toy_test",
        schema_of,
        [
            f"model.posterior={posterior.value}",
            f"model.evidence={evidence.value}",
            f"model.latent_dim={latent}",
            "model.image_size=[16,8]",
            "model.patch_size=1",
            f"data.component_dirs={names}".replace("'", '"'),
        ],
        sections={"data": {"root_dir": "nowhere"}},
    )
    torch.manual_seed(0)
    return build(config).double().eval()


def say(model: GMRFMVAE, mean: Tensor, spread: Tensor) -> None:
    """Make every encoder answer the same (C, L) mean and positive spread, whatever it sees."""
    raw = torch.log(torch.expm1(spread - 1e-4))
    with torch.no_grad():
        model.encoders.heads.weight.zero_()
        pieces = [mean, raw] + [torch.zeros_like(mean)] * (model.encoders.pieces - 2)
        model.encoders.heads.bias.copy_(torch.cat(pieces, 1).unsqueeze(1))


def set_prior(model: GMRFMVAE, mean: Tensor, covariance: Tensor) -> None:
    model.learned_prior.mean, model.learned_prior.scale_tril = mean, torch.linalg.cholesky(covariance)


def batch(model: GMRFMVAE, count: int = 1) -> Batch:
    rng = torch.Generator().manual_seed(1)
    image = (torch.rand(count, len(model.components), *model.image_size, generator=rng) > 0.7).double()
    return Batch(image, torch.randn(count, model.cond_dim, generator=rng).double())


def test_two_components_by_hand() -> None:
    """Prior N(0, [[1, r], [r, 1]]), r = 0.6; component 0 says y = 2 with precision 3; component 1 is hidden."""
    model, r = make(PosteriorKind.CONJUGATE), 0.6
    set_prior(model, torch.zeros(2).double(), torch.tensor([[1.0, r], [r, 1.0]]).double())
    say(model, torch.tensor([[2.0], [9.0]]).double(), torch.tensor([[3.0], [5.0]]).double())
    mask = torch.tensor([[True, False]])
    inferred = model.infer(batch(model).image, mask)
    # z0: precision 1 + e, mean 2 e / (1 + e); z1 = r z0 + sqrt(1 - r^2) noise
    e = 3 / (1 + 3 / SHARPEST)
    mean, variance = 2 * e / (1 + e), 1 / (1 + e)
    torch.testing.assert_close(inferred.mean[0], torch.tensor([mean, mean * r]).double())
    expected = torch.tensor([[variance, variance * r], [variance * r, 1 - r**2 + variance * r**2]]).double()
    torch.testing.assert_close((inferred.scale_tril @ inferred.scale_tril.mT)[0], expected)
    # what component 1 adds is the prior's own conditional, so the divergence is that of z0 alone
    kl = 0.5 * (variance + mean**2 - 1 - np.log(variance))
    torch.testing.assert_close(kl_divergence(inferred, model.prior(), inferred.mean), torch.tensor([kl]).double())


def test_evidence_on_all_latents_multiplies_what_the_observed_components_say() -> None:
    """Precision P + sum of the observed components' E_c, mean (P m + sum of E_c y_c) under it; hidden ones say nothing,
    whatever they hold."""
    model = make(PosteriorKind.CONJUGATE, components=3, latent=2, evidence=EvidenceKind.ALL)
    rng = torch.Generator().manual_seed(3)
    factor = torch.randn(6, 6, generator=rng).double()
    set_prior(model, torch.randn(6, generator=rng).double(), factor @ factor.mT + 0.5 * torch.eye(6).double())
    mean, spread = torch.randn(3, 6, generator=rng).double(), 0.1 + torch.rand(3, 6, generator=rng).double()
    say(model, mean, spread)
    said = model.components_of(batch(model).image)[1].view(3, 6)
    torch.testing.assert_close(said, spread, rtol=1e-2, atol=0)  # the limit on precisions is far away
    masks = torch.tensor([[True, False, False], [True, False, True], [True, True, True], [False, True, False]])
    image = batch(model, 4).image
    image[~masks] = torch.nan
    inferred, prior = model.infer(image, masks), model.gaussian_prior()
    for row, mask in enumerate(masks):
        weight = mask.double().unsqueeze(1) * said
        precision = torch.linalg.inv(prior.covariance) + torch.diag(weight.sum(0))
        right = torch.linalg.solve(prior.covariance, prior.mean) + (weight * mean).sum(0)
        torch.testing.assert_close(inferred.mean[row], torch.linalg.solve(precision, right))
        spread = inferred.scale_tril[row] @ inferred.scale_tril[row].mT
        torch.testing.assert_close(spread, torch.linalg.inv(precision))


@pytest.mark.parametrize(("posterior", "evidence"), KINDS)
def test_elbo_is_its_monte_carlo_estimate(posterior: PosteriorKind, evidence: EvidenceKind) -> None:
    """-E_q[log p(x | z) + log p(z) - log q(z)], the densities from torch.distributions."""
    model = make(posterior, components=3, latent=2, evidence=evidence)
    factor = torch.eye(6).double() + 0.2 * torch.randn(6, 6).double().tril()
    set_prior(model, torch.zeros(6).double(), factor @ factor.mT)
    with torch.no_grad():
        model.encoders.heads.bias.add_(0.5 * torch.randn(model.encoders.heads.bias.shape).double())
    data, count = batch(model), 1000
    mask = torch.ones(1, 3, dtype=torch.bool)
    present = torch.ones(1, 1).double()
    torch.set_default_dtype(torch.float64)
    try:
        rng = torch.Generator().manual_seed(2)
        wide = Batch(data.image.expand(count, -1, -1, -1), data.condition.expand(count, -1))
        losses = model.elbo(wide, mask.expand(count, -1), present.expand(count, -1), 1.0, Step(rng))
    finally:
        torch.set_default_dtype(torch.float32)
    inferred, prior = model.infer(data.image, mask), model.gaussian_prior()
    q = MultivariateNormal(inferred.mean[0], scale_tril=inferred.scale_tril[0])
    p = MultivariateNormal(prior.mean, scale_tril=prior.scale_tril)
    z = inferred.mean + torch.randn(count, 6, generator=rng).double() @ inferred.scale_tril[0].mT
    divergence = q.log_prob(z) - p.log_prob(z)
    maps = model.maps(z, model.conditioning(wide.condition, present.expand(count, -1)))
    likelihood = model.likelihood.log_prob(maps, wide.image).sum(1)
    error = 5 * (divergence - likelihood).std() / count**0.5
    assert abs(losses.terms["kl"] - divergence.mean()) < error
    assert abs(losses.total - (divergence - likelihood).mean()) < 2 * error


def brute_force(mean: Tensor, covariance: Tensor, value: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the unseen entries given the seen ones, by block inversion."""
    o, m = seen.nonzero().squeeze(1), (~seen).nonzero().squeeze(1)
    gain = covariance[m][:, o] @ torch.linalg.inv(covariance[o][:, o])
    return mean[m] + gain @ (value[o] - mean[o]), covariance[m][:, m] - gain @ covariance[o][:, m]


def test_cross_modal_moments_of_the_assembled_posterior() -> None:
    """z_o ~ N(m_o, v_o), z_m ~ p(z_m | z_o): mean and covariance over many draws, two masks in one batch."""
    model = make(PosteriorKind.ASSEMBLED, components=3, latent=2)
    rng = torch.Generator().manual_seed(3)
    factor = torch.randn(6, 6, generator=rng).double()
    set_prior(model, torch.randn(6, generator=rng).double(), factor @ factor.mT + 0.5 * torch.eye(6).double())
    mean, variance = torch.randn(3, 2, generator=rng).double(), 0.1 + torch.rand(3, 2, generator=rng).double()
    say(model, mean, variance)
    masks = torch.tensor([[True, False, False], [True, False, True]])
    inferred = model.infer(batch(model, 2).image, masks)
    parts = ("encoded", "variance", "mask")
    many = replace(inferred, **{part: getattr(inferred, part).repeat(20000, 1) for part in parts})
    draws = many.sample(torch.randn(40000, 6, generator=rng).double()).view(20000, 2, 6)
    prior, means = model.gaussian_prior(), inferred.mean
    for row, mask in enumerate(masks):
        seen = mask.repeat_interleave(2)
        o = seen.nonzero().squeeze(1)
        value = mean.flatten()
        centre, spread = brute_force(prior.mean, prior.covariance, value, seen)
        gain = prior.covariance[~seen][:, seen] @ torch.linalg.inv(prior.covariance[seen][:, seen])
        spread = spread + gain @ torch.diag(variance.flatten()[o]) @ gain.mT
        torch.testing.assert_close(means[row][~seen], centre)
        torch.testing.assert_close(draws[:, row][:, ~seen].mean(0), centre, atol=0.05, rtol=0.05)
        torch.testing.assert_close(torch.cov(draws[:, row][:, ~seen].mT), spread, atol=0.15, rtol=0.08)
        torch.testing.assert_close(draws[:, row][:, seen].var(0), variance.flatten()[o], atol=0.02, rtol=0.05)


def test_prior_takes_a_step_to_the_moments_of_the_posteriors() -> None:
    """Mean and covariance of the mixture (1 - RATE) prior + RATE / B sum_i N(m_i, S_i), by the law of total
    covariance."""
    rng = torch.Generator().manual_seed(4)
    prior = LearnedPrior(3, 0.3).double()
    factors = torch.randn(5, 3, 3, generator=rng).double()
    means, covariances = torch.randn(5, 3, generator=rng).double(), factors @ factors.mT
    weights = torch.tensor([1 - RATE, *[RATE / 5] * 5]).double()
    centres = torch.cat([prior.mean.unsqueeze(0), means])
    spreads = torch.cat([prior().covariance.unsqueeze(0), covariances])
    mean = weights @ centres
    expected = sum(w * (s + (c - mean).outer(c - mean)) for w, c, s in zip(weights, centres, spreads, strict=True))
    prior.update(means, covariances.mean(0), Step(rng))
    torch.testing.assert_close(prior.mean, mean)
    torch.testing.assert_close(prior().covariance, expected)


@pytest.mark.parametrize(("posterior", "evidence"), KINDS)
def test_prior_ends_at_the_aggregate_inferredof_whole_designs(posterior: PosteriorKind, evidence: EvidenceKind) -> None:
    """Encoders that do not move: training steps on a masked batch end at the moments of its posteriors when whole."""
    model = make(posterior, components=3, latent=2, evidence=evidence)
    with torch.no_grad():
        model.encoders.heads.bias.add_(3.0)  # evidence that says something: with less the fixed point takes longer
    data = batch(model, 8)
    mask, present = torch.tensor([[True, False, True]]).expand(8, -1), torch.ones(8, 1).double()
    step, before = Step(torch.Generator().manual_seed(0)), model.gaussian_prior()
    torch.set_default_dtype(torch.float64)
    try:
        model.elbo(data, mask, present, 1.0, step)
        assert torch.equal(model.gaussian_prior().covariance, before.covariance)  # evaluation moves nothing
        model.learned_prior.train()
        for _ in range(600):
            model.elbo(data, mask, present, 1.0, step)
    finally:
        torch.set_default_dtype(torch.float32)
    inferred = model.infer(data.image, torch.ones_like(mask))
    spread = (inferred.scale_tril @ inferred.scale_tril.mT).mean(0) + torch.cov(inferred.mean.mT, correction=0)
    torch.testing.assert_close(model.learned_prior.mean, inferred.mean.mean(0), atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(model.gaussian_prior().covariance, spread, atol=5e-3, rtol=2e-2)


def test_prior_survives_what_breaks_a_free_symmetric_matrix() -> None:
    """1,000 steps after a nearly degenerate Gaussian whose scale jumps; a free symmetric matrix under Adam at lr 0.05
    loses its factor without any jump."""
    size, rng = 20, torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(size, size, generator=rng))[0]
    truth = basis * torch.logspace(-2, 0.5, size)
    prior, free = LearnedPrior(size, 0.1), torch.nn.Parameter(torch.eye(size))
    optimizer, broke_at = torch.optim.Adam([free], lr=0.05), None
    for step in range(1000):
        x = torch.randn(64, size, generator=rng) @ truth.mT
        prior.update(x * 10.0 ** (step // 100 % 3 - 1), torch.zeros(size, size), Step(rng))
        assert torch.linalg.cholesky_ex(prior().covariance.double()).info == 0, f"step {step}"
        if broke_at is None:
            tril, info = torch.linalg.cholesky_ex((free + free.mT) / 2)
            if info != 0:
                broke_at = step
                continue
            optimizer.zero_grad()
            (-MultivariateNormal(torch.zeros(size), scale_tril=tril, validate_args=False).log_prob(x).mean()).backward()
            optimizer.step()
    assert broke_at is not None


def test_positive_is_positive_and_finite() -> None:
    raw = torch.tensor([-1e4, -50.0, 0.0, 50.0])
    for transform in ("softplus", "exp"):
        value = positive(raw, transform)
        assert (value >= 1e-4).all()
        assert torch.isfinite(value).all()


def test_canonical_correlation_is_invariant_to_the_scale_of_a_latent() -> None:
    rng = torch.Generator().manual_seed(0)
    factor = torch.randn(5, 5, generator=rng).double()
    covariance = factor @ factor.mT + torch.eye(5).double()
    table = canonical_correlations(covariance, (2, 3))
    change = torch.block_diag(torch.randn(2, 2, generator=rng), torch.randn(3, 3, generator=rng)).double()
    torch.testing.assert_close(canonical_correlations(change @ covariance @ change.mT, (2, 3)), table)
    # independent of the components: the square root of the largest eigenvalue of S_aa^-1 S_ab S_bb^-1 S_ba
    a, b = slice(0, 2), slice(2, 5)
    product = (
        torch.linalg.inv(covariance[a, a]) @ covariance[a, b] @ torch.linalg.inv(covariance[b, b]) @ covariance[b, a]
    )
    torch.testing.assert_close(table[0, 1], torch.linalg.eigvals(product).real.max().sqrt())
    torch.testing.assert_close(canonical_correlations(torch.eye(5).double(), (2, 3)), torch.eye(2).double())


@pytest.mark.parametrize("evidence", list(EvidenceKind))
def test_evidence_is_never_too_sharp_for_float32(evidence: EvidenceKind) -> None:
    """A precision of 1e12 under a prior of spread 30: the posterior still has a factor, and 100 times its width."""
    model = make(PosteriorKind.CONJUGATE, components=3, latent=2, evidence=evidence).float()
    factor = 30 * (torch.eye(6) + 0.9 * torch.ones(6, 6)).float()
    set_prior(model, torch.zeros(6), factor @ factor.mT)
    with torch.no_grad():
        model.encoders.heads.weight.zero_()
        model.encoders.heads.bias.fill_(1e12)
    precision = model.components_of(batch(model).image.float())[1]
    for one in precision.view(-1, 6):
        torch.testing.assert_close(one, SHARPEST / model.learned_prior.variance)
    inferred = model.infer(batch(model).image.float(), torch.ones(1, 3, dtype=torch.bool))
    assert torch.isfinite(inferred.scale_tril).all()


@pytest.mark.parametrize("evidence", EvidenceKind)
def test_a_completion_is_exact_in_float32_where_latents_spread_widely(evidence: EvidenceKind) -> None:
    wide = make(PosteriorKind.CONJUGATE, 3, 6, evidence)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():  # as minutes of training leave them: spreads of 3 to 50, correlated, means far out
        factor = torch.tril(torch.randn(18, 18, dtype=torch.float64, generator=rng))
        spread = torch.logspace(0.5, 1.7, 18, dtype=torch.float64)[torch.randperm(18, generator=rng)]
        wide.learned_prior.scale_tril = factor / factor.norm(dim=1, keepdim=True) * spread.unsqueeze(1)
        wide.encoders.heads.weight *= 100
    narrow = copy.deepcopy(wide).float()
    image = torch.rand(64, 3, 16, 8, dtype=torch.float64, generator=rng).float()
    mask = torch.rand(64, 3, generator=rng) < 0.5
    mask[~mask.any(1), 0] = True
    mean, precision = (x.detach() for x in narrow.components_of(image * mask[..., None, None]))
    narrow.components_of = lambda _: (mean, precision)  # what the networks round is not the point
    wide.components_of = lambda _: (mean.double(), precision.double())
    exact, found = wide.infer(image.double(), mask), narrow.infer(image, mask)
    assert float((found.mean - exact.mean).abs().max()) < 3e-5
    assert float((found.scale_tril - exact.scale_tril).abs().max()) < 3e-5
