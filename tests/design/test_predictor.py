"""The predictor against the formulas of the toy tyres, which it cannot see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from epurecli.data import toy
from epurecli.design.ensemble import MEMBERS, fit_ridge, folds_of, out_of_fold
from epurecli.design.predictor import FEWEST, Predictor, fit_predictor, load_predictor, save_predictor
from epurecli.errors import CheckpointError, UsageError


@pytest.fixture(scope="module")
def predictor(tyres) -> Predictor:
    images, values = tyres
    return fit_predictor(images, values, toy.COLUMNS, toy.COMPONENTS)


@pytest.fixture(scope="module")
def others(figures):
    images, _ = toy.draw(4, 0, 500)
    return images, figures(images)


@pytest.mark.slow
def test_figures_of_designs_that_it_has_not_seen(predictor: Predictor, others, tyres) -> None:
    images, values = others
    told = predictor(images)
    miss = np.abs(told.value - values).mean(0) / tyres[1].std(0)
    assert miss.max() < 0.05, dict(zip(toy.COLUMNS, miss, strict=True))
    assert np.abs(told.value - values)[:, :2].max() == 0  # sizes are measured
    cover = ((told.low - 1e-9 <= values) & (values <= told.high + 1e-9))[:, 2:].mean(0)
    assert (cover > 0.8).all(), cover
    assert (cover < 0.99).all(), cover
    spread = np.array(predictor.deviation)
    expected = np.array(predictor.error)[2:] / spread[2:]
    assert (miss[2:] < 2 * expected).all()  # what cross-validation promised
    assert (expected < 2 * miss[2:] + 0.01).all()


def test_a_member_is_judged_on_what_it_has_not_seen(tyres) -> None:
    """With noise for values, the error out of fold is that of the mean, where the fit's own would be smaller."""
    generator = torch.Generator().manual_seed(0)
    inputs, noise = torch.randn(100, 40, generator=generator), torch.randn(100, 1, generator=generator)
    folds = folds_of(100, 0)
    assert sorted(torch.bincount(folds).tolist()) == [100 // MEMBERS] * MEMBERS
    fitted = fit_ridge(inputs, noise, folds)
    honest = (out_of_fold(fitted, inputs, folds) - noise).square().mean()
    own = (fitted(inputs).mean(0) - noise).square().mean()
    assert honest > 1.0 > own


def test_ridge_is_the_solution_of_its_normal_equations(tyres) -> None:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(60, 3, generator=generator)
    values = inputs @ torch.tensor([[1.0], [-2.0], [0.5]]) + 3
    values[:10] = torch.nan  # designs without a value count for nothing
    fitted = fit_ridge(inputs, values, folds_of(60, 0))
    torch.testing.assert_close(fitted(inputs)[:, 10:], values[10:].expand(MEMBERS, -1, -1), atol=0.02, rtol=0)


@pytest.mark.slow
def test_few_or_constant_figures_are_left_out_or_refused(tyres) -> None:
    images, values = tyres
    few = values[:200].copy()
    few[FEWEST - 1 :, 3] = np.nan
    few[:, 4] = 1.0
    fitted = fit_predictor(images[:200], few, toy.COLUMNS, toy.COMPONENTS)
    assert fitted.columns == ("width_px", "height_px", "d_cons", "d_stab")
    with pytest.raises(UsageError, match=rf"{FEWEST - 1} designs .* at least {FEWEST}"):
        fit_predictor(images[: FEWEST - 1], values[: FEWEST - 1], toy.COLUMNS, toy.COMPONENTS)


@pytest.mark.slow
def test_a_file_holds_all_of_it(predictor: Predictor, others, tmp_path: Path) -> None:
    path = tmp_path / "predictor.safetensors"
    save_predictor(path, predictor, "of these")
    again = load_predictor(path, "of these")
    assert again is not None
    for own, other in zip(
        (predictor(others[0]).value, predictor(others[0]).low),
        (again(others[0]).value, again(others[0]).low),
        strict=True,
    ):
        np.testing.assert_array_equal(own, other)
    assert load_predictor(path, "of others") is None
    assert load_predictor(tmp_path / "nothing", "of these") is None
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="checksum"):
        load_predictor(path, "of these")


@pytest.mark.slow
def test_gradients_reach_the_image(predictor: Predictor) -> None:
    soft = torch.rand(1, 5, 64, 32, generator=torch.Generator().manual_seed(0)).mul(0.2).requires_grad_()
    mean, _ = predictor.standardised(soft)
    (slope,) = torch.autograd.grad(mean[0, toy.COLUMNS.index("d_cons")], soft)
    assert (slope.abs().amax((2, 3)) > 0).all()  # mass is a sum over all parts
