"""Calls of the extension's CUDA body: like `_native_calls`, on device tensors and torch's current stream."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from epurecli.gmrf import _epure_native as ext
from epurecli.gmrf import masks, reference
from epurecli.gmrf.masks import MaskGroups

_SUFFIX = {torch.float32: "_f32", torch.float64: "_f64"}


@lru_cache(maxsize=32)
def _layout(sizes: tuple[int, ...], device: torch.device) -> tuple[list[int], Tensor, Tensor]:
    """(n, k, addresses of the row tables), the tables themselves (2, np), the component of each entry (N,)."""
    start, offset, component, packed = [], [], [], 0
    for index, size in enumerate(sizes):
        before = len(start)
        for _ in range(size):
            start.append(before)
            offset.append(packed)
            component.append(index)
            packed += before
    size = len(start)
    if size % 2:
        start.append(0)
        offset.append(packed)
    tables = torch.tensor([start, offset], dtype=torch.int32, device=device)
    addresses = [size, packed, tables[0].data_ptr(), tables[1].data_ptr()]
    return addresses, tables, torch.tensor(component, dtype=torch.int32, device=device)


def _call(name: str, like: Tensor, *arguments: object) -> None:
    with torch.cuda.device(like.device):
        getattr(ext, f"cuda_{name}{_SUFFIX[like.dtype]}")(*arguments)


def _room(like: Tensor, size: int, rows: int) -> tuple[Tensor, int]:
    """Scratch for matrices that no block's shared memory holds, and the current stream."""
    with torch.cuda.device(like.device):
        numbers = ext.cuda_scratch(size, like.dtype == torch.float64) * min(rows, ext.cuda_teams)
    return like.new_empty(numbers), torch.cuda.current_stream(like.device).cuda_stream


def _prior(mean: Tensor, tril: Tensor) -> Tensor:
    """P, W, W^T, mean and half log det, padded to an even size, as the kernels read them."""
    size = len(mean)
    odd = size % 2
    white = reference.inverse_tril(tril.double())
    parts = [torch.nn.functional.pad(x, (0, odd, 0, odd)).flatten() for x in (white.mT @ white, white, white.mT)]
    parts += [torch.nn.functional.pad(mean.double(), (0, odd)), tril.double().diagonal().log().sum().reshape(1)]
    return torch.cat(parts).to(mean.dtype)


def elbo_kept(size: int, rows: int) -> tuple[int, int]:
    """Numbers in the buffers `prior` and `factors`."""
    even = size + size % 2
    half = even // 2
    return 3 * even * even + even + 1, rows * (2 * half * (half + 1) + even)


def assemble(variance: Tensor, coupling: Tensor, sizes: tuple[int, ...], shrink: float) -> tuple[Tensor, int]:
    """See `_native_calls.assemble`."""
    rows, size = variance.shape
    covariance = variance.new_empty(rows, size, size)
    stream = torch.cuda.current_stream(variance.device).cuda_stream
    layout = _layout(sizes, variance.device)[0]
    pointers = (x.data_ptr() for x in (variance, coupling, covariance))
    _call("assemble", variance, layout, rows, shrink, stream, *pointers)
    fine = (torch.isfinite(variance) & (variance > 0)).all(1) & torch.isfinite(coupling).all(1)
    return covariance, reference.first_row(~fine)


def assemble_backward(
    variance: Tensor, coupling: Tensor, grad: Tensor, sizes: tuple[int, ...], shrink: float
) -> tuple[Tensor, Tensor]:
    """See `_native_calls.assemble_backward`; by the twin."""
    with torch.enable_grad():
        inputs = variance.detach().requires_grad_(), coupling.detach().requires_grad_()
        return torch.autograd.grad(reference.covariance(*inputs, sizes, shrink), inputs, grad)


