"""The torch twin: every operation of `gmrf` in plain differentiable torch, for any device; the native yardstick."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import pad

from epurecli.gmrf.masks import MaskGroups, group_rows, permute, spread_mask

__all__ = ["group_rows"]  # part of a body, though it lives beside the masks

DELTA = 1e-8  # the plan's guard against a row without coupling


def lower_blocks(coupling: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Unpack the coupling into a strictly block-lower matrix, zero on and above the diagonal blocks. -> (B, N, N)"""
    rows, total = len(coupling), sum(sizes)
    strips, offset, start = [], 0, 0
    for size in sizes:
        strip = coupling[:, offset : offset + size * start].view(rows, size, start)
        strips.append(pad(strip, (0, total - start)))
        offset += size * start
        start += size
    return torch.cat(strips, dim=1)


def first_row(bad: Tensor) -> int:
    """Index of the first row that is set, or -1. Never looks while compiling: that would break the graph."""
    if torch.compiler.is_compiling() or not bad.any():
        return -1
    return int(bad.nonzero()[0, 0])


def finite_rows(mean: Tensor, sample: Tensor | None) -> Tensor:
    """Rows whose result is finite; a sample is made of the mean, so that it speaks for both. -> (B,) bool"""
    return torch.isfinite(mean if sample is None else sample).all(1)


def assemble(variance: Tensor, coupling: Tensor, sizes: tuple[int, ...], shrink: float) -> tuple[Tensor, int]:
    """-> covariance (B, N, N), the first row that is not finite or has no positive variance, or -1"""
    fine = (torch.isfinite(variance) & (variance > 0)).all(1) & torch.isfinite(coupling).all(1)
    return covariance(variance, coupling, sizes, shrink), first_row(~fine)


def covariance(variance: Tensor, coupling: Tensor, sizes: tuple[int, ...], shrink: float) -> Tensor:
    """-> covariance (B, N, N)"""
    low = lower_blocks(coupling, sizes)
    size = low.abs()
    total = size.sum(2) + size.sum(1)  # (B, N)
    # sqrt apart, so that 1e-6 / 1e38 does not fall below the smallest float
    root = ((shrink * variance).sqrt() / (total + DELTA).sqrt()).clamp(max=1.0)
    low = (low * root.unsqueeze(2)) * root.unsqueeze(1)
    return low + low.mT + torch.diag_embed(variance)


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
    """-> sample (B, N), kl (B,), the first row that has no factor or is not finite, or -1"""
    factor, failed = torch.linalg.cholesky_ex(covariance(variance, coupling, sizes, shrink))
    sample = mean + (factor @ noise.unsqueeze(2)).squeeze(2)
    divergence = kl(mean, factor, prior_mean, prior_tril)
    fine = torch.isfinite(divergence) & torch.isfinite(sample).all(1) & (failed == 0)
    return sample, divergence, first_row(~fine)


def kl(mean: Tensor, scale_tril: Tensor, prior_mean: Tensor, prior_tril: Tensor) -> Tensor:
    """-> KL(N(mean, scale_tril scale_tril^T) || prior) (B,)"""
    inverse = inverse_tril(prior_tril)
    trace = (inverse @ scale_tril).square().sum((1, 2))
    distance = ((mean - prior_mean) @ inverse.mT).square().sum(1)
    log_ratio = log_diagonal(prior_tril) - log_diagonal(scale_tril)
    return 0.5 * (trace + distance - mean.shape[1]) + log_ratio


