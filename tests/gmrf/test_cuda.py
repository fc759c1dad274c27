"""The CUDA body against the twin; needs a GPU and a build with EPURE_NATIVE=cuda."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from epurecli.gmrf import CoupledGaussian, assemble_covariance, condition_gaussian, reference

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU"),
]
LAYOUTS = [(1, 1), (3, 2, 4), (16,) * 5, (7, 5, 6, 3), (40, 60, 100)]


@pytest.mark.parametrize("rows", [0, 1, 7, 1500])
@pytest.mark.parametrize("sizes", LAYOUTS, ids=str)
def test_elbo(sizes: tuple[int, ...], rows: int, make: Callable, native: ModuleType) -> None:
    assert "cuda" in native.DEVICES, "built without CUDA: EPURE_NATIVE=cuda pip install ."
    leaves = [x.detach().cuda().requires_grad_(x.requires_grad) for x in make(sizes, rows).leaves(torch.float64)]
    wanted = [x for x in leaves if x.requires_grad]
    results = []
    for body in (native, reference):
        sample, kl, bad = body.elbo(*leaves, sizes, 0.9)
        assert bad == -1
        gradients = torch.autograd.grad(sample.square().sum() + kl.sum(), wanted)
        results.append([sample, kl, *gradients[:-1], gradients[-1].tril()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sizes", LAYOUTS[1:], ids=str)
def test_assembly_and_conditioning(
    sizes: tuple[int, ...], make: Callable, native: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make(sizes, 40)
    mask = problem.mask()
    results = []
    for name in ("native", "reference"):
        monkeypatch.setenv("EPURE_BACKEND", name)
        mean, variance, coupling, noise, observed = (
            x.cuda() for x in (problem.mean, problem.variance, problem.coupling, problem.noise, problem.observed)
        )
        covariance = assemble_covariance(variance, coupling, sizes)
        results.append([covariance])
        for joint in (CoupledGaussian(mean, variance, coupling), (mean, covariance)):
            found = condition_gaussian(joint, observed, mask.cuda(), sizes, noise, with_scale_tril=True)
            results[-1] += [found.mean, found.sample, found.scale_tril]
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rows", [0, 1, 7, 1500])
@pytest.mark.parametrize("sizes", LAYOUTS, ids=str)
def test_evidence(sizes: tuple[int, ...], rows: int, make: Callable, native: ModuleType) -> None:
    problem = make(sizes, rows)
    mask = problem.mask().cuda()
    results = []
    for body in (native, reference):
        prior = [x.cuda() for x in (problem.prior.mean, problem.prior.scale_tril)]
        wanted = [x.cuda().requires_grad_() for x in (problem.observed, problem.variance)]
        noise = problem.noise.cuda()
        mean, sample, kl, tril, bad = body.evidence(*prior, *wanted, mask, sizes, noise, True)
        assert bad == -1
        loss = sample.square().sum() + mean.sin().sum() + kl.sum() + tril.square().sum()
        results.append([mean, sample, kl, tril, *torch.autograd.grad(loss, wanted)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    with torch.no_grad():  # without a buffer for the reverse pass
        alone = native.evidence(*prior, *wanted, mask, sizes, None, False)
    torch.testing.assert_close(alone[0], results[0][0], rtol=1e-12, atol=1e-12)
