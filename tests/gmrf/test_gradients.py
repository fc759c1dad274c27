"""Gradients against finite differences, the prior's included; double backward where it is promised (the twin)."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from epurecli.gmrf import GaussianPrior, combine_evidence, gaussian_elbo, gaussian_kl, reference

SIZES = (2, 1, 3)


def test_elbo(make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, 3)
    leaves = problem.leaves(torch.float64)
    assert torch.autograd.gradcheck(lambda *x: chosen.elbo(*x, SIZES, 0.9)[:2], leaves)


def test_noise_gets_its_gradient_from_the_twin(make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, 3)
    mean, variance, coupling, noise, prior_mean, tril = (x.detach() for x in problem.leaves(torch.float64))
    prior = GaussianPrior(prior_mean, tril)
    noise.requires_grad_()
    assert torch.autograd.gradcheck(lambda e: gaussian_elbo(mean, variance, coupling, e, prior, SIZES)[0], (noise,))


def test_assembly(make: Callable, chosen: ModuleType) -> None:
    _, variance, coupling, *_ = make(SIZES, 3).leaves(torch.float64)
    assert torch.autograd.gradcheck(lambda *x: chosen.assemble(*x, SIZES, 0.9)[0], (variance, coupling))


def test_twin_differentiates_twice(make: Callable) -> None:
    leaves = make((2, 1), 2).leaves(torch.float64)
    _, variance, coupling, *_ = leaves
    assert torch.autograd.gradgradcheck(lambda *x: reference.covariance(*x, (2, 1), 0.9), (variance, coupling))
    assert torch.autograd.gradgradcheck(lambda *x: reference.elbo(*x, (2, 1), 0.9)[:2], leaves)


def test_native_refuses_a_second_derivative(make: Callable, native: ModuleType) -> None:
    leaves = make(SIZES, 2).leaves(torch.float64)
    sample, kl, _ = native.elbo(*leaves, SIZES, 0.9)
    (first,) = torch.autograd.grad(kl.sum() + sample.square().sum(), leaves[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_frozen_prior_costs_no_gradient(make: Callable, chosen: ModuleType) -> None:
    leaves = make(SIZES, 3).leaves(torch.float64)
    frozen = [*leaves[:4], *(x.detach() for x in leaves[4:])]
    sample, kl, _ = chosen.elbo(*frozen, SIZES, 0.9)
    some = torch.autograd.grad(kl.sum() + sample.sum(), leaves[:3])
    sample, kl, _ = chosen.elbo(*leaves, SIZES, 0.9)
    for a, b in zip(some, torch.autograd.grad(kl.sum() + sample.sum(), leaves[:3]), strict=True):
        torch.testing.assert_close(a, b)


def test_evidence(make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, 4)
    mask = torch.tensor([[True, False, True], [False, False, False], [True, True, True], [False, True, False]])
    inputs = [x.clone().requires_grad_() for x in (problem.observed, problem.variance, *_parts(problem.prior))]

    def run(centre: torch.Tensor, precision: torch.Tensor, mean: torch.Tensor, tril: torch.Tensor) -> tuple:
        found = combine_evidence(GaussianPrior(mean, tril.tril()), centre, precision, mask, SIZES, problem.noise)
        return found.mean, found.sample, found.kl

    assert torch.autograd.gradcheck(run, inputs)


def test_evidence_under_a_frozen_prior(make: Callable, chosen: ModuleType) -> None:
    """Another reverse pass, written by hand: every output, autograd's own gradients and, of the twin, second ones."""
    problem = make(SIZES, 4)
    mask = torch.tensor([[True, False, True], [False, False, False], [True, True, True], [False, True, False]])
    inputs = [x.clone().requires_grad_() for x in (problem.observed, problem.variance)]

    def run(centre: torch.Tensor, precision: torch.Tensor, prior: GaussianPrior = problem.prior) -> tuple:
        found = combine_evidence(prior, centre, precision, mask, SIZES, problem.noise, with_scale_tril=True)
        return found.mean, found.sample, found.kl, found.scale_tril

    assert torch.autograd.gradcheck(run, inputs)
    if chosen is reference:
        assert torch.autograd.gradgradcheck(run, inputs)
    trained = GaussianPrior(*(x.clone().requires_grad_() for x in _parts(problem.prior)))
    weights = [torch.randn_like(x) for x in run(*inputs)]
    ours, theirs = (
        torch.autograd.grad(sum((w * x).sum() for w, x in zip(weights, found, strict=True)), inputs)
        for found in (run(*inputs), run(*inputs, trained))
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_kl(make: Callable) -> None:
    problem = make(SIZES, 3)
    tril = torch.linalg.cholesky(reference.covariance(problem.variance, problem.coupling, SIZES, 0.9))
    inputs = [x.clone().requires_grad_() for x in (problem.mean, tril, *_parts(problem.prior))]

    def run(mean: torch.Tensor, tril: torch.Tensor, prior_mean: torch.Tensor, prior_tril: torch.Tensor) -> torch.Tensor:
        return gaussian_kl(mean, tril.tril(), GaussianPrior(prior_mean, prior_tril.tril()))

    assert torch.autograd.gradcheck(run, inputs)


def _parts(prior: GaussianPrior) -> tuple[torch.Tensor, torch.Tensor]:
    return prior.mean, prior.scale_tril