def log_diagonal(scale_tril: Tensor) -> Tensor:
    """Half the log determinant of scale_tril scale_tril^T."""
    return scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def inverse_tril(scale_tril: Tensor) -> Tensor:
    """Inverse of a lower triangular matrix."""
    eye = torch.eye(scale_tril.shape[-1], dtype=scale_tril.dtype, device=scale_tril.device)
    return torch.linalg.solve_triangular(scale_tril, eye, upper=False)


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
    """Condition each row on its own subset: one batched Cholesky with the observed entries first.

    In that order chol(matrix) = [[L_oo, 0], [L_mo, L_mm]], and L_mm is the factor of the conditional covariance.

    Args:
        mean, observed, noise: (B, N). matrix: the covariances (B, N, N). mask: (B, C) bool.

    Returns:
        mean (B, N), sample (B, N) or None, scale_tril (B, N, N) with zero rows and columns where observed or None, and
        the first row that has no factor or is not finite, or -1
    """
    seen = spread_mask(mask, sizes)
    order = torch.argsort(~seen, dim=1, stable=True)  # (B, N)
    back = torch.argsort(order, dim=1)
    there, first = seen.gather(1, order), permute(matrix, order)
    factor, failed = torch.linalg.cholesky_ex(first)
    given = torch.where(seen, observed - mean, 0).gather(1, order)
    white = torch.linalg.solve_triangular(factor, given.unsqueeze(2), upper=False)
    shift = (factor @ torch.where(there.unsqueeze(2), white, 0)).squeeze(2).gather(1, back)
    centre = torch.where(seen, observed, mean + shift)
    tril = torch.where(there.unsqueeze(1) | there.unsqueeze(2), 0, factor)
    sample = None
    if noise is not None:
        sample = centre + (tril @ noise.gather(1, order).unsqueeze(2)).squeeze(2).gather(1, back)
    fine = finite_rows(centre, sample) & (failed == 0)
    return centre, sample, permute(tril, back) if with_tril else None, first_row(~fine)


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
    """`condition` with the covariances in packed form."""
    matrix = covariance(variance, coupling, sizes, shrink)
    return condition(mean, matrix, observed, mask, groups, sizes, noise, with_tril)


def factor_orders(matrix: Tensor, order: Tensor) -> tuple[Tensor, int]:
    """Cholesky factors of one matrix (N, N) with its entries in each order (M, N).

    Returns:
        factors (M, N, N), the first order without one, or -1
    """
    factor, failed = torch.linalg.cholesky_ex(permute(matrix.expand(len(order), -1, -1), order))
    return factor, first_row(failed != 0)


def condition_shared(
    prior_mean: Tensor,
    factor: Tensor,
    observed: Tensor,
    groups: MaskGroups,
    sizes: tuple[int, ...],
    noise: Tensor | None,
) -> tuple[Tensor, Tensor | None, int]:
    """Condition under a shared prior, two solves and products per distinct mask.

    Args:
        factor: (M, N, N) one per distinct mask: Cholesky factor of the covariance with the observed entries first.

    Returns:
        mean (B, N), sample (B, N) or None, the first row that is not finite, or -1
    """
    counts = [stop - start for start, stop in pairwise(groups.begin)]
    seen = spread_mask(groups.distinct, sizes)  # (M, N)
    back = torch.argsort(groups.order)
    means, samples = [observed[:0]], [observed[:0]]
    for there, low, rows in zip(seen, factor, groups.order.split(counts) if counts else (), strict=True):
        o, m = there.nonzero().squeeze(1), (~there).nonzero().squeeze(1)
        given = observed[rows]
        white = torch.linalg.solve_triangular(low[: len(o), : len(o)], (given[:, o] - prior_mean[o]).mT, upper=False)
        centre = prior_mean[m] + (low[len(o) :, : len(o)] @ white).mT
        means.append(given.index_copy(1, m, centre))
        if noise is not None:
            drawn = centre + noise[rows][:, m] @ low[len(o) :, len(o) :].mT
            samples.append(given.index_copy(1, m, drawn))
    mean = torch.cat(means)[back]
    sample = None if noise is None else torch.cat(samples)[back]
    return mean, sample, first_row(~finite_rows(mean, sample))


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
    """Multiply the prior with the diagonal Gaussian evidence of the components that each row's mask shows.

    Returns:
        mean (B, N), sample (B, N) or None, kl to the prior (B,), scale_tril (B, N, N) or None, the first row that is
        not finite or whose precision is negative, or -1
    """
    seen = spread_mask(mask, sizes)
    centre, precision = torch.where(seen, centre, 0), torch.where(seen, precision, 0)
    row = first_row(~((precision >= 0) & torch.isfinite(precision)).all(1))
    if row >= 0:  # no factor to be had
        return centre, noise, centre[:, 0], None, row
    fixed = prior_mean, prior_tril, *(() if noise is None else (noise,))
    fitted = torch.is_grad_enabled() and (centre.requires_grad or precision.requires_grad)
    run = Evidence.apply if fitted and not any(x.requires_grad for x in fixed) else multiply
    mean, sample, divergence, tril = run(prior_mean, prior_tril, centre, precision, noise)
    fine = torch.isfinite(divergence) & finite_rows(mean, sample)
    return mean, sample, divergence, tril if with_tril else None, first_row(~fine)


