"""Properties of the assembly, and the Cholesky's policy."""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from epurecli.errors import NotPositiveDefinite
from epurecli.gmrf import JitterWarning, backend, cholesky, coupling_size, reference
from epurecli.gmrf.masks import spread_mask


@st.composite
def packed(draw: st.DrawFn) -> tuple[tuple[int, ...], torch.Tensor, torch.Tensor]:
    """Sizes, and any finite numbers: variance >= 1e-6, coupling of any size and sign."""
    sizes = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=5)))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    wide = 1e30 if dtype is np.float32 else 1e100
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, high = -6.0, draw(st.floats(-5.0, np.log10(wide)))
    variance = 10 ** rng.uniform(low, min(high, 6.0), (2, sum(sizes)))
    coupling = 10 ** rng.uniform(-30, high, (2, coupling_size(sizes))) * rng.choice(
        [-1, 0, 1], (2, coupling_size(sizes))
    )
    return sizes, torch.from_numpy(variance.astype(dtype)), torch.from_numpy(coupling.astype(dtype))


@pytest.mark.parametrize("name", ["reference", "native"])
@settings(deadline=None, max_examples=150)
@given(case=packed())
def test_positive_definite_for_any_finite_input(name: str, case: tuple) -> None:
    sizes, variance, coupling = case
    body = reference if name == "reference" else backend.native
    covariance, bad = body.assemble(variance, coupling, sizes, 0.9)
    assert bad == -1
    assert torch.equal(covariance, covariance.mT)
    # scaled to unit diagonal: a variance of 1e-6 beside one of 1e6 is no near-singularity
    root = covariance.double().diagonal(dim1=1, dim2=2).sqrt()
    correlation = covariance.double() / root.unsqueeze(1) / root.unsqueeze(2)
    assert float(torch.linalg.eigvalsh(correlation).min()) > 0.05
    component = torch.tensor([c for c, size in enumerate(sizes) for _ in range(size)])
    within = (component.unsqueeze(0) == component.unsqueeze(1)) & ~torch.eye(len(component), dtype=torch.bool)
    assert (covariance[:, within] == 0).all()
    assert torch.equal(covariance.diagonal(dim1=1, dim2=2), variance)


def test_the_plan_formula(chosen: ModuleType) -> None:
    """Entry by entry, from a coupling unpacked by hand in the documented order."""
    sizes, rng = (2, 1, 3), torch.Generator().manual_seed(0)
    variance = torch.rand(4, 6, generator=rng, dtype=torch.float64) + 0.1
    coupling = torch.randn(4, coupling_size(sizes), generator=rng, dtype=torch.float64)
    matrix = torch.zeros(4, 6, 6, dtype=torch.float64)
    matrix[:, 2:3, :2] = coupling[:, :2].view(4, 1, 2)
    matrix[:, 3:6, :3] = coupling[:, 2:].view(4, 3, 3)
    matrix = matrix + matrix.mT
    s = matrix.abs().sum(2)
    alpha = torch.minimum(torch.ones_like(variance), 0.9 * variance / (s + 1e-8))
    truth = torch.diag_embed(variance) + matrix * (alpha.unsqueeze(2) * alpha.unsqueeze(1)).sqrt()
    found, _ = chosen.assemble(variance, coupling, sizes, 0.9)
    torch.testing.assert_close(found, truth, rtol=1e-12, atol=1e-12)


def test_spread_mask() -> None:
    spread = spread_mask(torch.tensor([[True, False, True]]), (2, 1, 3))
    assert spread.tolist() == [[True, True, False, True, True, True]]


def test_cholesky_is_silent_where_it_can_be() -> None:
    matrix = torch.eye(3, dtype=torch.float64).expand(2, -1, -1) * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(cholesky(matrix), matrix / 2)


def test_cholesky_adds_jitter_to_the_failing_matrix_only_and_says_so() -> None:
    fine = torch.diag(torch.tensor([1.0, 2.0]))
    singular = torch.tensor([[1.0, 1.0], [1.0, 1.0 - 1e-7]])
    with pytest.warns(JitterWarning, match="1 of 2 matrices"):
        factor = cholesky(torch.stack([fine, singular]))
    assert torch.equal(factor[0], fine.sqrt())
    torch.testing.assert_close(factor[1] @ factor[1].mT, singular, rtol=0, atol=2e-4)


@pytest.mark.parametrize("fault", [-torch.eye(2), torch.full((2, 2), float("nan"))], ids=["negative", "nan"])
def test_cholesky_ends_by_naming_the_row(fault: torch.Tensor) -> None:
    with pytest.raises(NotPositiveDefinite, match=r"row \[1\]"):
        cholesky(torch.stack([torch.eye(2), fault]))
