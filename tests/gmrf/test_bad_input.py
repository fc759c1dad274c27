"""What does not fit is a Python error that names the argument and the row; the interpreter survives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest
import torch

from epurecli.errors import EpureError, NotPositiveDefinite, NumericalError
from epurecli.gmrf import (
    CoupledGaussian,
    GaussianPrior,
    assemble_covariance,
    combine_evidence,
    condition_gaussian,
    coupling_size,
    gaussian_elbo,
)

SIZES = (3, 2, 4)
FIELDS = ["mean", "variance", "coupling", "noise"]


def run(problem, **changes: object) -> object:
    """gaussian_elbo with some arguments replaced."""
    prior = changes.pop("prior", problem.prior)
    arguments = {name: getattr(problem, name) for name in FIELDS} | changes
    return gaussian_elbo(*arguments.values(), prior, problem.sizes)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda x: x[:, :-1], ValueError),
        (lambda x: x[:-1], ValueError),
        (lambda x: x.unsqueeze(0), ValueError),
        (lambda x: x.float(), TypeError),
        (lambda x: x.half(), TypeError),
        (lambda x: x.long(), TypeError),
        (lambda x: x.to("meta"), ValueError),
        (lambda x: x.numpy(), TypeError),
    ],
    ids=["columns", "rows", "ndim", "dtype", "half", "long", "device", "numpy"],
)
def test_elbo_shape_dtype_device(name: str, change: Callable, error: type, make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, 5)
    # the first argument sets dtype and device, so that another argument is named for not being like it
    blamed = name if name != "mean" else "mean|variance|coupling"
    with pytest.raises(error, match=rf"({blamed}): expected"):
        run(problem, **{name: change(getattr(problem, name))})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", FIELDS)
def test_elbo_not_finite(name: str, value: float, make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, 9)
    getattr(problem, name)[7, 2] = value
    with pytest.raises(NumericalError, match=rf"{name}: expected finite.*7"):
        run(problem)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_elbo_variance_not_positive(value: float, make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, 9)
    problem.variance[8, 1] = value
    with pytest.raises(NumericalError, match=r"variance: expected finite positive.*row 8, column 1"):
        run(problem)
    with pytest.raises(NumericalError, match=r"variance: expected finite positive.*row 8, column 1"):
        assemble_covariance(problem.variance, problem.coupling, SIZES)


def test_elbo_prior(make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, 5)
    with pytest.raises(ValueError, match=r"prior.mean: expected shape \(9,\)"):
        run(problem, prior=replace(problem.prior, mean=problem.prior.mean[:-1]))
    with pytest.raises(TypeError, match=r"prior\.scale_tril"):
        run(problem, prior=replace(problem.prior, scale_tril=problem.prior.scale_tril.float()))
    broken = problem.prior.scale_tril.clone()
    broken[4, 4] = float("nan")
    with pytest.raises(NumericalError, match="prior_scale_tril"):
        run(problem, prior=replace(problem.prior, scale_tril=broken))


@pytest.mark.parametrize("sizes", [(), (0, 9), (3, -2), (3, 2.0, 4)])
def test_sizes(sizes: tuple, make: Callable) -> None:
    with pytest.raises(ValueError, match="sizes"):
        coupling_size(sizes)


@pytest.mark.parametrize("shrink", [0.0, 1.0, -1.0, float("nan")])
def test_shrink(shrink: float, make: Callable) -> None:
    problem = make(SIZES, 2)
    with pytest.raises(ValueError, match="shrink"):
        assemble_covariance(problem.variance, problem.coupling, SIZES, shrink)


@pytest.mark.parametrize(("fill", "words"), [(False, "no component"), (True, "every component")])
def test_empty_and_full_masks(fill: bool, words: str, make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, 6)
    mask = problem.mask()
    mask[4] = fill
    for joint in (problem.prior, CoupledGaussian(problem.mean, problem.variance, problem.coupling)):
        with pytest.raises(ValueError, match=f"row 4 observes {words}"):
            condition_gaussian(joint, problem.observed, mask, SIZES)


def test_masks_of_the_wrong_kind(make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, 6)
    for mask, error in ((problem.mask().float(), TypeError), (problem.mask()[:, :2], ValueError)):
        with pytest.raises(error, match="mask"):
            condition_gaussian(problem.prior, problem.observed, mask, SIZES)
        with pytest.raises(error, match="mask"):
            combine_evidence(problem.prior, problem.observed, problem.variance, mask, SIZES)


def test_conditioning_values(make: Callable, chosen: ModuleType) -> None:
    problem, mask = make(SIZES, 6), torch.tensor([[True, False, True]]).expand(6, -1)
    covariance = torch.eye(9, dtype=torch.float64).repeat(6, 1, 1)
    covariance[3, 0, 0] = -1.0
    with pytest.raises(NotPositiveDefinite, match="row 3"):
        condition_gaussian((problem.mean, covariance), problem.observed, mask, SIZES)
    problem.variance[2, 5] = -1.0
    joint = CoupledGaussian(problem.mean, problem.variance, problem.coupling)
    with pytest.raises(EpureError, match=r"row 2"):
        condition_gaussian(joint, problem.observed, mask, SIZES)
    problem.observed[5, 0] = float("nan")
    with pytest.raises(NumericalError, match="observed"):
        condition_gaussian(problem.prior, problem.observed, mask, SIZES)
    problem.observed[5, 0] = 1e308  # what follows from it is beyond the largest number
    far = GaussianPrior(problem.prior.mean, problem.prior.scale_tril * torch.tensor([1e-3, *[1.0] * 8]).unsqueeze(0))
    for joint in (far, (problem.mean, far.covariance.expand(6, -1, -1))):
        with pytest.raises(EpureError, match="row 5"):
            condition_gaussian(joint, problem.observed, mask, SIZES)
    with pytest.raises(TypeError, match="joint"):
        condition_gaussian(problem.mean, problem.observed, mask, SIZES)


def test_evidence_values(make: Callable, chosen: ModuleType) -> None:
    problem, mask = make(SIZES, 6), torch.tensor([[True, False, True]]).expand(6, -1)
    problem.variance[1, 8] = -0.5
    with pytest.raises(ValueError, match=r"evidence_precision.*row 1"):
        combine_evidence(problem.prior, problem.observed, problem.variance, mask, SIZES)
    problem.variance[1, 8] = float("nan")
    with pytest.raises(NumericalError, match="evidence_precision"):
        combine_evidence(problem.prior, problem.observed, problem.variance, mask, SIZES)


def test_mean_of_another_device_is_named(make: Callable, chosen: ModuleType) -> None:
    problem = make(SIZES, 2)
    with pytest.raises(ValueError, match="variance: expected device meta"):
        run(problem, mean=problem.mean.to("meta"))


def test_joint_without_prior() -> None:
    prior = GaussianPrior(torch.zeros(2), -torch.eye(2))
    with pytest.raises(ValueError, match="observed"):
        condition_gaussian(prior, torch.zeros(1, 3), torch.ones(1, 2, dtype=torch.bool), (1, 1))
