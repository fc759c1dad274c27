"""The native body against the torch twin: equal in float64, and in float32 as close to the truth as eager torch."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor

from epurecli.gmrf import reference
from epurecli.gmrf.masks import spread_mask

LAYOUTS = [(1, 1), (2, 1), (5,), (3, 2, 4), (1,) * 17, (16,) * 5, (7, 5, 6, 3), (33, 31), (32,) * 6, (40, 60, 100)]
ROWS = [0, 1, 7, 33]


def elbo(body: ModuleType, problem, dtype: torch.dtype) -> list[Tensor]:
    """Sample, kl and the gradients of a random scalar of both."""
    leaves = problem.leaves(dtype)
    rng = torch.Generator().manual_seed(5)
    sample, kl, bad = body.elbo(*leaves, problem.sizes, 0.9)
    assert bad == -1
    up = [torch.randn(x.shape, generator=rng, dtype=torch.float64).to(dtype) for x in (sample, kl)]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    gradients = torch.autograd.grad([sample, kl], wanted, up)
    return [sample, kl, *gradients[:-1], gradients[-1].tril()]


def assembled(body: ModuleType, problem, dtype: torch.dtype) -> list[Tensor]:
    """The covariance and the gradients of a random scalar of it."""
    _, variance, coupling, *_ = problem.leaves(dtype)
    covariance, bad = body.assemble(variance, coupling, problem.sizes, 0.9)
    assert bad == -1
    up = torch.randn(covariance.shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64).to(dtype)
    return [covariance, *torch.autograd.grad(covariance, [variance, coupling], up)]


def conditioned(body: ModuleType, problem, dtype: torch.dtype) -> list[Tensor]:
    """Mean, sample and scale_tril, from packed and from full covariances."""
    mean, variance, coupling, noise, *_ = (x.detach() for x in problem.leaves(dtype))
    problem.rng.manual_seed(8)
    observed, mask = problem.observed.to(dtype), problem.mask()
    groups = body.group_rows(mask)
    rest = (observed, mask, groups, problem.sizes, noise, True)
    *packed, bad = body.condition_coupled(mean, variance, coupling, 0.9, *rest)
    covariance = reference.covariance(variance, coupling, problem.sizes, 0.9)
    *full, also_bad = body.condition(mean, covariance, *rest)
    assert bad == also_bad == -1
    return [*packed, *full]


def multiplied(body: ModuleType, problem, dtype: torch.dtype) -> list[Tensor]:
    """Mean, sample, kl and scale_tril of the prior times evidence on any components, none and all among them, and the
    evidence's gradients of a random scalar of all four."""
    _, variance, _, noise, prior_mean, prior_tril = (x.detach() for x in problem.leaves(dtype))
    rng, shape = torch.Generator().manual_seed(7), (len(variance), len(problem.sizes))
    centre, precision = problem.observed.to(dtype).requires_grad_(), (3 * variance).requires_grad_()
    mask = torch.rand(shape, generator=rng) < torch.rand(shape[0], 1, generator=rng) * 2 - 0.5
    *found, bad = body.evidence(prior_mean, prior_tril, centre, precision, mask, problem.sizes, noise, True)
    assert bad == -1
    up = [torch.randn(x.shape, generator=rng, dtype=torch.float64).to(dtype) for x in found]
    return [*found, *torch.autograd.grad(found, [centre, precision], up)]


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("sizes", LAYOUTS, ids=str)
@pytest.mark.parametrize("work", [elbo, assembled, multiplied])
def test_equal_in_double(work: Callable, sizes: tuple[int, ...], rows: int, make: Callable, native: ModuleType) -> None:
    problem = make(sizes, rows)
    for mine, truth in zip(work(native, problem, torch.float64), work(reference, problem, torch.float64), strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("sizes", [s for s in LAYOUTS if len(s) > 1], ids=str)
def test_conditioning_is_equal_in_double(sizes: tuple[int, ...], rows: int, make: Callable, native: ModuleType) -> None:
    problem = make(sizes, rows)
    mine, truth = (conditioned(body, problem, torch.float64) for body in (native, reference))
    for a, b in zip(mine, truth, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("draws", [True, False])
@pytest.mark.parametrize("sizes", [(3, 2, 4), (16,) * 5, (33, 31), (1,) * 17], ids=str)
@pytest.mark.parametrize("rows", [1, 7, 33, 5000])
def test_conditioning_under_a_shared_prior(
    sizes: tuple[int, ...], rows: int, draws: bool, make: Callable, native: ModuleType
) -> None:
    """In pieces of the batch and in one, with whole vectors of a mask's rows and with remainders."""
    _compare_shared(make(sizes, rows), draws, native)


@pytest.mark.parametrize("sizes", [(8, 8), (9, 8)], ids=str)
def test_large_results_of_conditioning(sizes: tuple[int, ...], make: Callable, native: ModuleType) -> None:
    """From 8 MiB on they are written past the cache, where rows are whole lines of it."""
    _compare_shared(make(sizes, 70_000), True, native)


def _compare_shared(problem, draws: bool, native: ModuleType) -> None:
    mask, noise = problem.mask(), problem.noise if draws else None
    found = []
    for body in (native, reference):
        groups = body.group_rows(mask)
        order = torch.argsort(~spread_mask(groups.distinct, problem.sizes), dim=1, stable=True)
        factor, none = body.factor_orders(problem.prior.covariance, order)
        mean, sample, bad = body.condition_shared(
            problem.prior.mean, factor, problem.observed, groups, problem.sizes, noise
        )
        assert none == bad == -1
        found.append([factor[groups.index()[:5]], mean, *([sample] if draws else [])])
        assert draws or sample is None
    for mine, truth in zip(*found, strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e6, 1e12])
def test_extreme_scales(scale: float, make: Callable, native: ModuleType) -> None:
    problem = make((3, 2, 4), 7, scale=scale)
    for mine, truth in zip(elbo(native, problem, torch.float64), elbo(reference, problem, torch.float64), strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-10, atol=1e-10 * float(truth.detach().abs().max()))


def test_coupling_far_above_and_below_the_variance(make: Callable, native: ModuleType) -> None:
    problem = make((3, 2, 4), 9)
    problem.coupling[:3] *= 1e12
    problem.coupling[3:6] *= 1e-12
    problem.coupling[6:] = 0.0
    for mine, truth in zip(elbo(native, problem, torch.float64), elbo(reference, problem, torch.float64), strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-10, atol=1e-10)


def _error(found: Tensor, truth: Tensor) -> float:
    found, truth = found.detach(), truth.detach()
    return float((found.double() - truth).square().mean().sqrt() / truth.square().mean().sqrt())


@pytest.mark.parametrize("sizes", [(3, 2, 4), (7, 5, 6, 3), (16,) * 5, (40, 60, 100)], ids=str)
@pytest.mark.parametrize("work", [elbo, assembled, multiplied, conditioned])
def test_single_precision_is_as_close_to_the_truth_as_torch(
    work: Callable, sizes: tuple[int, ...], make: Callable, native: ModuleType
) -> None:
    """Root mean square errors against float64, both from the same float32 numbers, over five problems."""
    total = {"native": [], "torch": []}
    for seed in range(5):
        problem = make(sizes, 64, torch.float32, seed=seed)
        truth = work(reference, problem, torch.float64)
        for name, body in (("native", native), ("torch", reference)):
            total[name].append([_error(a, b) for a, b in zip(work(body, problem, torch.float32), truth, strict=True)])
    mine, eager = (torch.tensor(total[name]).mean(0) for name in ("native", "torch"))
    # an eighth of a unit in the last place: what remains of chance after five problems
    assert (mine <= eager + 1.5e-8).all(), f"native {mine.tolist()}, torch {eager.tolist()}"


@pytest.mark.parametrize("outputs", [(0,), (1,), (2,), (3,), (0, 2)], ids=str)
@pytest.mark.parametrize("draws", [True, False])
def test_evidence_of_some_outputs(outputs: tuple[int, ...], draws: bool, make: Callable, native: ModuleType) -> None:
    """Outputs that no loss uses have no gradient at all; without noise there is no sample."""
    if not draws and 1 in outputs:
        return
    problem = make((3, 2, 4), 11)
    mask = torch.rand(11, 3, generator=problem.rng) < 0.5
    gradients = []
    for body in (native, reference):
        inputs = [x.clone().requires_grad_() for x in (problem.observed, problem.variance)]
        shared = problem.prior.mean, problem.prior.scale_tril
        found = body.evidence(*shared, *inputs, mask, problem.sizes, problem.noise if draws else None, True)
        assert draws or found[1] is None
        gradients.append(torch.autograd.grad(sum(found[k].square().sum() for k in outputs), inputs))
    for mine, truth in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-6, 1e3, 1e6])
