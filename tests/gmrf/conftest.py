"""Random problems, and the two bodies that must agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import pytest
import torch
from torch import Tensor

from epurecli.gmrf import GaussianPrior, backend, coupling_size, reference


@dataclass(frozen=True)
class Problem:
    """Inputs of every operation, of one dtype."""

    sizes: tuple[int, ...]
    mean: Tensor
    variance: Tensor
    coupling: Tensor
    noise: Tensor
    observed: Tensor
    prior: GaussianPrior
    rng: torch.Generator

    def leaves(self, dtype: torch.dtype) -> list[Tensor]:
        """Copies of mean, variance, coupling, noise, prior mean, prior scale_tril that want gradients, noise apart."""
        tensors = (self.mean, self.variance, self.coupling, self.noise, self.prior.mean, self.prior.scale_tril)
        return [x.detach().to(dtype).clone().requires_grad_(x is not self.noise) for x in tensors]

    def mask(self) -> Tensor:
        """A random mask that observes and misses something in each row."""
        rows, components = len(self.mean), len(self.sizes)
        mask = torch.rand(rows, components, generator=self.rng) < 0.5
        mask[:, 0], mask[:, -1] = True, False
        turn = torch.rand(rows, components, generator=self.rng).argsort(1)
        return mask.gather(1, turn)


@pytest.fixture(scope="session")
def make() -> Callable[..., Problem]:
    """Make a problem: make(sizes, rows, dtype, scale=...)."""

    def build(
        sizes: tuple[int, ...], rows: int, dtype: torch.dtype = torch.float64, scale: float = 1.0, seed: int = 0
    ) -> Problem:
        rng, size = torch.Generator().manual_seed(seed), sum(sizes)
        draw = lambda *shape: torch.randn(*shape, dtype=dtype, generator=rng)  # noqa: E731
        tril = torch.tril(0.3 * draw(size, size) / size**0.5, -1) + torch.diag(draw(size).abs() + 0.3)
        return Problem(
            sizes=sizes,
            mean=draw(rows, size),
            variance=scale * (draw(rows, size).abs() + 0.05),
            coupling=scale * draw(rows, coupling_size(sizes)),
            noise=draw(rows, size),
            observed=draw(rows, size),
            prior=GaussianPrior(draw(size), tril),
            rng=rng,
        )

    return build


@pytest.fixture(scope="session")
def native() -> ModuleType:
    """The native body. Its tests fail where it is not built: this project's extension is not an extra."""
    if backend.native is None:
        pytest.fail(f"the extension is not built ({backend.MISSING}): python setup.py build_ext --inplace")
    return backend.native


@pytest.fixture(params=["reference", "native"])
def chosen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Run the test on either body, chosen as a user chooses it."""
    monkeypatch.setenv(backend.VARIABLE, request.param)
    return reference if request.param == "reference" else request.getfixturevalue("native")
