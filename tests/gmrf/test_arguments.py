"""The extension's arguments, by name: what does not fit never reaches a kernel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

SIZES = (3, 2, 4)
ROWS, SIZE, COUPLING = 5, sum(SIZES), 26


@pytest.fixture(params=["__dlpack_c_exchange_api__", "as in older torch"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[..., int]]:
    """Call an operation with three rows of arguments that fit, some of them changed or (by `...`) left out.

    Tensors are looked at in both ways that there are.
    """
    from epurecli.gmrf.native.extension import ext, run

    def call(operation: str, **changes: object) -> int:
        fields = FITTING[operation]() | changes
        return run(operation, SIZES, ROWS, {name: value for name, value in fields.items() if value is not ...})

    ext.exchange_through(getattr(torch.Tensor, request.param, None))
    yield call
    ext.exchange_through(getattr(torch.Tensor, "__dlpack_c_exchange_api__", None))


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape) + 0.1


def assembly() -> dict[str, object]:
    variance, coupling = rand(ROWS, SIZE), rand(ROWS, COUPLING)
    return {"shrink": 0.9, "variance": variance, "coupling": coupling, "covariance": rand(ROWS, SIZE, SIZE)}


def evidence() -> dict[str, object]:
    fields = {name: rand(ROWS, SIZE) for name in ("centre", "precision", "noise", "mean", "sample")}
    mask = torch.ones(ROWS, len(SIZES), dtype=torch.bool)
    prior = {"prior_mean": rand(SIZE), "prior_tril": torch.eye(SIZE)}
    return fields | prior | {"mask": mask, "kept": None, "tril": None, "kl": rand(ROWS)}


def orders() -> dict[str, object]:
    order = torch.arange(SIZE).repeat(ROWS, 1)
    return {"matrix": torch.eye(SIZE), "order": order, "factor": rand(ROWS, SIZE, SIZE)}


def shared() -> dict[str, object]:
    fields = {name: rand(ROWS, SIZE) for name in ("observed", "noise", "centre", "sample")}
    mask = torch.tensor([[True, False, True]])
    groups = {"order": torch.arange(ROWS), "begin": torch.tensor([0, ROWS]).tolist()}
    return fields | groups | {"prior_mean": rand(SIZE), "factor": torch.eye(SIZE)[None], "mask": mask}


FITTING = {"assemble": assembly, "evidence": evidence, "factor_orders": orders, "condition_shared": shared}


@pytest.mark.parametrize("operation", FITTING)
def test_what_fits_runs(operation: str, run: Callable) -> None:
    assert run(operation) == -1


@pytest.mark.parametrize("operation", FITTING)
def test_each_argument_is_needed(operation: str, run: Callable) -> None:
    for name in FITTING[operation]():
        with pytest.raises(TypeError, match=f"^{operation}: {name}: this argument is missing"):
            run(operation, **{name: ...})


@pytest.mark.parametrize("operation", FITTING)
def test_another_name_is_refused(operation: str, run: Callable) -> None:
    with pytest.raises(TypeError, match=f"^{operation}: colour: no such argument; there are .*"):
        run(operation, colour=rand(ROWS))


@pytest.mark.parametrize("operation", FITTING)
def test_each_tensor_must_fit(operation: str, run: Callable) -> None:
    """Of another dtype, too small, too large, strided, or no tensor."""
    for name, tensor in FITTING[operation]().items():
        if not isinstance(tensor, Tensor):
            continue
        at = f"^{operation}: {re.escape(name)}: expected {tensor.numel()} contiguous numbers of torch.*on the CPU, got "
        other = torch.float64 if tensor.dtype != torch.float64 else torch.float32
        with pytest.raises(TypeError, match=at + "torch.float64|the first tensor"):
            run(operation, **{name: tensor.to(other)})
        with pytest.raises(ValueError, match=at + f"{tensor.numel() - 1}$"):
            run(operation, **{name: tensor.flatten()[1:].contiguous()})
        with pytest.raises(ValueError, match=at + f"{tensor.numel() + 1}$"):
            run(operation, **{name: torch.cat([tensor.flatten(), tensor.flatten()[:1]])})
        with pytest.raises(ValueError, match=at + "a strided tensor$"):
            run(operation, **{name: tensor[..., None].repeat(*[1] * tensor.dim(), 2)[..., 0]})
        with pytest.raises(TypeError, match=at + "int$"):
            run(operation, **{name: 1})
        with pytest.raises(ValueError, match=at + "a tensor on another device$"):
            run(operation, **{name: tensor.to("meta")})


def test_what_goes_together(run: Callable) -> None:
    with pytest.raises(TypeError, match="sample: expected beside noise"):
        run("condition_shared", sample=None)
    with pytest.raises(TypeError, match="noise: expected beside sample"):
        run("condition_shared", noise=None)


def test_places_lie_within_the_batch(run: Callable) -> None:
    with pytest.raises(ValueError, match=f"order: expected numbers from 0 to {ROWS - 1}, got {ROWS}"):
        run("condition_shared", order=torch.arange(1, ROWS + 1))
    with pytest.raises(ValueError, match="order: expected numbers from 0 to 8, got -1"):
        run("factor_orders", order=torch.full((ROWS, SIZE), -1))
    for begin in ([0, ROWS + 1], [1, ROWS], [0, ROWS, 2, ROWS], []):
        with pytest.raises(ValueError, match=f"begin: expected ascending numbers from 0 to {ROWS}"):
            run("condition_shared", begin=begin)


def test_operations_have_names() -> None:
    from epurecli.gmrf.native.extension import run

    with pytest.raises(TypeError, match="no operation is called paint"):
        run("paint", SIZES, ROWS, {})
    with pytest.raises(ValueError, match="sizes: expected positive numbers, got 0"):
        run("assemble", (3, 0), ROWS, assembly())
    with pytest.raises(ValueError, match="rows: expected 0 or more, got -1"):
        run("assemble", SIZES, -1, assembly())


def test_whatever_a_tensor_is_both_ways_see_the_same() -> None:
    """Addresses and all: a result lands in the very tensor, be it a view, of one row, a parameter with a gradient."""
    from epurecli.gmrf.native.extension import ext, run

    found = []
    for capsule in (getattr(torch.Tensor, "__dlpack_c_exchange_api__", None), None):
        ext.exchange_through(capsule)
        torch.manual_seed(0)
        fields = evidence()
        block = torch.zeros(3, ROWS, SIZE)
        fields["mean"] = block[1]
        fields["prior_mean"] = torch.nn.Parameter(fields["prior_mean"])
        fields["prior_tril"] = torch.eye(SIZE)[None].expand(1, SIZE, SIZE)
        assert run("evidence", SIZES, ROWS, fields) == -1
        assert not block[0].any()
        assert not block[2].any()
        found.append(block[1].clone())
    ext.exchange_through(getattr(torch.Tensor, "__dlpack_c_exchange_api__", None))
    assert found[0].abs().min() > 0
    assert torch.equal(*found)
