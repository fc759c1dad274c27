"""Solvers and paths against laws that are known: a Gaussian's endpoint is a formula, and so is where noise leads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from epurecli.nn.paths import Cosine, Linear, Path, Sigmoid, endpoint, even_times, mixed, velocity
from epurecli.nn.solvers import COLUMNS, advance, ancestral, euler, heun, multistep

PATHS = [Linear(), Cosine(), Sigmoid()]
MEAN, SPREAD = 0.3, 0.2

paths = pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)


def expected(path: Path, state: Tensor, time: Tensor) -> Tensor:
    """E[x | x_t] of x normal with MEAN and SPREAD."""
    a, s = path.signal(time), path.noise(time)
    gain = a * SPREAD**2 / (a.square() * SPREAD**2 + s.square())
    return MEAN + gain * (state - a * MEAN)


def drawn(rows: Tensor, path: Path, noise: Tensor, fresh: Callable[[], Tensor] | None = None) -> Tensor:
    state, before, held = noise, torch.zeros_like(noise), noise
    for row in rows:
        design = expected(path, state, row[0])
        state, before, held = advance(state, design, before, held, row, fresh() if fresh else None)
    return state


def even_levels(path: Path, steps: int) -> Tensor:
    """Times at even steps of the log signal-to-noise ratio, as the solvers' orders are defined."""
    return path.time_of(torch.linspace(-6, 8, steps + 1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("path", "solver", "order"),
    [*((p, euler, 1) for p in PATHS), *((p, multistep, 2) for p in PATHS), (Linear(), heun, 2)],
    ids=lambda v: getattr(v, "__name__", str(v).split("(")[0]),
)
def test_order_of_convergence(path: Path, solver: Callable, order: int) -> None:
    """The flow carries each quantile to the same quantile. Twice the steps: 2^order times less error."""
    start, stop = even_levels(path, 1)
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)

    def quantiles(time: Tensor) -> Tensor:
        a, s = path.signal(time), path.noise(time)
        return a * MEAN + (a.square() * SPREAD**2 + s.square()).sqrt() * z

    found = [drawn(solver(path, partial(even_levels, path), n), path, quantiles(start)) for n in (81, 161, 321)]
    errors = [(x - quantiles(stop)).abs().max().item() for x in found]
    for coarse, fine in pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.1)
    assert errors[-1] < 0.02 / 10 ** (order - 1)


@pytest.mark.parametrize("path", PATHS[1:], ids=lambda p: type(p).__name__)
def test_ancestral_draws_have_the_law(path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(20_000, generator=rng, dtype=torch.float64)
    fresh = partial(torch.randn, 20_000, generator=rng, dtype=torch.float64)
    found = drawn(ancestral(path, partial(even_times, shift=1.0), 1000), path, noise, fresh)
    assert found.mean().item() == pytest.approx(MEAN, abs=6e-3)
    assert found.std().item() == pytest.approx(SPREAD, rel=0.03)


@paths
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 20])
@pytest.mark.parametrize("solver", [euler, multistep, heun])
def test_each_row_is_an_evaluation_and_the_last_lands_on_an_endpoint(path: Path, steps: int, solver: Callable) -> None:
    rows = solver(path, partial(even_times, shift=3.0), steps)
    assert rows.shape == (steps, len(COLUMNS))
    assert torch.isfinite(rows).all()
    assert rows[0, 0] == 1
    if solver is not heun:
        assert rows[-1, 1:].tolist() == pytest.approx([0, 1, 0, 0, 0, 0], abs=1e-12)


@paths
def test_paths_end_at_the_design_and_at_noise(path: Path) -> None:
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert path.signal(ends).tolist() == pytest.approx([1, 0], abs=1e-12)
    assert path.noise(ends).tolist() == pytest.approx([0, 1], abs=1e-12)


@paths
def test_the_signal_to_noise_ratio_and_its_time(path: Path) -> None:
    time = torch.linspace(0.02, 0.98, 49, dtype=torch.float64)
    level = 2 * torch.log(path.signal(time) / path.noise(time))
    assert (level.diff() < 0).all()
    torch.testing.assert_close(path.time_of(level), time)


@paths
def test_state_and_direction_give_the_endpoint_back(path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    design, noise = torch.randn(2, 7, 3, 4, 4, generator=rng, dtype=torch.float64)
    time = torch.linspace(0, 1, 7, dtype=torch.float64)
    state = mixed(path, design, noise, time)
    torch.testing.assert_close(endpoint(path, state, velocity(path, design, noise, time), time), design)


@paths
def test_the_direction_is_the_derivative(path: Path) -> None:
    """Up to a factor that is the same for all pixels."""
    design, noise = torch.tensor([[0.3, -1.0]], dtype=torch.float64), torch.tensor([[0.8, 0.1]], dtype=torch.float64)
    time = torch.tensor([0.4], dtype=torch.float64)
    slope = (mixed(path, design, noise, time + 1e-6) - mixed(path, design, noise, time - 1e-6)) / 2e-6
    ratio = slope / velocity(path, design, noise, time)
    assert ratio[0, 0].item() == pytest.approx(ratio[0, 1].item(), rel=1e-6)
    assert ratio[0, 0] > 0