def test_evidence_of_extreme_scales(scale: float, make: Callable, native: ModuleType) -> None:
    problem = make((3, 2, 4), 7, scale=scale)
    mine, truth = (multiplied(body, problem, torch.float64) for body in (native, reference))
    for a, b in zip(mine, truth, strict=True):  # the evidence's condition number is the scale; both bodies feel it
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 + 1e-14 * max(scale, 1) * float(b.detach().abs().max()))


def test_non_contiguous_inputs(make: Callable, native: ModuleType) -> None:
    problem = make((3, 2, 4), 7)
    leaves = [x.detach() for x in problem.leaves(torch.float64)]
    strided = [torch.stack([x, x - 1], -1)[..., 0] for x in leaves]
    assert not any(x.is_contiguous() for x in strided)
    for a, b in zip(native.elbo(*strided, problem.sizes, 0.9), native.elbo(*leaves, problem.sizes, 0.9), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    turned = problem.mean.T.contiguous().T.requires_grad_()
    sample, kl, _ = native.elbo(turned, *leaves[1:], problem.sizes, 0.9)
    (kl.sum() + sample.expand(2, -1, -1).transpose(1, 2).sum()).backward()  # gradients arrive expanded, strided
    (truth,) = torch.autograd.grad(
        kl_and_twice_sample(problem, leaves, start := turned.detach().requires_grad_()), start
    )
    torch.testing.assert_close(turned.grad, truth, rtol=1e-10, atol=1e-10)


def kl_and_twice_sample(problem, leaves: list[Tensor], mean: Tensor) -> Tensor:
    sample, kl, _ = reference.elbo(mean, *leaves[1:], problem.sizes, 0.9)
    return kl.sum() + 2 * sample.sum()


def test_large_batches_factorise_again_in_the_reverse_pass(make: Callable, native: ModuleType) -> None:
    """Beyond 16 MiB of factors they are not kept; the gradients must not notice."""
    from epurecli.gmrf.native.elbo import kept

    sizes, rows = (16,) * 5, 1500
    assert kept(torch.empty(rows, 80, dtype=torch.float64))[1] == 0
    assert kept(torch.empty(8, 80, dtype=torch.float64))[1] > 0
    problem = make(sizes, rows)
    for mine, truth in zip(elbo(native, problem, torch.float64), elbo(reference, problem, torch.float64), strict=True):
        torch.testing.assert_close(mine, truth, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing_in_the_forward_pass(threads: int, make: Callable, native: ModuleType) -> None:
    problem, before = make((16,) * 5, 200, torch.float32), torch.get_num_threads()
    leaves = [x.detach() for x in problem.leaves(torch.float32)]
    truth = native.elbo(*leaves, problem.sizes, 0.9)
    torch.set_num_threads(threads)
    try:
        found = native.elbo(*leaves, problem.sizes, 0.9)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(found[:2], truth[:2], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
