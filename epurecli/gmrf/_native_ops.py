"""The native operations as `torch.library` custom ops, for `torch.compile`, `torch.export` and `opcheck`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from epurecli.gmrf import _native_calls as calls


@torch.library.custom_op("epure::assemble_covariance", mutates_args=())
def assemble(variance: Tensor, coupling: Tensor, sizes: Sequence[int], shrink: float) -> Tensor:
    """-> covariance (B, N, N)"""
    return calls.assemble(variance.contiguous(), coupling.contiguous(), tuple(sizes), shrink)[0]


@assemble.register_fake
def _(variance: Tensor, coupling: Tensor, sizes: Sequence[int], shrink: float) -> Tensor:
    rows, size = variance.shape
    return variance.new_empty(rows, size, size)


@torch.library.custom_op("epure::assemble_covariance_backward", mutates_args=())
def assemble_backward(
    variance: Tensor, coupling: Tensor, grad: Tensor, sizes: Sequence[int], shrink: float
) -> tuple[Tensor, Tensor]:
    """-> gradients of variance and coupling"""
    return calls.assemble_backward(
        variance.contiguous(), coupling.contiguous(), grad.contiguous(), tuple(sizes), shrink
    )


@assemble_backward.register_fake
def _(variance: Tensor, coupling: Tensor, grad: Tensor, sizes: Sequence[int], shrink: float) -> tuple[Tensor, Tensor]:
    return variance.new_empty(variance.shape), coupling.new_empty(coupling.shape)


def _keep_assemble(ctx: Any, inputs: tuple, output: Tensor) -> None:
    variance, coupling, ctx.sizes, ctx.shrink = inputs
    ctx.save_for_backward(variance, coupling)


def _differentiate_assemble(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *assemble_backward(*ctx.saved_tensors, grad, ctx.sizes, ctx.shrink), None, None


assemble.register_autograd(_differentiate_assemble, setup_context=_keep_assemble)


@torch.library.custom_op("epure::gaussian_elbo", mutates_args=())
def elbo(
    mean: Tensor,
    variance: Tensor,
    coupling: Tensor,
    noise: Tensor,
    prior_mean: Tensor,
    prior_tril: Tensor,
    sizes: Sequence[int],
    shrink: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """-> sample (B, N), kl (B,), and two opaque buffers for the reverse pass"""
    inputs = (x.contiguous() for x in (mean, variance, coupling, noise, prior_mean, prior_tril))
    return calls.elbo(*inputs, tuple(sizes), shrink, True)[:4]


@elbo.register_fake
def _(
    mean: Tensor,
    variance: Tensor,
    coupling: Tensor,
    noise: Tensor,
    prior_mean: Tensor,
    prior_tril: Tensor,
    sizes: Sequence[int],
    shrink: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    prior, factors = calls.elbo_kept(tuple(sizes), mean.shape[0], mean.dtype, mean.device)
    rows = mean.shape[0]
    return mean.new_empty(mean.shape), mean.new_empty(rows), mean.new_empty(prior), mean.new_empty(factors)


@torch.library.custom_op("epure::gaussian_elbo_backward", mutates_args=())
def elbo_backward(
    mean: Tensor,
    variance: Tensor,
    coupling: Tensor,
    noise: Tensor,
    prior: Tensor,
    factors: Tensor,
    dsample: Tensor,
    dkl: Tensor,
    sizes: Sequence[int],
    shrink: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """-> gradients of mean, variance, coupling, prior_mean, prior_tril"""
    inputs = (x.contiguous() for x in (mean, variance, coupling, noise, prior, factors, dsample, dkl))
    return calls.elbo_backward(*inputs, tuple(sizes), shrink, True)


@elbo_backward.register_fake
def _(
    mean: Tensor,
    variance: Tensor,
    coupling: Tensor,
    noise: Tensor,
    prior: Tensor,
    factors: Tensor,
    dsample: Tensor,
    dkl: Tensor,
    sizes: Sequence[int],
    shrink: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    size = mean.shape[1]
    like = (mean.shape, variance.shape, coupling.shape, (size,), (size, size))
    return tuple(mean.new_empty(shape) for shape in like)


def _keep_elbo(ctx: Any, inputs: tuple, output: tuple) -> None:
    *tensors, ctx.sizes, ctx.shrink = inputs
    ctx.save_for_backward(*tensors[:4], *output[2:])


def _differentiate_elbo(ctx: Any, dsample: Tensor, dkl: Tensor, _p: Any, _f: Any) -> tuple[Tensor | None, ...]:
    dmean, dvariance, dcoupling, dprior_mean, dprior_tril = elbo_backward(
        *ctx.saved_tensors, dsample, dkl, ctx.sizes, ctx.shrink
    )
    return dmean, dvariance, dcoupling, None, dprior_mean, dprior_tril, None, None


elbo.register_autograd(_differentiate_elbo, setup_context=_keep_elbo)


@torch.library.custom_op("epure::combine_evidence", mutates_args=())
def evidence(
    prior_mean: Tensor,
    prior_tril: Tensor,
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    sizes: Sequence[int],
    noise: Tensor | None,
    with_tril: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """-> mean, sample (empty without noise), kl, scale_tril (empty unless wanted), an opaque buffer"""
    inputs = (x.contiguous() for x in (prior_mean, prior_tril, centre, precision, mask))
    noise = None if noise is None else noise.contiguous()
    kept = centre.new_zeros(calls.evidence_kept(centre))  # not all of it is written, and an op's results are compared
    mean, sample, kl, tril, _ = calls.evidence(*inputs, tuple(sizes), noise, with_tril, kept)
    none = centre.new_empty(0)
    return mean, none if sample is None else sample, kl, none.clone() if tril is None else tril, kept


@evidence.register_fake
def _(
    prior_mean: Tensor,
    prior_tril: Tensor,
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    sizes: Sequence[int],
    noise: Tensor | None,
    with_tril: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    rows, size = centre.shape
    kept = calls.evidence_kept(centre)
    shapes = (rows, size), (0,) if noise is None else (rows, size), (rows,), (rows, size, size) if with_tril else (0,)
    return *(centre.new_empty(shape) for shape in shapes), centre.new_empty(kept)


@torch.library.custom_op("epure::combine_evidence_backward", mutates_args=())
def evidence_backward(
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    sizes: Sequence[int],
    noise: Tensor | None,
    mean: Tensor,
    kept: Tensor,
    tril: Tensor,
    dmean: Tensor,
    dsample: Tensor | None,
    dkl: Tensor,
    dtril: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """-> gradients of the evidence's means and precisions"""
    before, after = (centre, precision, mask), (noise, mean, kept, tril, dmean, dsample, dkl, dtril)
    before, after = ([None if x is None else x.contiguous() for x in part] for part in (before, after))
    return calls.evidence_backward(*before, tuple(sizes), *after)