def multiply(
    prior_mean: Tensor, prior_tril: Tensor, centre: Tensor, precision: Tensor, noise: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """The prior times evidence on every entry (precision 0 = none), whitened: z = m_p + L_p u.

    There the precision I + L_p^T E L_p has no eigenvalue below 1: its Cholesky factor always exists. Taken in reversed
    order, that factor's inverse transpose is lower triangular, and so is the posterior's scale_tril.

    Returns:
        mean (B, N), sample (B, N) or None, kl to the prior (B,), scale_tril (B, N, N)
    """
    size = prior_mean.shape[0]
    eye = torch.eye(size, dtype=prior_tril.dtype, device=prior_tril.device)
    white = eye + prior_tril.mT @ (precision.unsqueeze(2) * prior_tril)  # (B, N, N)
    factor = torch.linalg.cholesky(white.flip(1, 2))
    inverse = torch.linalg.solve_triangular(factor, eye.expand_as(factor), upper=False)
    root = inverse.mT.flip(1, 2)  # lower triangular, root root^T = white^-1
    pull = (precision * (centre - prior_mean)) @ prior_tril  # (B, N)
    shift = (root @ (root.mT @ pull.unsqueeze(2))).squeeze(2)
    divergence = 0.5 * (root.square().sum((1, 2)) + shift.square().sum(1) - size) + log_diagonal(factor)
    mean = prior_mean + shift @ prior_tril.mT
    tril = prior_tril @ root
    sample = None if noise is None else mean + (tril @ noise.unsqueeze(2)).squeeze(2)
    return mean, sample, divergence, tril


class Evidence(torch.autograd.Function):
    """`multiply` under a prior that needs no gradient: a reverse pass without a factorisation or a solve.

    With precision Lambda = P + E, Sigma = Lambda^-1 = T T^T and e the diagonal of E:

        d mean = Sigma (E dy + de (y - mean)),  d Sigma = -Sigma dE Sigma,  d T = T phi(T^-1 dSigma T^-T)
        dkl/dmean = E (y - mean),  dkl/dSigma = -E / 2

    (phi: the lower triangle, its diagonal halved), so T^-1 and T^-T cancel. Source: Murray, "Differentiation of the
    Cholesky decomposition", 2016, eq. 8.
    """

    @staticmethod
    def forward(ctx, prior_mean, prior_tril, centre, precision, noise):
        mean, sample, divergence, tril = multiply(prior_mean, prior_tril, centre, precision, noise)
        ctx.save_for_backward(centre, precision, noise, mean, tril)
        return mean, sample, divergence, tril

    @staticmethod
    def backward(ctx, d_mean, d_sample, d_kl, d_tril):
        centre, precision, noise, mean, tril = ctx.saved_tensors
        apart, d_kl = centre - mean, d_kl.unsqueeze(1)
        d_mean = d_mean + d_kl * precision * apart
        if noise is not None:
            d_mean = d_mean + d_sample
            d_tril = d_tril + d_sample.unsqueeze(2) * noise.unsqueeze(1)
        pull = (tril @ (tril.mT @ d_mean.unsqueeze(2))).squeeze(2)
        squares = (tril @ tril.mT).square()
        d_precision = pull * apart - turning(tril, d_tril) + 0.5 * d_kl * (squares @ precision.unsqueeze(2)).squeeze(2)
        return None, None, precision * pull, d_precision, None


def turning(tril: Tensor, d_tril: Tensor) -> Tensor:
    """What precisions lose to the gradient of scale_tril: the diagonal of T phi(T^T d_tril) T^T. -> (B, N)"""
    moved = tril.mT @ d_tril
    moved = moved.tril(-1) + 0.5 * torch.diag_embed(moved.diagonal(dim1=1, dim2=2))
    return ((tril @ moved) * tril).sum(2)
