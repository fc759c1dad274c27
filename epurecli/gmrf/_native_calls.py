"""Calls of the extension on contiguous tensors: allocates the results, passes raw pointers. No autograd, no checks."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import torch
from torch import Tensor

from epurecli.gmrf import _epure_native as ext
from epurecli.gmrf import masks, reference
from epurecli.gmrf.masks import MaskGroups

DEVICES = ("cpu", "cuda") if ext.cuda else ("cpu",)
_SUFFIX = {torch.float32: "_f32", torch.float64: "_f64"}
_F64 = torch.float64


if ext.cuda:
    from epurecli.gmrf import _native_cuda as cuda


def _functions(name: str) -> dict[torch.dtype, object]:
    return {dtype: getattr(ext, name + suffix) for dtype, suffix in _SUFFIX.items()}


_ELBO, _ELBO_BACKWARD = _functions("elbo_forward"), _functions("elbo_backward")
_CONDITION, _CONDITION_SHARED = _functions("condition"), _functions("condition_shared")
_FACTOR_ORDERS = _functions("factor_orders")
_EVIDENCE, _EVIDENCE_BACKWARD = _functions("evidence_forward"), _functions("evidence_backward")
_ASSEMBLE, _ASSEMBLE_BACKWARD = _functions("assemble"), _functions("assemble_backward")


def share_torch_threads() -> None:
    """Run on the OpenMP pool that torch runs on: two pools on one small machine wait for each other's threads.

    The symbol is looked up through libtorch_cpu, so that it is the very library that torch is linked with. Where there
    is none (macOS, Windows) the extension keeps threads of its own, which sleep between calls.
    """
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not sys.platform.startswith("linux") or not library.exists():
        return
    entry = getattr(ctypes.CDLL(str(library)), "GOMP_parallel", None)
    if entry is not None:
        ext.share_openmp(ctypes.cast(entry, ctypes.c_void_p).value)


share_torch_threads()


def describe() -> str:
    """One line for `epure doctor`."""
    kinds = " and CUDA" if ext.cuda else ""
    return f"C++ extension, {ext.isa()} instructions{kinds}, on {ext.pool()}"


def assemble(variance: Tensor, coupling: Tensor, sizes: tuple[int, ...], shrink: float) -> tuple[Tensor, int]:
    """-> covariance (B, N, N), first bad row or -1"""
    if variance.is_cuda:
        return cuda.assemble(variance, coupling, sizes, shrink)
    rows, size = variance.shape
    covariance = variance.new_empty(rows, size, size)
    row = _ASSEMBLE[variance.dtype](
        sizes,
        rows,
        torch.get_num_threads(),
        shrink,
        variance.data_ptr(),
        coupling.data_ptr(),
        covariance.data_ptr(),
    )
    return covariance, row


def assemble_backward(
    variance: Tensor, coupling: Tensor, grad: Tensor, sizes: tuple[int, ...], shrink: float
) -> tuple[Tensor, Tensor]:
    """-> gradients of variance (B, N) and coupling (B, K)"""
    if variance.is_cuda:
        return cuda.assemble_backward(variance, coupling, grad, sizes, shrink)
    dvariance, dcoupling = torch.empty_like(variance), torch.empty_like(coupling)
    _ASSEMBLE_BACKWARD[variance.dtype](
        sizes,
        len(variance),
        torch.get_num_threads(),
        shrink,
        variance.data_ptr(),
        coupling.data_ptr(),
        grad.data_ptr(),
        dvariance.data_ptr(),
        dcoupling.data_ptr(),
    )
    return dvariance, dcoupling


def elbo_kept(sizes: tuple[int, ...], rows: int, dtype: torch.dtype, device: torch.device) -> tuple[int, int]:
    """Numbers in the buffers `prior` and `factors` that the reverse pass reads; 0: it factorises again."""
    if device.type == "cuda":
        return cuda.elbo_kept(sum(sizes), rows)
    return ext.elbo_kept(sizes, rows, dtype == _F64)


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
    """-> sample (B, N), kl (B,), prior and factors for the reverse pass (opaque), first bad row or -1"""
    if mean.is_cuda:
        return cuda.elbo(mean, variance, coupling, noise, prior_mean, prior_tril, sizes, shrink, keep)
    rows = len(mean)
    prior_size, factor_size = elbo_kept(sizes, rows, mean.dtype, mean.device)
    sample = torch.empty_like(mean)
    kl, prior = mean.new_empty(rows), mean.new_empty(prior_size)
    factors = mean.new_empty(factor_size if keep else 0)
    row = _ELBO[mean.dtype](
        sizes,
        rows,
        torch.get_num_threads(),
        shrink,
        mean.data_ptr(),
        variance.data_ptr(),
        coupling.data_ptr(),
        noise.data_ptr(),
        prior_mean.data_ptr(),
        prior_tril.data_ptr(),
        sample.data_ptr(),
        kl.data_ptr(),
        prior.data_ptr(),
        factors.data_ptr(),
    )
    return sample, kl, prior, factors, row


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
    """-> gradients of mean, variance, coupling and, if wanted, of the prior's mean and scale_tril"""
    if mean.is_cuda:
        return cuda.elbo_backward(
            mean, variance, coupling, noise, prior, factors, dsample, dkl, sizes, shrink, with_prior
        )
    rows, size = mean.shape
    dmean, dvariance, dcoupling = torch.empty_like(mean), torch.empty_like(variance), torch.empty_like(coupling)
    dprior_mean = mean.new_empty(size) if with_prior else None
    dprior_tril = mean.new_empty(size, size) if with_prior else None
    _ELBO_BACKWARD[mean.dtype](
        sizes,
        rows,
        torch.get_num_threads(),
        shrink,
        mean.data_ptr(),
        variance.data_ptr(),
        coupling.data_ptr(),
        noise.data_ptr(),
        prior.data_ptr(),
        factors.data_ptr(),
        dsample.data_ptr(),
        dkl.data_ptr(),
        dmean.data_ptr(),
        dvariance.data_ptr(),
        dcoupling.data_ptr(),
        dprior_mean.data_ptr() if with_prior else 0,
        dprior_tril.data_ptr() if with_prior else 0,
    )
    return dmean, dvariance, dcoupling, dprior_mean, dprior_tril


