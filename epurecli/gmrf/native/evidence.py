"""The conjugate posterior of `combine_evidence`: calls, autograd function and custom op."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from epurecli.gmrf import masks, reference
from epurecli.gmrf.native.extension import contiguous, empty_sample, ext, is_double, launch, run


def kept_size(centre: Tensor) -> int:
    """Numbers in the buffer `kept` that the reverse pass reads, for evidence (B, N)."""
    rows, size = centre.shape
    return ext.evidence_kept(size, rows, is_double(centre), centre.device.type == "cuda")


def forward(
    prior_mean: Tensor,
    prior_tril: Tensor,
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    sizes: Sequence[int],
    noise: Tensor | None,
    with_tril: bool,
    kept: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None, int]:
    """Of contiguous tensors. -> as `reference.evidence`; fills `kept`, if there is one, for `backward`"""
    rows, size = centre.shape
    mean, sample, kl = torch.empty_like(centre), empty_sample(noise), centre.new_empty(rows)
    tril = centre.new_empty(rows, size, size) if with_tril else None
    fields = {
        "centre": centre,
        "precision": precision,
        "mask": mask,
        "noise": noise,
        "mean": mean,
        "kept": kept,
        "prior_mean": prior_mean,
        "prior_tril": prior_tril,
        "sample": sample,
        "kl": kl,
        "tril": tril,
    }
    if not centre.is_cuda:
        return mean, sample, kl, tril, run("evidence", sizes, rows, fields)
    spare = None if kept is not None else centre.new_empty(kept_size(centre[: ext.cuda_teams]))
    fields |= {"prior": _gpu_prior(prior_mean, prior_tril), "spare": spare}
    bad = launch("evidence", sizes, centre, fields)
    negative = (masks.spread_mask(mask, sizes) & (precision < 0)).any(1)
    return mean, sample, kl, tril, reference.first_row(bad | negative | ~reference.finite_rows(mean, sample))


def backward(
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    noise: Tensor | None,
    mean: Tensor,
    kept: Tensor,
    tril: Tensor | None,
    dmean: Tensor | None,
    dsample: Tensor | None,
    dkl: Tensor | None,
    dtril: Tensor | None,
    sizes: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Of contiguous tensors, gradients apart. -> gradients of the evidence's means and precisions (B, N)"""
    dmean, dsample, dkl = contiguous(dmean, dsample, dkl)
    dcentre, dprecision = torch.empty_like(centre), torch.empty_like(precision)
    fields = {
        "centre": centre,
        "precision": precision,
        "mask": mask,
        "noise": noise,
        "mean": mean,
        "kept": kept,
        "dmean": dmean,
        "dsample": dsample,
        "dkl": dkl,
        "dcentre": dcentre,
        "dprecision": dprecision,
    }
    if centre.is_cuda:
        launch("evidence_backward", sizes, centre, fields | {"prior": None, "spare": None})
    else:
        run("evidence_backward", sizes, len(centre), fields)
    if dtril is not None:
        dprecision -= masks.spread_mask(mask, sizes) * reference.turning(tril, dtril)
    return dcentre, dprecision


def _gpu_prior(mean: Tensor, tril: Tensor) -> Tensor:
    """The prior as csrc/evidence.h reads it: its entries from the last to the first, padded to an even size."""
    odd = len(mean) % 2
    root = torch.block_diag(tril.tril().flip(0, 1).mT, torch.eye(odd, dtype=tril.dtype, device=tril.device))
    return torch.cat([root.flatten(), pad(mean.flip(0), (0, odd))])


class _Evidence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sizes: tuple[int, ...], with_tril: bool, noise: Tensor | None, *tensors: Tensor) -> Any:
        *inputs, noise = contiguous(*tensors, noise)
        kept = inputs[2].new_empty(kept_size(inputs[2]))
        mean, sample, kl, tril, row = forward(*inputs, sizes, noise, with_tril, kept)
        ctx.save_for_backward(*inputs[2:], noise, mean, kept, tril)
        ctx.sizes = sizes
        ctx.set_materialize_grads(False)
        return mean, sample, kl, tril, row

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        dcentre, dprecision = backward(*ctx.saved_tensors, *gradients[:4], ctx.sizes)
        return *[None] * 5, dcentre, dprecision, None


@torch.library.custom_op("epure::combine_evidence", mutates_args=())
def op(
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
    *inputs, noise = contiguous(prior_mean, prior_tril, centre, precision, mask, noise)
    kept = centre.new_zeros(kept_size(centre))  # not all of it is written, and an op's results are compared
    mean, sample, kl, tril, _ = forward(*inputs, sizes, noise, with_tril, kept)
    sample, tril = (centre.new_empty(0) if x is None else x for x in (sample, tril))
    return mean, sample, kl, tril, kept


op_backward = torch.library.custom_op("epure::combine_evidence_backward", backward, mutates_args=())


@op.register_fake
def _(prior_mean: Tensor, prior_tril: Tensor, centre: Tensor, *others: Any) -> tuple[Tensor, ...]:
    (rows, size), (*_, noise, with_tril) = centre.shape, others
    shapes = (rows, size), (0,) if noise is None else (rows, size), (rows,), (rows, size, size) if with_tril else (0,)
    return tuple(centre.new_empty(shape) for shape in (*shapes, kept_size(centre)))


@op_backward.register_fake
def _(centre: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return centre.new_empty(centre.shape), centre.new_empty(centre.shape)


def _keep(ctx: Any, inputs: tuple, output: tuple) -> None:
    _, _, centre, precision, mask, ctx.sizes, noise, ctx.with_tril = inputs
    mean, _, _, tril, kept = output
    ctx.save_for_backward(centre, precision, mask, noise, mean, kept, tril)


def _differentiate(
    ctx: Any, dmean: Tensor, dsample: Tensor, dkl: Tensor, dtril: Tensor, _: Any
) -> tuple[Tensor | None, ...]:
    dsample = None if ctx.saved_tensors[3] is None else dsample  # no noise, no sample
    dtril = dtril if ctx.with_tril else None
    dcentre, dprecision = op_backward(*ctx.saved_tensors, dmean, dsample, dkl, dtril, ctx.sizes)
    return None, None, dcentre, dprecision, *[None] * 4


op.register_autograd(_differentiate, setup_context=_keep)


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
        mean, sample, kl, tril, _ = op(*inputs, sizes, noise, with_tril)
        return mean, None if noise is None else sample, kl, tril if with_tril else None, -1
    if torch.is_grad_enabled() and (centre.requires_grad or precision.requires_grad):
        return _Evidence.apply(sizes, with_tril, noise, *inputs)
    *inputs, noise = contiguous(*inputs, noise)
    return forward(*inputs, sizes, noise, with_tril, None)
