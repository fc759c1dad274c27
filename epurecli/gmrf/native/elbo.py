"""The fused step of `gaussian_elbo`: calls, autograd function and custom op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from epurecli.gmrf import reference
from epurecli.gmrf.native.extension import contiguous, ext, is_double, launch, run


def kept(like: Tensor) -> tuple[int, int]:
    """Numbers in the buffers `prior` and `factors` that the reverse pass reads, for a mean (B, N).

    Without factors it factorises again.
    """
    rows, size = like.shape
    return ext.elbo_kept(size, rows, is_double(like), like.device.type == "cuda")


def forward(
    mean: Tensor,
    variance: Tensor,
    coupling: Tensor,
    noise: Tensor,
    prior_mean: Tensor,
    prior_tril: Tensor,
    sizes: Sequence[int],
    shrink: float,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Of contiguous tensors. -> sample (B, N), kl (B,), prior and factors for `backward`, first bad row or -1"""
    rows = len(mean)
    prior_size, factor_size = kept(mean)
    sample, kl, factors = torch.empty_like(mean), mean.new_empty(rows), mean.new_empty(factor_size if keep else 0)
    prior = _gpu_prior(prior_mean, prior_tril) if mean.is_cuda else mean.new_empty(prior_size)
    fields = {
        "shrink": shrink,
        "mean": mean,
        "variance": variance,
        "coupling": coupling,
        "noise": noise,
        "prior": prior,
        "factors": factors,
        "prior_mean": prior_mean,
        "prior_tril": prior_tril,
        "sample": sample,
        "kl": kl,
    }
    if not mean.is_cuda:
        return sample, kl, prior, factors, run("elbo", sizes, rows, fields)
    bad = launch("elbo", sizes, mean, fields | {"sums": None})
    return sample, kl, prior, factors, reference.first_row(bad | ~torch.isfinite(sample).all(1))


def backward(
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
    with_prior: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Of contiguous tensors, but `dsample` and `dkl`.

    Returns:
        Gradients of mean, variance, coupling, and of the prior's mean and scale_tril (empty unless `with_prior`).
    """
    dsample, dkl = contiguous(dsample, dkl)
    dmean, dvariance, dcoupling = torch.empty_like(mean), torch.empty_like(variance), torch.empty_like(coupling)
    fields = {
        "shrink": shrink,
        "mean": mean,
        "variance": variance,
        "coupling": coupling,
        "noise": noise,
        "prior": prior,
        "factors": factors,
        "dsample": dsample,
        "dkl": dkl,
        "dmean": dmean,
        "dvariance": dvariance,
        "dcoupling": dcoupling,
    }
    if mean.is_cuda:
        return dmean, dvariance, dcoupling, *_backward_on_gpu(fields, sizes, with_prior)
    rows, size = mean.shape
    size = size if with_prior else 0
    dprior_mean, dprior_tril = mean.new_empty(size), mean.new_empty(size, size)
    fields["dprior_mean"], fields["dprior_tril"] = dprior_mean, dprior_tril
    run("elbo_backward", sizes, rows, fields)
    return dmean, dvariance, dcoupling, dprior_mean, dprior_tril


def _gpu_prior(mean: Tensor, tril: Tensor) -> Tensor:
    """P, W, W^T, mean and half log det, padded to an even size, as csrc/cpu/prior.h makes them."""
    odd = len(mean) % 2
    white = reference.inverse_tril(tril.double())
    parts = [pad(x, (0, odd, 0, odd)).flatten() for x in (white.mT @ white, white, white.mT)]
    parts += [pad(mean.double(), (0, odd)), tril.double().diagonal().log().sum().reshape(1)]
    return torch.cat(parts).to(mean.dtype)


def _backward_on_gpu(fields: dict[str, Any], sizes: Sequence[int], with_prior: bool) -> tuple[Tensor, Tensor]:
    """Fills the gradients in `fields`. -> those of the prior's mean and scale_tril: each team sums its rows' share"""
    mean, prior, dkl = fields["mean"], fields["prior"], fields["dkl"]
    rows, size = mean.shape
    even = size + size % 2
    square = even * even
    sums = mean.new_zeros(min(rows, ext.cuda_teams) if with_prior else 0, square + even)
    launch("elbo_backward", sizes, mean, fields | {"sums": sums, "dprior_mean": None, "dprior_tril": None})
    if not with_prior:
        return mean.new_empty(0), mean.new_empty(0, 0)
    total = sums.double().sum(0)
    low = total[:square].view(even, even)[:size, :size].tril()
    moments = low + low.tril(-1).mT  # sum of dkl (Sigma + d d^T)
    precision, white = (prior[i * square : (i + 1) * square].view(even, even)[:size, :size].double() for i in (0, 1))
    dtril = -(precision @ moments @ white.mT).tril() + torch.diag(dkl.double().sum() * white.diagonal())
    return -total[square:][:size].to(mean.dtype), dtril.to(mean.dtype)


class _Elbo(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sizes: tuple[int, ...], shrink: float, *tensors: Tensor) -> Any:
        inputs = contiguous(*tensors)
        sample, kl, prior, factors, row = forward(*inputs, sizes, shrink, True)
        ctx.save_for_backward(*inputs[:4], prior, factors)
        ctx.layout = sizes, shrink
        return sample, kl, row

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dsample: Tensor, dkl: Tensor, _: None) -> tuple[Tensor | None, ...]:
        found = backward(*ctx.saved_tensors, dsample, dkl, *ctx.layout, any(ctx.needs_input_grad[6:]))
        return None, None, *found[:3], None, *found[3:]


@torch.library.custom_op("epure::gaussian_elbo", mutates_args=())
def op(
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
    inputs = contiguous(mean, variance, coupling, noise, prior_mean, prior_tril)
    return forward(*inputs, sizes, shrink, True)[:4]


op_backward = torch.library.custom_op("epure::gaussian_elbo_backward", backward, mutates_args=())


@op.register_fake
def _(mean: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return tuple(mean.new_empty(shape) for shape in (mean.shape, mean.shape[:1], *kept(mean)))


@op_backward.register_fake
def _(mean: Tensor, variance: Tensor, coupling: Tensor, *others: Any) -> tuple[Tensor, ...]:
    size = mean.shape[1] if others[-1] else 0
    return tuple(mean.new_empty(s) for s in (mean.shape, variance.shape, coupling.shape, (size,), (size, size)))


def _keep(ctx: Any, inputs: tuple, output: tuple) -> None:
    *tensors, ctx.sizes, ctx.shrink = inputs
    ctx.save_for_backward(*tensors[:4], *output[2:])


def _differentiate(ctx: Any, dsample: Tensor, dkl: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    with_prior = any(ctx.needs_input_grad[4:6])
    found = op_backward(*ctx.saved_tensors, dsample, dkl, ctx.sizes, ctx.shrink, with_prior)
    return *found[:3], None, *found[3:], None, None


op.register_autograd(_differentiate, setup_context=_keep)


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
        sample, kl, _, _ = op(*inputs, sizes, shrink)
        return sample, kl, -1
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        return _Elbo.apply(sizes, shrink, *inputs)
    sample, kl, _, _, row = forward(*contiguous(*inputs), sizes, shrink, False)
    return sample, kl, row
