"""The custom ops: opcheck, torch.compile keeps them in one graph, and the choice of the body."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from epurecli.errors import NativeUnavailable, UsageError
from epurecli.gmrf import GaussianPrior, assemble_covariance, backend, combine_evidence, gaussian_elbo, reference

SIZES = (3, 2, 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype: torch.dtype, make: Callable, native: ModuleType) -> None:
    from epurecli.gmrf.native.assemble import op as assemble
    from epurecli.gmrf.native.elbo import op as elbo
    from epurecli.gmrf.native.evidence import op as evidence

    leaves = make(SIZES, 5, dtype).leaves(dtype)
    _, variance, coupling, *_ = leaves
    torch.library.opcheck(assemble, (variance, coupling, list(SIZES), 0.9))
    torch.library.opcheck(elbo, (*leaves, list(SIZES), 0.9))
    _, precision, _, noise, prior_mean, tril = (x.detach() for x in leaves)
    potentials = torch.randn_like(noise).requires_grad_(), precision.requires_grad_()
    mask = torch.tensor([[True, False, True]]).repeat(5, 1)
    for rest in ((noise, False), (noise, True), (None, True)):
        torch.library.opcheck(evidence, (prior_mean, tril, *potentials, mask, list(SIZES), *rest))


def test_compile_keeps_the_ops(make: Callable, native: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """One graph without a break, our ops in it, and eager's numbers out of it, backward included."""
    monkeypatch.setenv(backend.VARIABLE, "native")
    seen: list[str] = []

    def watch(graph: torch.fx.GraphModule, _: list) -> Callable:
        seen.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return graph.forward

    def step(*leaves: torch.Tensor) -> torch.Tensor:
        mean, variance, coupling, noise, prior_mean, tril = leaves
        covariance = assemble_covariance(variance, coupling, SIZES)
        prior = GaussianPrior(prior_mean, tril)
        sample, kl = gaussian_elbo(mean, variance, coupling, noise, prior, SIZES)
        fixed = GaussianPrior(prior_mean.detach(), tril.detach())
        found = combine_evidence(fixed, mean, variance, mask, SIZES, noise, with_scale_tril=True)
        spread = found.sample.square().sum() + found.scale_tril.square().sum() + found.kl.sum()
        return kl.sum() + sample.square().sum() + covariance.square().sum() + spread

    mask = torch.tensor([[True, False, True], [True, True, True], [False] * 3, [False, True, False], [True] * 3])
    leaves = make(SIZES, 5).leaves(torch.float64)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    truth = torch.autograd.grad(step(*leaves), wanted)
    found = torch.autograd.grad(torch.compile(step, backend=watch, fullgraph=True)(*leaves), wanted)
    for a, b in zip(found, truth, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert any("gaussian_elbo" in name for name in seen), seen
    assert any("assemble_covariance" in name for name in seen), seen
    assert any("combine_evidence" in name for name in seen), seen


def test_reference_on_request(monkeypatch: pytest.MonkeyPatch, native: ModuleType) -> None:
    like = torch.zeros(1)
    monkeypatch.delenv(backend.VARIABLE, raising=False)
    assert backend.body(like) is native
    monkeypatch.setenv(backend.VARIABLE, "reference")
    assert backend.body(like) is reference
    assert backend.active() == ("reference", "EPURE_BACKEND=reference")


def test_native_asked_for_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "native", None)
    monkeypatch.setattr(backend, "MISSING", "No module named '_epure_native'")
    assert backend.active()[0] == "reference"
    monkeypatch.setenv(backend.VARIABLE, "native")
    with pytest.raises(NativeUnavailable, match="not built"):
        backend.body(torch.zeros(1))


def test_native_asked_for_on_another_device(monkeypatch: pytest.MonkeyPatch, native: ModuleType) -> None:
    monkeypatch.setenv(backend.VARIABLE, "native")
    with pytest.raises(NativeUnavailable, match="without meta"):
        backend.body(torch.zeros(1, device="meta"))


def test_a_misspelt_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(backend.VARIABLE, "nativ")
    with pytest.raises(UsageError, match="auto, reference, native"):
        backend.body(torch.zeros(1))


def test_doctor_line(native: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(backend.VARIABLE, raising=False)
    name, why = backend.active()
    assert name == "native"
    assert "instructions" in why
    assert "threads" in why