def group_rows(mask: Tensor) -> MaskGroups:
    """See `masks.group_rows`."""
    if mask.is_cuda:
        return masks.group_rows(mask)
    rows, components = mask.shape
    mask = mask.contiguous()
    order = torch.empty(rows, dtype=torch.int64)
    begin = ext.group_rows(rows, components, mask.data_ptr(), order.data_ptr())
    return MaskGroups(mask[order[begin[:-1]]], order, begin)


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
    """Exact conditioning; `matrices` is (variance, coupling) or (covariance,). -> as `reference.condition`"""
    if observed.is_cuda:
        return cuda.condition(mean, matrices, shrink, observed, mask, groups, sizes, noise, with_tril)
    rows, size = observed.shape
    centre = torch.empty_like(observed)
    sample = None if noise is None else torch.empty_like(observed)
    tril = observed.new_zeros(rows, size, size) if with_tril else None
    packed = [x.data_ptr() for x in matrices]
    row = _CONDITION[observed.dtype](
        sizes,
        rows,
        torch.get_num_threads(),
        shrink,
        mean.data_ptr(),
        *([*packed, 0] if len(packed) == 2 else [0, 0, *packed]),
        observed.data_ptr(),
        0 if noise is None else noise.data_ptr(),
        mask.data_ptr(),
        groups.order.data_ptr(),
        groups.begin,
        centre.data_ptr(),
        0 if sample is None else sample.data_ptr(),
        0 if tril is None else tril.data_ptr(),
    )
    return centre, sample, tril, row


