"""Conditioning and evidence against brute force: block inversion, Bayes' rule written out, moments of samples."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from types import ModuleType

import pytest
import torch
from torch import Tensor

from epurecli.gmrf import (
    CoupledGaussian,
    GaussianPrior,
    assemble_covariance,
    combine_evidence,
    condition_gaussian,
    conditional_table,
    gaussian_elbo,
)
from epurecli.gmrf.masks import group_rows, spread_mask

SIZES = (2, 1, 3, 2, 1)
SUBSETS = torch.tensor([s for s in product([False, True], repeat=5) if any(s) and not all(s)])


def block_inversion(mean: Tensor, covariance: Tensor, observed: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Conditional mean and covariance of one row's missing entries, by the textbook's inverse."""
    o, m = seen.nonzero().squeeze(1), (~seen).nonzero().squeeze(1)
    inverse = torch.linalg.inv(covariance[o][:, o])
    gain = covariance[m][:, o] @ inverse
    return mean[m] + gain @ (observed[o] - mean[o]), covariance[m][:, m] - gain @ covariance[o][:, m]


@pytest.mark.parametrize("kind", ["shared", "full", "packed"])
def test_equals_block_inversion_for_every_subset(kind: str, make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, len(SUBSETS))
    covariances = assemble_covariance(problem.variance, problem.coupling, SIZES)
    belief = {
        "shared": problem.prior,
        "full": (problem.mean, covariances),
        "packed": CoupledGaussian(problem.mean, problem.variance, problem.coupling),
    }[kind]
    found = condition_gaussian(belief, problem.observed, SUBSETS, SIZES, problem.noise, with_scale_tril=True)
    for row, seen in enumerate(spread_mask(SUBSETS, SIZES)):
        mean = problem.prior.mean if kind == "shared" else problem.mean[row]
        covariance = problem.prior.covariance if kind == "shared" else covariances[row]
        centre, spread = block_inversion(mean, covariance, problem.observed[row], seen)
        tril = found.scale_tril[row]
        assert torch.equal(found.mean[row, seen], problem.observed[row, seen])
        assert torch.equal(found.sample[row, seen], problem.observed[row, seen])
        torch.testing.assert_close(found.mean[row, ~seen], centre, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close((tril @ tril.mT)[~seen][:, ~seen], spread, rtol=1e-10, atol=1e-10)
        assert torch.equal(tril, tril.tril())
        assert (tril[seen] == 0).all()
        assert (tril[:, seen] == 0).all()
        torch.testing.assert_close(found.sample[row], found.mean[row] + tril @ problem.noise[row])


def test_rows_do_not_see_each_other(make: Callable, chosen: ModuleType) -> None:
    """Any order of the rows, any company of masks: the same answers."""
    problem = make((16,) * 5, 77)
    mask, turn = problem.mask(), torch.randperm(77, generator=problem.rng)
    for belief in (
        lambda i: problem.prior,
        lambda i: CoupledGaussian(problem.mean[i], problem.variance[i], problem.coupling[i]),
    ):
        straight = condition_gaussian(belief(slice(None)), problem.observed, mask, problem.sizes, problem.noise)
        turned = condition_gaussian(
            belief(turn), problem.observed[turn], mask[turn], problem.sizes, problem.noise[turn]
        )
        torch.testing.assert_close(turned.sample, straight.sample[turn], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(turned.mean, straight.mean[turn], rtol=1e-12, atol=1e-12)


def test_hidden_values_are_never_read(make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, len(SUBSETS))
    hidden = torch.where(spread_mask(SUBSETS, SIZES), problem.observed, float("nan"))
    for belief in (problem.prior, CoupledGaussian(problem.mean, problem.variance, problem.coupling)):
        a = condition_gaussian(belief, problem.observed, SUBSETS, SIZES, problem.noise)
        b = condition_gaussian(belief, hidden, SUBSETS, SIZES, problem.noise)
        assert torch.equal(a.sample, b.sample)


def test_table_gives_the_conditional(make: Callable) -> None:
    problem = make(SIZES, len(SUBSETS))
    gain, tril = conditional_table(problem.prior, SUBSETS, SIZES)
    seen = spread_mask(SUBSETS, SIZES)
    found = condition_gaussian(problem.prior, problem.observed, SUBSETS, SIZES, with_scale_tril=True)
    given = torch.where(seen, problem.observed - problem.prior.mean, 0)
    mean = torch.where(seen, problem.observed, problem.prior.mean + (gain @ given.unsqueeze(2)).squeeze(2))
    torch.testing.assert_close(mean, found.mean)
    torch.testing.assert_close(tril, found.scale_tril)


@pytest.mark.parametrize("components", [5, 20])
def test_rows_are_grouped_by_mask(components: int, make: Callable, chosen: ModuleType) -> None:
    mask = torch.rand(300, components, generator=torch.Generator().manual_seed(0)) < 0.5
    mask[100:200] = mask[:100]
    for groups in (chosen.group_rows(mask), group_rows(mask)):
        assert torch.equal(groups.order.sort().values, torch.arange(300))
        assert torch.equal(groups.distinct[groups.index()], mask)
        assert len(torch.unique(groups.distinct, dim=0)) == len(groups.distinct) == len(groups.begin) - 1


def test_evidence_is_bayes_rule(make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, len(SUBSETS) + 2)
    mask = torch.cat([SUBSETS, torch.zeros(1, 5, dtype=torch.bool), torch.ones(1, 5, dtype=torch.bool)])
    seen = spread_mask(mask, SIZES)
    hidden = [torch.where(seen, x, float("nan")) for x in (problem.observed, problem.variance)]
    found = combine_evidence(problem.prior, *hidden, mask, SIZES, problem.noise, with_scale_tril=True)
    prior = torch.linalg.inv(problem.prior.covariance)
    extra = torch.where(seen, problem.variance, 0)
    covariance = torch.linalg.inv(prior + torch.diag_embed(extra))
    right = prior @ problem.prior.mean + extra * problem.observed
    mean = (covariance @ right.unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(found.mean, mean, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found.scale_tril, torch.linalg.cholesky(covariance), rtol=1e-9, atol=1e-9)
    drawn = mean + (found.scale_tril @ problem.noise.unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(found.sample, drawn, rtol=1e-10, atol=1e-10)
    normal = torch.distributions.MultivariateNormal
    prior_law = normal(problem.prior.mean, scale_tril=problem.prior.scale_tril)
    divergence = torch.distributions.kl_divergence(normal(mean, covariance), prior_law)
    torch.testing.assert_close(found.kl, divergence, rtol=1e-9, atol=1e-9)
    assert abs(float(found.kl[-2])) < 1e-12  # nothing observed: the prior


def test_sharp_evidence_becomes_exact_conditioning(make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, len(SUBSETS))
    sharp = torch.full_like(problem.variance, 1e8)  # the limit's own error is of the order 1e-8
    soft = combine_evidence(problem.prior, problem.observed, sharp, SUBSETS, SIZES, with_scale_tril=True)
    hard = condition_gaussian(problem.prior, problem.observed, SUBSETS, SIZES, with_scale_tril=True)
    torch.testing.assert_close(soft.mean, hard.mean, rtol=1e-6, atol=1e-6)
    spread = soft.scale_tril @ soft.scale_tril.mT
    torch.testing.assert_close(spread, hard.scale_tril @ hard.scale_tril.mT, rtol=1e-6, atol=1e-6)


def test_samples_have_the_stated_moments(make: Callable, chosen: ModuleType) -> None:
    """60,000 draws of one posterior: mean and covariance within five standard errors."""
    rows, problem = 60_000, make((2, 1, 2), 1)
    many = lambda x: x.expand(rows, -1).contiguous()  # noqa: E731
    noise = torch.randn(rows, 5, generator=problem.rng, dtype=torch.float64)
    covariance = assemble_covariance(problem.variance, problem.coupling, problem.sizes)[0]
    packed = many(problem.mean), many(problem.variance), many(problem.coupling)
    sample, _ = gaussian_elbo(*packed, noise, problem.prior, problem.sizes)
    _check_moments(sample, problem.mean[0], covariance)
    mask = torch.tensor([[True, False, False]]).expand(rows, -1)
    drawn = condition_gaussian(CoupledGaussian(*packed), many(problem.observed), mask, problem.sizes, noise).sample
    seen = torch.tensor([True, True, False, False, False])
    centre, spread = block_inversion(problem.mean[0], covariance, problem.observed[0], seen)
    _check_moments(drawn[:, ~seen], centre, spread)


def _check_moments(sample: Tensor, mean: Tensor, covariance: Tensor) -> None:
    rows, deviation = len(sample), covariance.diagonal().sqrt()
    assert ((sample.mean(0) - mean).abs() < 5 * deviation / rows**0.5).all()
    error = (sample - mean).T @ (sample - mean) / rows - covariance
    standard = (deviation.outer(deviation).square() + covariance.square()).sqrt() / rows**0.5
    assert (error.abs() < 5 * standard).all()


def test_one_component_prior_is_not_conditioned() -> None:
    prior = GaussianPrior(torch.zeros(2), torch.eye(2))
    with pytest.raises(ValueError, match="row 0 observes every component"):
        condition_gaussian(prior, torch.zeros(1, 2), torch.ones(1, 1, dtype=torch.bool), (2,))
