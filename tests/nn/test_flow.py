"""The flow's inverse and its log-determinant, against autograd and by integration."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from epurecli.nn.flow import ConditionalFlow, Conditioned
from epurecli.nn.subset_gaussian import Given

B, C, D = 8, 3, 2


def given_of(size: int, rows: int = B, cond_dim: int = D) -> Given:
    """Rows with each subset of the parts in turn, every other one with a condition."""
    rng = torch.Generator().manual_seed(1)
    code = torch.arange(rows).unsqueeze(1)
    return Given(
        (code >> torch.arange(C)) & 1 == 1,
        torch.randn(rows, size, generator=rng, dtype=torch.float64),
        torch.rand(rows, size, generator=rng, dtype=torch.float64) + 0.1,
        torch.randn(rows, cond_dim, generator=rng, dtype=torch.float64),
        ((code // 2**C + code) % 2).double(),
    )


def row(given: Given, index: int) -> Given:
    return Given(*(getattr(given, name)[index : index + 1] for name in Given.__slots__))


def flow_of(size: int, layers: int = 4, cond_dim: int = D) -> ConditionalFlow:
    torch.manual_seed(0)
    flow = ConditionalFlow(C, size, cond_dim, layers, hidden=16).double()
    for coupling in flow.couplings:  # away from the identity it starts at
        torch.nn.init.normal_(coupling.leave.weight, std=0.3)
        torch.nn.init.normal_(coupling.leave.bias, std=0.3)
    seen = given_of(size, 800, cond_dim)
    pull = torch.where(seen.nothing, 0.0, seen.mean) + 0.3 * (seen.present * seen.condition).sum(1, keepdim=True)
    noise = torch.randn(800, size, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    flow.fit(noise + pull, seen)
    return flow


def noise_of(size: int) -> Tensor:
    return torch.randn(B, size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_starts_as_the_identity() -> None:
    noise, given = noise_of(5), given_of(5)
    flow = ConditionalFlow(C, 5, D, 3, 8).double()
    shuffled = noise
    for order in flow.orders:
        shuffled = shuffled[:, order]
    torch.testing.assert_close(flow(noise, given), shuffled)
    expected = torch.distributions.Normal(0, 1).log_prob(noise).sum(-1)
    torch.testing.assert_close(flow.log_prob(noise, given), expected)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("layers", [1, 4])
def test_density_is_the_change_of_variables(size: int, layers: int) -> None:
    """log p(x) = log N(u) - log |det dx/du|, the Jacobian by autograd through the sampling direction."""
    flow, noise, given = flow_of(size, layers), noise_of(size), given_of(size)
    found = flow.log_prob(flow(noise, given), given)
    for b in range(B):
        jacobian = torch.autograd.functional.jacobian(lambda u, b=b: flow(u[None], row(given, b))[0], noise[b])
        base = -0.5 * (noise[b].square() + math.log(2 * math.pi)).sum()
        torch.testing.assert_close(found[b], base - torch.linalg.slogdet(jacobian).logabsdet)


@pytest.mark.parametrize("which", [1, 6])
def test_the_density_integrates_to_one(which: int) -> None:
    flow, some = flow_of(2), row(given_of(2), which)
    axis = torch.linspace(-14, 14, 561, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    every = Given(*(getattr(some, name).expand(len(grid), -1) for name in Given.__slots__))
    with torch.no_grad():
        total = flow.log_prob(grid, every).exp().sum() * (axis[1] - axis[0]) ** 2
    assert total.item() == pytest.approx(1, abs=2e-3)


def test_every_coordinate_is_moved() -> None:
    noise, given = noise_of(5), given_of(5)
    flow = flow_of(5, layers=2)
    moved = flow(noise, given) - flow.base(noise[:, flow.orders[0]], given)
    assert (moved.abs() > 1e-6).all()


def test_several_draws_at_once() -> None:
    given, noise = given_of(4), torch.randn(3, B, 4).double()
    flow = flow_of(4)
    drawn = Conditioned(flow, given).sample(noise)
    torch.testing.assert_close(drawn, torch.stack([flow(n, given) for n in noise]))


def test_an_absent_condition_is_ignored_and_a_present_one_is_not() -> None:
    noise, given, flow = noise_of(5), given_of(5), flow_of(5)
    without = replace(given, present=torch.zeros(B, 1).double())
    with_one = replace(given, present=torch.ones(B, 1).double())
    torch.testing.assert_close(flow(noise, without), flow(noise, replace(without, condition=given.condition + 9)))
    moved = flow(noise, replace(with_one, condition=given.condition + 1)) - flow(noise, with_one)
    assert (moved.abs().amax(1) > 1e-6).all()
    zero = torch.zeros_like(given.condition)
    differ = flow(noise, replace(with_one, condition=zero)) - flow(noise, replace(without, condition=zero))
    assert (differ.abs().amax(1) > 1e-6).all(), "a condition of zero is a condition"


def test_what_is_given_counts_and_what_is_said_of_nothing_does_not() -> None:
    noise, given, flow = noise_of(5), given_of(5), flow_of(5)
    other = replace(given, mean=given.mean + 1)
    moved = (flow(noise, other) - flow(noise, given)).abs().amax(1)
    assert (moved[1:] > 1e-6).all()
    assert moved[0] == 0
    sharper = (flow(noise, replace(given, deviation=given.deviation / 2)) - flow(noise, given)).abs().amax(1)
    assert (sharper[1:] > 1e-6).all()
    masks = replace(given, mask=given.mask.roll(1, 0))
    assert ((flow(noise, masks) - flow(noise, given)).abs().amax(1) > 1e-6).all()


def test_no_conditions_at_all() -> None:
    assert flow_of(4, cond_dim=0)(noise_of(4), given_of(4, cond_dim=0)).shape == (B, 4)


def test_the_permutation_belongs_to_the_architecture() -> None:
    torch.manual_seed(1)
    one = ConditionalFlow(C, 7, D, 4, 8)
    torch.manual_seed(2)
    other = ConditionalFlow(C, 7, D, 4, 8)
    assert torch.equal(one.orders, other.orders)


def test_couplings_hear_nothing_that_they_never_saw() -> None:
    """Of drawings unlike all others an encoder says anything, and couplings would make latents of thousands of it."""
    noise, given, flow = noise_of(5), given_of(5), flow_of(5)
    far, farther = (replace(given, mean=times * given.mean, deviation=times * given.deviation) for times in (1e3, 1e6))
    torch.testing.assert_close(flow(noise, far), flow(noise, farther))
    assert (flow(noise, far) - flow(noise, given)).abs().max() > 1e-3