def factor_orders(matrix: Tensor, order: Tensor) -> tuple[Tensor, int]:
    """-> as `reference.factor_orders`"""
    if matrix.is_cuda:
        return reference.factor_orders(matrix, order)
    matrix, order = matrix.contiguous(), order.contiguous()
    orders, size = order.shape
    factor = matrix.new_empty(orders, size, size)
    pointers = matrix.data_ptr(), order.data_ptr(), factor.data_ptr()
    return factor, _FACTOR_ORDERS[matrix.dtype](size, orders, torch.get_num_threads(), *pointers)


def condition_shared(
    prior_mean: Tensor,
    factor: Tensor,
    observed: Tensor,
    groups: MaskGroups,
    sizes: tuple[int, ...],
    noise: Tensor | None,
) -> tuple[Tensor, Tensor | None, int]:
    """-> as `reference.condition_shared`"""
    if observed.is_cuda:
        return reference.condition_shared(prior_mean, factor, observed, groups, sizes, noise)
    mean = torch.empty_like(observed)
    sample = None if noise is None else torch.empty_like(observed)
    row = _CONDITION_SHARED[observed.dtype](
        sizes,
        len(observed),
        torch.get_num_threads(),
        prior_mean.data_ptr(),
        factor.data_ptr(),
        observed.data_ptr(),
        0 if noise is None else noise.data_ptr(),
        groups.distinct.data_ptr(),
        groups.order.data_ptr(),
        groups.begin,
        mean.data_ptr(),
        0 if sample is None else sample.data_ptr(),
    )
    return mean, sample, row


def evidence_kept(centre: Tensor) -> int:
    """Numbers in the buffer that the reverse pass of `evidence` reads."""
    rows, size = centre.shape
    if centre.device.type == "cuda":
        return cuda.evidence_kept(size, rows)
    return ext.evidence_kept(size, rows, centre.dtype == _F64)


def evidence(
    prior_mean: Tensor,
    prior_tril: Tensor,
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    sizes: tuple[int, ...],
    noise: Tensor | None,
    with_tril: bool,
    kept: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None, int]:
    """-> as `reference.evidence`; fills the buffer for the reverse pass"""
    rows, size = centre.shape
    mean, kl = torch.empty_like(centre), centre.new_empty(rows)
    sample = None if noise is None else torch.empty_like(centre)
    tril = centre.new_empty(rows, size, size) if with_tril else None
    tensors = prior_mean, prior_tril, centre, precision, mask, noise, mean, sample, kl, tril, kept
    if centre.is_cuda:
        row = cuda.evidence(sizes, *tensors)
    else:
        pointers = (0 if x is None else x.data_ptr() for x in tensors)
        row = _EVIDENCE[centre.dtype](sizes, rows, torch.get_num_threads(), *pointers)
    return mean, sample, kl, tril, row


def evidence_backward(
    centre: Tensor,
    precision: Tensor,
    mask: Tensor,
    sizes: tuple[int, ...],
    noise: Tensor | None,
    mean: Tensor,
    kept: Tensor,
    tril: Tensor | None,
    dmean: Tensor | None,
    dsample: Tensor | None,
    dkl: Tensor | None,
    dtril: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """-> gradients of the evidence's means and precisions (B, N)"""
    dcentre, dprecision = torch.empty_like(centre), torch.empty_like(centre)
    tensors = centre, precision, mask, noise, mean, kept, dmean, dsample, dkl, dcentre, dprecision
    if centre.is_cuda:
        cuda.evidence_backward(sizes, *tensors)
    else:
        pointers = (0 if x is None else x.data_ptr() for x in tensors)
        _EVIDENCE_BACKWARD[centre.dtype](sizes, len(centre), torch.get_num_threads(), *pointers)
    if dtril is not None:
        dprecision -= masks.spread_mask(mask, sizes) * reference.turning(tril, dtril)
    return dcentre, dprecision
