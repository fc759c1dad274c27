"""The native bodies of `reference`'s functions: same names, arguments and results.

Eagerly an operation is an `autograd.Function` around the extension, the shortest way there is; under `torch.compile` it
is the custom op of `_native_ops`, which the compiler can trace. Both call `_native_calls`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from epurecli.gmrf import _native_calls as calls
from epurecli.gmrf import _native_ops as ops
from epurecli.gmrf import reference
from epurecli.gmrf.masks import MaskGroups

DEVICES = calls.DEVICES
describe = calls.describe


class _Assemble(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, variance: Tensor, coupling: Tensor, sizes: tuple[int, ...], shrink: float) -> Any:
        variance, coupling = variance.contiguous(), coupling.contiguous()
        ctx.save_for_backward(variance, coupling)
        ctx.layout = sizes, shrink
        return calls.assemble(variance, coupling, sizes, shrink)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: None) -> tuple[Tensor | None, ...]:
        return *calls.assemble_backward(*ctx.saved_tensors, grad.contiguous(), *ctx.layout), None, None


class _Elbo(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        mean: Tensor,
        variance: Tensor,
        coupling: Tensor,
        noise: Tensor,
        prior_mean: Tensor,
        prior_tril: Tensor,
        sizes: tuple[int, ...],
        shrink: float,
    ) -> Any:
        inputs = mean.contiguous(), variance.contiguous(), coupling.contiguous(), noise.contiguous()
        shared = prior_mean.contiguous(), prior_tril.contiguous()
        sample, kl, prior, factors, row = calls.elbo(*inputs, *shared, sizes, shrink, True)
        ctx.save_for_backward(*inputs, prior, factors)
        ctx.layout = sizes, shrink
        return sample, kl, row

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dsample: Tensor, dkl: Tensor, _: None) -> tuple[Tensor | None, ...]:
        need = ctx.needs_input_grad
        dmean, dvariance, dcoupling, dprior_mean, dprior_tril = calls.elbo_backward(
            *ctx.saved_tensors, dsample.contiguous(), dkl.contiguous(), *ctx.layout, need[4] or need[5]
        )
        return dmean, dvariance, dcoupling, None, dprior_mean, dprior_tril, None, None


class _Evidence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        prior_mean: Tensor,
        prior_tril: Tensor,
        centre: Tensor,
        precision: Tensor,
        mask: Tensor,
        sizes: tuple[int, ...],
        noise: Tensor | None,
        with_tril: bool,
    ) -> Any:
        *inputs, noise = _plain(prior_mean, prior_tril, centre, precision, mask, noise)
        kept = centre.new_empty(calls.evidence_kept(centre))
        mean, sample, kl, tril, row = calls.evidence(*inputs, sizes, noise, with_tril, kept)
        ctx.save_for_backward(*inputs[2:], noise, mean, kept, tril)
        ctx.sizes = sizes
        ctx.set_materialize_grads(False)
        return mean, sample, kl, tril, row

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dmean: Tensor | None, dsample: Tensor | None, dkl: Tensor | None, dtril: Tensor | None, _: None
    ) -> tuple[Tensor | None, ...]:
        centre, precision, mask, noise, mean, kept, tril = ctx.saved_tensors
        ups = (None if x is None else x.contiguous() for x in (dmean, dsample, dkl, dtril))
        dcentre, dprecision = calls.evidence_backward(centre, precision, mask, ctx.sizes, noise, mean, kept, tril, *ups)
        return None, None, dcentre, dprecision, None, None, None, None


def assemble(variance: Tensor, coupling: Tensor, sizes: tuple[int, ...], shrink: float) -> tuple[Tensor, int]:
    """See `reference.assemble`. Differentiable once."""
    if torch.compiler.is_compiling():
        return ops.assemble(variance, coupling, sizes, shrink), -1
    return _Assemble.apply(variance, coupling, sizes, shrink)


def elbo(
    mean: Tensor,
    variance: Tensor,
    coupling: Tensor,
    noise: Tensor,
    prior_mean: Tensor,
    prior_tril: Tensor,
    sizes: tuple[int, ...],
    shrink: float,
) -> tuple[Tensor, Tensor, int]:
    """See `reference.elbo`. Differentiable once, not in the noise (`backend` sends that to the twin)."""
    inputs = mean, variance, coupling, noise, prior_mean, prior_tril
    if torch.compiler.is_compiling():
        sample, kl, _, _ = ops.elbo(*inputs, sizes, shrink)
        return sample, kl, -1
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        return _Elbo.apply(*inputs, sizes, shrink)
    sample, kl, _, _, row = calls.elbo(*(x.contiguous() for x in inputs), sizes, shrink, False)
    return sample, kl, row


def condition(
    mean: Tensor,
    matrix: Tensor,
    observed: Tensor,
    mask: Tensor,
    groups: MaskGroups,
    sizes: tuple[int, ...],
    noise: Tensor | None,
    with_tril: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None, int]:
    """See `reference.condition`. No backward."""
    mean, matrix, observed, mask, noise = _plain(mean, matrix, observed, mask, noise)
    return calls.condition(mean, (matrix,), 0.0, observed, mask, groups, sizes, noise, with_tril)


def condition_coupled(
    mean: Tensor,
    variance: Tensor,
    coupling: Tensor,
    shrink: float,
    observed: Tensor,
    mask: Tensor,
    groups: MaskGroups,
    sizes: tuple[int, ...],
    noise: Tensor | None,
    with_tril: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None, int]:
    """See `reference.condition_coupled`. No backward."""
    mean, variance, coupling, observed, mask, noise = _plain(mean, variance, coupling, observed, mask, noise)
    return calls.condition(mean, (variance, coupling), shrink, observed, mask, groups, sizes, noise, with_tril)


def factor_orders(matrix: Tensor, order: Tensor) -> tuple[Tensor, int]:
    """See `reference.factor_orders`. No backward."""
    return calls.factor_orders(matrix, order)


def condition_shared(
    prior_mean: Tensor,
    factor: Tensor,
    observed: Tensor,
    groups: MaskGroups,
    sizes: tuple[int, ...],
    noise: Tensor | None,
) -> tuple[Tensor, Tensor | None, int]:
    """See `reference.condition_shared`. No backward."""
    prior_mean, factor, observed, noise = _plain(prior_mean, factor, observed, noise)
    return calls.condition_shared(prior_mean, factor, observed, groups, sizes, noise)


def _plain(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if x is None else x.detach().contiguous() for x in tensors]


def evidence(
    prior_mean: Tensor,
    prior_tril: Tensor,
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    sizes: tuple[int, ...],
    noise: Tensor | None,
    with_tril: bool,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None, int]:
    """See `reference.evidence`. Differentiable once, in the evidence only (`backend` sends the rest to the twin).

    The twin runs in exported graphs, which have no custom operations.
    """
    inputs = prior_mean, prior_tril, centre, precision, mask
    if torch.compiler.is_exporting():
        return reference.evidence(*inputs, sizes, noise, with_tril)
    if torch.compiler.is_compiling():
        mean, sample, kl, tril, _ = ops.evidence(*inputs, sizes, noise, with_tril)
        return mean, None if noise is None else sample, kl, tril if with_tril else None, -1
    if torch.is_grad_enabled() and (centre.requires_grad or precision.requires_grad):
        return _Evidence.apply(*inputs, sizes, noise, with_tril)
    return calls.evidence(*_plain(*inputs), sizes, *_plain(noise), with_tril, None)


group_rows = calls.group_rows