def elbo(
    mean: Tensor,
    variance: Tensor,
    coupling: Tensor,
    noise: Tensor,
    prior_mean: Tensor,
    prior_tril: Tensor,
    sizes: tuple[int, ...],
    shrink: float,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """See `_native_calls.elbo`."""
    rows, size = mean.shape
    prior, sample, kl = _prior(prior_mean, prior_tril), torch.empty_like(mean), mean.new_empty(rows)
    factors = mean.new_empty(elbo_kept(size, rows)[1] if keep else 0)
    bad = torch.empty(rows, dtype=torch.int32, device=mean.device)
    scratch, stream = _room(mean, size, rows)
    tensors = (mean, variance, coupling, noise, prior, sample, kl, factors, bad)
    pointers = (x.data_ptr() for x in tensors)
    layout = _layout(sizes, mean.device)[0]
    _call("elbo_forward", mean, layout, rows, shrink, scratch.data_ptr(), stream, *pointers)
    wrong = (bad != 0) | ~torch.isfinite(sample).all(1)
    return sample, kl, prior, factors, reference.first_row(wrong)


def elbo_backward(
    mean: Tensor,
    variance: Tensor,
    coupling: Tensor,
    noise: Tensor,
    prior: Tensor,
    factors: Tensor,
    dsample: Tensor,
    dkl: Tensor,
    sizes: tuple[int, ...],
    shrink: float,
    with_prior: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """See `_native_calls.elbo_backward`."""
    rows, size = mean.shape
    even = size + size % 2
    dmean, dvariance, dcoupling = torch.empty_like(mean), torch.empty_like(variance), torch.empty_like(coupling)
    sums = mean.new_zeros(min(rows, ext.cuda_teams) if with_prior else 0, even * even + even)
    scratch, stream = _room(mean, size, rows)
    tensors = (mean, variance, coupling, noise, prior, factors, dsample, dkl, dmean, dvariance, dcoupling, sums)
    pointers = (x.data_ptr() for x in tensors)
    layout = _layout(sizes, mean.device)[0]
    _call("elbo_backward", mean, layout, rows, shrink, scratch.data_ptr(), stream, *pointers)
    if not with_prior:
        return dmean, dvariance, dcoupling, None, None
    total = sums.double().sum(0)
    low = total[: even * even].view(even, even)[:size, :size].tril()
    moments = low + low.tril(-1).mT  # sum of gkl (Sigma + d d^T)
    square = even * even
    precision, white = (prior[i * square : (i + 1) * square].view(even, even)[:size, :size].double() for i in (0, 1))
    dtril = -(precision @ moments @ white.mT).tril() + torch.diag(dkl.double().sum() * white.diagonal())
    dprior_mean = -total[even * even :][:size]
    return dmean, dvariance, dcoupling, dprior_mean.to(mean.dtype), dtril.to(mean.dtype)


def condition(
    mean: Tensor,
    matrices: tuple[Tensor, ...],
    shrink: float,
    observed: Tensor,
    mask: Tensor,
    groups: MaskGroups,
    sizes: tuple[int, ...],
    noise: Tensor | None,
    with_tril: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None, int]:
    """See `_native_calls.condition`."""
    rows, size = observed.shape
    centre = torch.empty_like(observed)
    sample = None if noise is None else torch.empty_like(observed)
    tril = observed.new_zeros(rows, size, size) if with_tril else None
    bad = torch.empty(rows, dtype=torch.int32, device=observed.device)
    layout, _, component = _layout(sizes, observed.device)
    scratch, stream = _room(observed, size, rows)
    packed = [*matrices, None] if len(matrices) == 2 else [None, None, *matrices]
    before = (0 if x is None else x.data_ptr() for x in (mean, *packed, observed, noise, mask, component))
    after = (0 if x is None else x.data_ptr() for x in (centre, sample, tril, bad))
    _call("condition", observed, layout, rows, shrink, scratch.data_ptr(), stream, *before, len(sizes), *after)
    fine = reference.finite_rows(centre, sample) & (bad == 0)
    return centre, sample, tril, reference.first_row(~fine)


def evidence_kept(size: int, rows: int) -> int:
    """Numbers in the buffer that the reverse pass of `evidence` reads."""
    even = size + size % 2
    return rows * even * even


def evidence(
    sizes: tuple[int, ...],
    prior_mean: Tensor,
    prior_tril: Tensor,
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    noise: Tensor | None,
    mean: Tensor,
    sample: Tensor | None,
    kl: Tensor,
    tril: Tensor | None,
    kept: Tensor | None,
) -> int:
    """Fills mean, sample, kl, scale_tril and what the reverse pass reads. -> first bad row or -1"""
    rows, size = centre.shape
    bad = torch.empty(rows, dtype=torch.int32, device=centre.device)
    turned = centre.new_empty(evidence_kept(size, min(rows, ext.cuda_teams))) if kept is None else kept
    prior, room = _reversed(prior_mean, prior_tril), _room(centre, size, rows)
    shared = _evidence_arguments(sizes, (centre, precision, noise, mask), mean, turned, room)
    pointers = (0 if x is None else x.data_ptr() for x in (prior, sample, kl, tril, bad))
    _call("evidence_forward", centre, *shared, kept is not None, *pointers)
    negative = (masks.spread_mask(mask, sizes) & (precision < 0)).any(1)
    return reference.first_row((bad != 0) | negative | ~reference.finite_rows(mean, sample))


def evidence_backward(
    sizes: tuple[int, ...],
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    noise: Tensor | None,
    mean: Tensor,
    kept: Tensor,
    *others: Tensor | None,  # dmean, dsample, dkl; out: dcentre, dprecision
) -> None:
    """Fills the gradients of the evidence's means and precisions."""
    room = _room(centre, sum(sizes), len(centre))
    shared = _evidence_arguments(sizes, (centre, precision, noise, mask), mean, kept, room)
    _call("evidence_backward", centre, *shared, *(0 if x is None else x.data_ptr() for x in others))


def _evidence_arguments(
    sizes: tuple[int, ...],
    tensors: tuple[Tensor | None, ...],  # centre, precision, noise, mask
    mean: Tensor,
    turned: Tensor,
    room: tuple[Tensor, int],
) -> list[int]:
    (rows, size), component = mean.shape, _layout(sizes, mean.device)[2]
    before = [0 if x is None else x.data_ptr() for x in (*tensors, component)]
    return [size, rows, room[0].data_ptr(), room[1], *before, len(sizes), mean.data_ptr(), turned.data_ptr()]


def _reversed(mean: Tensor, tril: Tensor) -> Tensor:
    """The prior as csrc/evidence.h reads it: its entries from the last to the first, padded to an even size."""
    odd = len(mean) % 2
    root = torch.block_diag(tril.tril().flip(0, 1).mT, torch.eye(odd, dtype=tril.dtype, device=tril.device))
    return torch.cat([root.flatten(), torch.nn.functional.pad(mean.flip(0), (0, odd))])
