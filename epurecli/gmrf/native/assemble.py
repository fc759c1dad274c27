"""Covariances from their packed form: calls, autograd function and custom op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from epurecli.gmrf import reference
from epurecli.gmrf.native.extension import contiguous, launch, run


def forward(variance: Tensor, coupling: Tensor, sizes: Sequence[int], shrink: float) -> tuple[Tensor, int]:
    """-> covariance (B, N, N), first bad row or -1"""
    variance, coupling = contiguous(variance, coupling)
    rows, size = variance.shape
    covariance = variance.new_empty(rows, size, size)
    fields = {"shrink": shrink, "variance": variance, "coupling": coupling, "covariance": covariance}
    if not variance.is_cuda:
        return covariance, run("assemble", sizes, rows, fields)
    launch("assemble", sizes, variance, fields, scratch=False)
    fine = (torch.isfinite(variance) & (variance > 0)).all(1) & torch.isfinite(coupling).all(1)
    return covariance, reference.first_row(~fine)


def backward(
    variance: Tensor, coupling: Tensor, dcovariance: Tensor, sizes: Sequence[int], shrink: float
) -> tuple[Tensor, Tensor]:
    """-> gradients of variance (B, N) and coupling (B, K); on a GPU by the twin"""
    if variance.is_cuda:
        with torch.enable_grad():
            inputs = variance.detach().requires_grad_(), coupling.detach().requires_grad_()
            covariance = reference.covariance(*inputs, tuple(sizes), shrink)
            return torch.autograd.grad(covariance, inputs, dcovariance)
    variance, coupling, dcovariance = contiguous(variance, coupling, dcovariance)
    dvariance, dcoupling = torch.empty_like(variance), torch.empty_like(coupling)
    fields = {
        "shrink": shrink,
        "variance": variance,
        "coupling": coupling,
        "dcovariance": dcovariance,
        "dvariance": dvariance,
        "dcoupling": dcoupling,
    }
    run("assemble_backward", sizes, len(variance), fields)
    return dvariance, dcoupling


class _Assemble(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, variance: Tensor, coupling: Tensor, sizes: tuple[int, ...], shrink: float) -> Any:
        ctx.save_for_backward(variance, coupling)
        ctx.layout = sizes, shrink
        return forward(variance, coupling, sizes, shrink)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dcovariance: Tensor, _: None) -> tuple[Tensor | None, ...]:
        return *backward(*ctx.saved_tensors, dcovariance, *ctx.layout), None, None


@torch.library.custom_op("epure::assemble_covariance", mutates_args=())
def op(variance: Tensor, coupling: Tensor, sizes: Sequence[int], shrink: float) -> Tensor:
    """-> covariance (B, N, N)"""
    return forward(variance, coupling, sizes, shrink)[0]


op_backward = torch.library.custom_op("epure::assemble_covariance_backward", backward, mutates_args=())


@op.register_fake
def _(variance: Tensor, *_: Any) -> Tensor:
    rows, size = variance.shape
    return variance.new_empty(rows, size, size)


@op_backward.register_fake
def _(variance: Tensor, coupling: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return variance.new_empty(variance.shape), coupling.new_empty(coupling.shape)


def _keep(ctx: Any, inputs: tuple, output: Tensor) -> None:
    variance, coupling, *ctx.layout = inputs
    ctx.save_for_backward(variance, coupling)


def _differentiate(ctx: Any, dcovariance: Tensor) -> tuple[Tensor | None, ...]:
    return *op_backward(*ctx.saved_tensors, dcovariance, *ctx.layout), None, None


op.register_autograd(_differentiate, setup_context=_keep)


def assemble(variance: Tensor, coupling: Tensor, sizes: tuple[int, ...], shrink: float) -> tuple[Tensor, int]:
    """See `reference.assemble`. Differentiable once."""
    if torch.compiler.is_compiling():
        return op(variance, coupling, sizes, shrink), -1
    return _Assemble.apply(variance, coupling, sizes, shrink)
