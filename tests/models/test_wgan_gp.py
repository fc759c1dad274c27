"""The critic's penalties against finite differences, and what both losses must see."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from epurecli.config import load_config
from epurecli.models.registry import build, schema_of
from epurecli.models.wgan_gp.model import WGAN, energy_distance, energy_score, slopes_of
from epurecli.nn.step import Step
from epurecli.types import Batch, Query

PARTS = "data.component_dirs=[a, b, c]"
LOSSES = pytest.mark.parametrize("loss", ["r3gan", "wgan_gp"])


def model_of(loss: str = "r3gan", *more: str) -> WGAN:
    torch.manual_seed(0)
    model = build(load_config("wgan_gp_toy_test", schema_of, [PARTS, f"model.loss={loss}", *more])).eval()
    for weight in model.parameters():  # branches that start at zero are silent
        if weight.dim() > 1 and not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    return model


def step(model: WGAN, seed: int = 0) -> Step:
    return Step(torch.Generator().manual_seed(seed), model.config.training)


def test_slopes_are_those_of_finite_differences(batch: Batch) -> None:
    critic = copy.deepcopy(model_of().critic).double()
    image, condition, present = batch.image.double(), batch.condition.double(), torch.ones(6, 1, dtype=torch.float64)
    image = (0.8 * image + 0.1).requires_grad_()
    slopes = slopes_of(critic(image, condition, present), image)
    (gradient,) = torch.autograd.grad(critic(image, condition, present).sum(), image)
    uphill = gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    with torch.no_grad():
        ahead, behind = (critic(image + s * 1e-5 * uphill, condition, present) for s in (1, -1))
    torch.testing.assert_close(slopes, (ahead - behind) / 2e-5, rtol=1e-4, atol=1e-7)


@LOSSES
def test_the_penalty_trains_the_critic(loss: str, batch: Batch) -> None:
    """Its gradient by a weight is the difference of losses with and without it, by finite differences."""
    with_it, without = model_of(loss, "model.penalty=2"), model_of(loss, "model.penalty=0")
    for model in (with_it, without):
        model.double()
    double = Batch(batch.image.double(), batch.condition.double())
    torch.set_default_dtype(torch.float64)
    try:

        def penalty() -> Tensor:
            ours, theirs = (model.critic_loss(double, step(model)).total for model in (with_it, without))
            return ours - theirs

        weights = [model.critic.trunk.stem.weight for model in (with_it, without)]
        penalty().backward()
        slope = sum(weight.grad[0, 0, 0, 0].item() for weight in weights)
        found = []
        for change in (1e-6, -2e-6):
            with torch.no_grad():
                for weight in weights:
                    weight[0, 0, 0, 0] += change
            found.append(penalty().item())
    finally:
        torch.set_default_dtype(torch.float32)
    assert slope == pytest.approx((found[0] - found[1]) / 2e-6, rel=1e-3, abs=1e-6)


@LOSSES
def test_each_of_the_critics_steps_sees_other_noise(loss: str, batch: Batch) -> None:
    model = model_of(loss)
    told = step(model)
    first, second = (model.critic_loss(batch, told).total.item() for _ in range(2))
    assert first != second
    assert model.critic_loss(batch, step(model)).total.item() == first


@LOSSES
def test_conditions_reach_both_losses(loss: str, batch: Batch) -> None:
    model = model_of(loss, "model.cond_dropout=0", "training.given_cond_dropout=0")
    other = Batch(batch.image, batch.condition + 1)
    for objective in (model.critic_loss, model.generator_loss):
        assert objective(batch, step(model)).total != objective(other, step(model)).total


def test_two_given_parts_are_used_and_what_is_hidden_is_not(batch: Batch) -> None:
    model = model_of()
    z, mask = torch.randn(6, 6, generator=torch.Generator().manual_seed(1)), torch.tensor([[True, True, False]] * 6)
    present = torch.ones(6, 1)

    def drawn(image: Tensor) -> Tensor:
        return model.draw(z, Query(batch.condition, present, image, mask))[:, 2]

    for part in range(3):
        other = batch.image.clone()
        other[:, part] = other[:, part].flip(-1)
        assert torch.equal(drawn(other), drawn(batch.image)) == (part == 2)


def test_sets_of_one_law_have_no_distance() -> None:
    rng = torch.Generator().manual_seed(0)
    one, other = (torch.rand(400, 1, 8, 8, generator=rng) for _ in range(2))
    assert abs(energy_distance(one, other).item()) < 0.005
    assert energy_distance(one, 0.5 * other).item() > 0.1
    by_hand = energy_distance(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 4, 4), torch.ones(2, 1, 4, 4))
    assert by_hand.item() == pytest.approx(2 * 0.5 - 1)


def test_the_energy_score_is_least_for_draws_of_the_law_of_the_truth() -> None:
    """Designs of one pixel that is set in 3 of 10: neither the best single answer, nor too many draws of it, do as
    well; and three designs by hand."""
    rng = torch.Generator().manual_seed(0)

    def score(one: Tensor, other: Tensor) -> float:
        truth = (torch.rand(40_000, 1, 1, 1, generator=rng) < 0.3).float()
        return energy_score(one, other, truth).mean().item()

    def drawn(share: float) -> Tensor:
        return (torch.rand(40_000, 1, 1, 1, generator=rng) < share).float()

    honest = score(drawn(0.3), drawn(0.3))
    assert honest == pytest.approx(0.3 * 0.7, abs=0.01)  # E |x - t| - E |x - x'| / 2
    for share in (0.0, 0.1, 0.5, 1.0):
        assert score(drawn(share), drawn(share)) > honest + 0.02
    mean = torch.full((40_000, 1, 1, 1), 0.3)
    assert score(mean, mean) > honest + 0.02
    one, other, truth = (torch.full((1, 1, 2, 2), value) for value in (0.0, 1.0, 0.5))
    assert energy_score(one, other, truth).item() == pytest.approx((1 + 1 - 2) / 2, abs=1e-2)


@LOSSES
def test_the_energy_score_reaches_the_generator(loss: str, batch: Batch) -> None:
    """Weighed as it is told, and of two draws whose noise differs."""
    plain, weighed = (model_of(loss, f"model.energy={weight}") for weight in (0.0, 0.5))
    one, other = (
        m.generator_loss(batch, Step(torch.Generator().manual_seed(3), m.config.training)) for m in (plain, weighed)
    )
    assert other.total.item() == pytest.approx(one.total.item() + 0.5 * other.terms["energy"].item())
    (slope,) = torch.autograd.grad(other.terms["energy"], [weighed.generator.expand.weight])
    assert slope.any()