@evidence_backward.register_fake
def _(
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    sizes: Sequence[int],
    noise: Tensor | None,
    mean: Tensor,
    kept: Tensor,
    tril: Tensor,
    dmean: Tensor,
    dsample: Tensor | None,
    dkl: Tensor,
    dtril: Tensor | None,
) -> tuple[Tensor, Tensor]:
    return centre.new_empty(centre.shape), centre.new_empty(centre.shape)


def _keep_evidence(ctx: Any, inputs: tuple, output: tuple) -> None:
    _, _, centre, precision, mask, ctx.sizes, noise, ctx.with_tril = inputs
    mean, _, _, tril, kept = output
    ctx.save_for_backward(centre, precision, mask, noise, mean, kept, tril)


def _differentiate_evidence(
    ctx: Any, dmean: Tensor, dsample: Tensor, dkl: Tensor, dtril: Tensor, _: Any
) -> tuple[Tensor | None, ...]:
    centre, precision, mask, noise, mean, kept, tril = ctx.saved_tensors
    ups = dmean, None if noise is None else dsample, dkl, dtril if ctx.with_tril else None
    dcentre, dprecision = evidence_backward(centre, precision, mask, ctx.sizes, noise, mean, kept, tril, *ups)
    return None, None, dcentre, dprecision, None, None, None, None


evidence.register_autograd(_differentiate_evidence, setup_context=_keep_evidence)
