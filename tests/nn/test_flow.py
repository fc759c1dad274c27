"""The flow's inverse and its log-determinant, against autograd and by integration."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from epurecli.nn.flow import ConditionalFlow
from epurecli.nn.step import Step

B, D = 6, 2


def flow_of(size: int, layers: int = 4, cond_dim: int = D) -> ConditionalFlow:
    torch.manual_seed(0)
    flow = ConditionalFlow(size, cond_dim, layers, hidden=16).double()
    for coupling in flow.couplings:  # away from the identity it starts at
        torch.nn.init.normal_(coupling.net[-1].weight, std=0.3)
        torch.nn.init.normal_(coupling.net[-1].bias, std=0.3)
    rng = torch.Generator().manual_seed(2)
    condition = torch.randn(200, cond_dim, generator=rng, dtype=torch.float64)
    seen = torch.randn(200, size, generator=rng, dtype=torch.float64) + 0.3 * condition.sum(1, keepdim=True)
    flow.linear.update(seen, condition, Step(rng))
    return flow


def inputs(size: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    noise = torch.randn(B, size, generator=rng, dtype=torch.float64)
    condition = torch.randn(B, D, generator=rng, dtype=torch.float64)
    present = torch.tensor([[1.0], [0.0]]).double().repeat(B // 2, 1)
    return noise, condition, present


def test_starts_as_the_identity() -> None:
    noise, condition, present = inputs(5)
    flow = ConditionalFlow(5, D, 3, 8).double()
    torch.testing.assert_close(flow(noise, condition, present), noise)
    expected = torch.distributions.Normal(0, 1).log_prob(noise).sum(-1)
    torch.testing.assert_close(flow.log_prob(noise, condition, present), expected)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("layers", [1, 4])
def test_density_is_the_change_of_variables(size: int, layers: int) -> None:
    """log p(x) = log N(u) - log |det dx/du|, the Jacobian by autograd through the sampling direction."""
    flow = flow_of(size, layers)
    noise, condition, present = inputs(size)
    found = flow.log_prob(flow(noise, condition, present), condition, present)
    for b in range(B):
        jacobian = torch.autograd.functional.jacobian(
            lambda u, b=b: flow(u[None], condition[b : b + 1], present[b : b + 1])[0], noise[b]
        )
        base = -0.5 * (noise[b].square() + math.log(2 * math.pi)).sum()
        torch.testing.assert_close(found[b], base - torch.linalg.slogdet(jacobian).logabsdet)


def test_inverse_undoes_each_coupling() -> None:
    noise, condition, present = inputs(6)
    flow = flow_of(6)
    context = flow.context(condition, present)
    for coupling in flow.couplings:
        there = coupling(noise, context)
        assert not torch.allclose(there, noise)
        back, log_det = coupling.inverse(there, context)
        torch.testing.assert_close(back, noise)
        assert log_det.shape == (B,)


def test_the_density_integrates_to_one() -> None:
    flow = flow_of(2)
    axis = torch.linspace(-12, 12, 481, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    condition, present = torch.full((len(grid), D), 0.3).double(), torch.ones(len(grid), 1).double()
    with torch.no_grad():
        total = flow.log_prob(grid, condition, present).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1, abs=2e-3)


def test_every_coordinate_is_moved() -> None:
    noise, condition, present = inputs(5)
    moved = flow_of(5, layers=2)(noise, condition, present) - noise
    assert (moved.abs() > 1e-6).all()


def test_an_absent_condition_is_ignored_and_a_present_one_is_not() -> None:
    noise, condition, _ = inputs(5)
    flow, none, all_ = flow_of(5), torch.zeros(B, 1).double(), torch.ones(B, 1).double()
    torch.testing.assert_close(flow(noise, condition, none), flow(noise, condition + 9, none))
    assert not torch.allclose(flow(noise, condition, all_), flow(noise, condition + 1, all_))
    zero = torch.zeros_like(condition)
    assert not torch.allclose(flow(noise, zero, all_), flow(noise, zero, none)), "a condition of zero is a condition"


def test_no_conditions_at_all() -> None:
    noise, _, present = inputs(4)
    flow = flow_of(4, cond_dim=0)
    assert flow(noise, torch.empty(B, 0).double(), present).shape == (B, 4)


def test_the_permutation_belongs_to_the_architecture() -> None:
    torch.manual_seed(1)
    one = ConditionalFlow(7, D, 4, 8)
    torch.manual_seed(2)
    other = ConditionalFlow(7, D, 4, 8)
    for a, b in zip(one.couplings, other.couplings, strict=True):
        assert torch.equal(a.kept, b.kept)
