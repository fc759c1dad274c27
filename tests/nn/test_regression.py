"""The closed-form part of the latent prior, against the formulas of a joint Gaussian and least squares by numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from epurecli.nn import regression
from epurecli.nn.regression import LinearGaussian
from epurecli.nn.step import Step

N, D, ROWS = 4, 2, 3000
ALONE = Step(torch.Generator())


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Latents that bend with the condition and are nearly determined by it in one direction."""
    rng = torch.Generator().manual_seed(0)
    condition = torch.randn(ROWS, D, generator=rng, dtype=torch.float64)
    noise = torch.randn(ROWS, N, generator=rng, dtype=torch.float64)
    noise[:, 0] *= 0.05
    a, b = condition.T
    mean = torch.stack([a, a * b, b.square(), 1 + b - a], 1)
    return mean + noise @ torch.randn(N, N, generator=rng, dtype=torch.float64), condition


@pytest.fixture
def fitted(data, monkeypatch) -> LinearGaussian:
    monkeypatch.setattr(regression, "BELIEVED", 0)
    model = LinearGaussian(N, D).double()
    for z, condition in zip(*(x.split(1000) for x in data), strict=True):
        model.update(z, condition, ALONE)
    return model


@pytest.mark.parametrize("present", [0.0, 1.0])
def test_is_the_least_squares_fit(data, fitted, present: float) -> None:
    z, condition = (x.numpy() for x in data)
    a, b = condition.T
    columns = [np.ones(ROWS)] + ([a, b, a * a, a * b, b * b] if present else [])
    design = np.stack(columns, 1)
    weights = np.linalg.lstsq(design, z, rcond=None)[0]
    rest = z - design @ weights
    flag = torch.full((ROWS, 1), present).double()
    nothing = torch.zeros(ROWS, N, dtype=torch.float64)
    np.testing.assert_allclose(fitted(nothing, data[1], flag).numpy(), design @ weights, atol=1e-8)
    factor = fitted.factors[int(present)].numpy()
    np.testing.assert_allclose(factor @ factor.T, rest.T @ rest / ROWS, atol=1e-8)
    noise, log_det = fitted.inverse(data[0], data[1], flag)
    np.testing.assert_allclose((noise.mT @ noise / ROWS).numpy(), np.eye(N), atol=1e-8)
    np.testing.assert_allclose(log_det.numpy(), -0.5 * np.linalg.slogdet(rest.T @ rest / ROWS)[1])


def test_rows_choose_for_themselves(data, fitted) -> None:
    z, condition = (x[:6] for x in data)
    flag = torch.tensor([[1.0], [0.0]]).double().repeat(3, 1)
    noise, log_det = fitted.inverse(z, condition, flag)
    torch.testing.assert_close(fitted(noise, condition, flag), z)
    for row in range(6):
        alone = fitted.inverse(z[row : row + 1], condition[row : row + 1], flag[row : row + 1])
        torch.testing.assert_close((noise[row], log_det[row]), (alone[0][0], alone[1][0]))


def test_few_designs_leave_it_regular() -> None:
    """Three designs in ten dimensions: no factor is singular, whatever they are."""
    model = LinearGaussian(10, D)
    model.update(torch.ones(3, 10), torch.ones(3, D), ALONE)
    assert (model.factors.diagonal(dim1=-2, dim2=-1) > 0.5).all()


def test_without_condition_columns() -> None:
    model = LinearGaussian(3, 0)
    model.update(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) + 5, torch.zeros(500, 0), ALONE)
    torch.testing.assert_close(model.factors[0], model.factors[1])
    assert model(torch.zeros(1, 3), torch.zeros(1, 0), torch.ones(1, 1)).min() > 4


def test_starts_as_the_identity() -> None:
    noise = torch.randn(5, N)
    torch.testing.assert_close(LinearGaussian(N, D)(noise, torch.randn(5, D), torch.ones(5, 1)), noise)
