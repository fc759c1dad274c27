"""The closed-form part of p(z | given parts, condition), against least squares by numpy, subset by subset."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from epurecli.nn import subset_gaussian
from epurecli.nn.subset_gaussian import Given, SubsetGaussian

C, N, D, ROWS = 3, 4, 2, 6000


def known(rows: int, components: int = C, seed: int = 0) -> Given:
    rng = torch.Generator().manual_seed(seed)
    return Given(
        torch.rand(rows, components, generator=rng) < 0.5,
        3 * torch.randn(rows, N, generator=rng, dtype=torch.float64) - 1,
        torch.rand(rows, N, generator=rng, dtype=torch.float64) + 0.1,
        torch.randn(rows, D, generator=rng, dtype=torch.float64),
        (torch.rand(rows, 1, generator=rng) < 0.7).double(),
    )


def rows_of(given: Given, rows: Tensor) -> Given:
    return Given(*(getattr(given, field.name)[rows] for field in fields(given)))


def with_presence(given: Given, present: float) -> Given:
    return Given(given.mask, given.mean, given.deviation, given.condition, torch.full_like(given.present, present))


def latents(given: Given) -> Tensor:
    """They follow what the encoder says where something is given, and bend with the condition; another law for each
    subset, and nearly determined in one direction."""
    rng = torch.Generator().manual_seed(9)
    a, b = given.condition.T
    subset = (given.mask * torch.tensor([1, 2, 4])).sum(1).double()
    mean = torch.stack([a, a * b, b.square(), 1 + b - a], 1) + subset.unsqueeze(1)
    noise = torch.randn(len(mean), N, generator=rng, dtype=torch.float64) * (1 + subset).unsqueeze(1)
    noise[:, 0] *= 0.05
    turned = noise @ torch.randn(N, N, generator=rng, dtype=torch.float64)
    return mean + torch.where(given.nothing, 0.0, 0.5 * given.mean + given.mean.flip(1)) + turned


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> tuple[SubsetGaussian, Tensor, Given]:
    monkeypatch.setattr(subset_gaussian, "RIDGE", 1e-12)
    monkeypatch.setattr(subset_gaussian, "BELIEVED", 0.0)
    monkeypatch.setattr(subset_gaussian, "USUAL", torch.inf)
    given = known(ROWS)
    z = latents(given)
    model = SubsetGaussian(C, N, N, D).double()
    model.fit(z, given)
    return model, z, given


@pytest.mark.parametrize("subset", range(2**C - 1))
@pytest.mark.parametrize("present", [0.0, 1.0])
def test_is_the_least_squares_fit_of_each_subset(fitted, subset: int, present: float) -> None:
    model, z, given = fitted
    rows = torch.nonzero(model.group(given.mask) == subset)[:, 0]
    mine = with_presence(rows_of(given, rows), present)
    a, b = mine.condition.T.numpy()
    columns = [np.ones((len(rows), 1))]
    columns += [mine.mean.numpy()] if subset else []
    columns += [np.stack([a, b, a * a, a * b, b * b], 1)] if present else []
    design = np.concatenate(columns, 1)
    target = z[rows].numpy()
    weights = np.linalg.lstsq(design, target, rcond=None)[0]
    rest = target - design @ weights
    covariance = rest.T @ rest / (len(rows) - design.shape[1])
    np.testing.assert_allclose(model(torch.zeros(len(rows), N).double(), mine).numpy(), design @ weights, atol=1e-6)
    factor = model.factor[2 * subset + int(present)].numpy()
    np.testing.assert_allclose(factor @ factor.T, covariance, rtol=1e-6, atol=1e-8)
    noise, log_det = model.inverse(z[rows], mine)
    np.testing.assert_allclose((noise.mT @ noise).numpy() / (len(rows) - design.shape[1]), np.eye(N), atol=1e-6)
    np.testing.assert_allclose(log_det.numpy(), -0.5 * np.linalg.slogdet(covariance)[1], rtol=1e-6)


def test_rows_choose_for_themselves(fitted) -> None:
    model, z, given = fitted
    some = rows_of(given, torch.arange(12))
    assert 0 < some.present.sum() < 12
    noise, log_det = model.inverse(z[:12], some)
    torch.testing.assert_close(model(noise, some), z[:12])
    for row in range(12):
        alone = model.inverse(z[row : row + 1], rows_of(given, torch.tensor([row])))
        torch.testing.assert_close((noise[row], log_det[row]), (alone[0][0], alone[1][0]))


def test_several_draws_at_once(fitted) -> None:
    model, _, given = fitted
    some, noise = rows_of(given, torch.arange(5)), torch.randn(3, 5, N).double()
    torch.testing.assert_close(model(noise, some), torch.stack([model(n, some) for n in noise]))


def test_what_is_said_of_nothing_makes_no_difference(fitted) -> None:
    model, _, given = fitted
    rows = torch.nonzero(given.nothing)[:3, 0]
    some, noise = rows_of(given, rows), torch.randn(3, N).double()
    other = Given(some.mask, some.mean + torch.nan, some.deviation, some.condition, some.present)
    torch.testing.assert_close(model(noise, other), model(noise, some))


def test_what_an_encoder_never_said_is_not_believed() -> None:
    given = known(ROWS)
    model = SubsetGaussian(C, N, N, D).double()
    model.fit(latents(given), given)
    nothing = torch.zeros(ROWS, N).double()
    far, farther = (model(nothing, replace(given, mean=times * given.mean)) for times in (1e9, 1e12))
    torch.testing.assert_close(far, farther)
    asked = model(nothing, replace(given, condition=given.condition + 30))  # conditions may lie beyond the data
    moved = (asked - model(nothing, given)).abs().amax(1)
    assert (moved[given.present[:, 0] > 0] > 10).all()


def test_few_designs_leave_it_regular() -> None:
    """Three designs that are all alike: no factor is singular, whatever they are."""
    model, given = SubsetGaussian(C, N, N, D), known(3)
    alike = Given(*(getattr(rows_of(given, torch.tensor([0, 0, 0])), field.name).float() for field in fields(given)))
    model.fit(torch.ones(3, N), Given(alike.mask > 0, *list(vars_of(alike))[1:]))
    assert torch.isfinite(model.whitener).all()
    assert (model.factor.diagonal(dim1=-2, dim2=-1) > 0).all()


def vars_of(given: Given) -> list[Tensor]:
    return [getattr(given, field.name) for field in fields(given)]


def test_of_many_components_subsets_of_one_size_share_a_gaussian() -> None:
    given = known(2000, components=12)
    model = SubsetGaussian(12, N, N, D).double()
    assert len(model.offset) == 2 * 13
    assert torch.equal(model.group(given.mask), given.mask.sum(1))
    z = torch.randn(2000, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + given.mask.sum(
        1, keepdim=True
    )
    model.fit(z, given)
    found = model(torch.zeros(2000, N).double(), given)
    middle = given.mask.sum(1) == 6
    torch.testing.assert_close(found[middle].mean(0), torch.full((N,), 6.0).double(), atol=0.2, rtol=0)


def test_without_condition_columns() -> None:
    given = known(500)
    bare = Given(given.mask, given.mean, given.deviation, torch.zeros(500, 0).double(), given.present)
    model = SubsetGaussian(C, N, N, 0).double()
    model.fit(torch.randn(500, N, generator=torch.Generator().manual_seed(0)).double() + 5, bare)
    torch.testing.assert_close(model.factor[0::2], model.factor[1::2])
    assert model(torch.zeros(500, N).double(), bare).mean() > 4


def test_starts_as_the_identity() -> None:
    given, noise = known(5), torch.randn(5, N).double()
    torch.testing.assert_close(SubsetGaussian(C, N, N, D).double()(noise, given), noise)
