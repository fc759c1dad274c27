"""Exact conditioning on a subset of components, another in every row: calls only, as it has no backward."""

from __future__ import annotations

import torch
from torch import Tensor

from epurecli.gmrf import masks, reference
from epurecli.gmrf.masks import MaskGroups
from epurecli.gmrf.native.extension import contiguous, empty_sample, ext, launch, run


def group_rows(mask: Tensor) -> MaskGroups:
    """See `masks.group_rows`."""
    if mask.is_cuda:
        return masks.group_rows(mask)
    mask = mask.contiguous()
    order = torch.empty(len(mask), dtype=torch.int64)
    begin = ext.group_rows(*mask.shape, {"mask": mask, "order": order})
    return MaskGroups(mask[order[begin[:-1]]], order, begin)


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
    """See `reference.condition`."""
    covariances = {"shrink": 0.0, "variance": None, "coupling": None, "covariance": matrix.contiguous()}
    return _condition(covariances, mean, observed, mask, groups, sizes, noise, with_tril)


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
    """See `reference.condition_coupled`."""
    variance, coupling = contiguous(variance, coupling)
    covariances = {"shrink": shrink, "variance": variance, "coupling": coupling, "covariance": None}
    return _condition(covariances, mean, observed, mask, groups, sizes, noise, with_tril)


def _condition(
    covariances: dict[str, object],  # the fields that hold them, packed or whole
    mean: Tensor,
    observed: Tensor,
    mask: Tensor,
    groups: MaskGroups,
    sizes: tuple[int, ...],
    noise: Tensor | None,
    with_tril: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None, int]:
    mean, observed, mask, noise = contiguous(mean, observed, mask, noise)
    rows, size = observed.shape
    centre, sample = torch.empty_like(observed), empty_sample(noise)
    tril = observed.new_zeros(rows, size, size) if with_tril else None
    fields = covariances | {
        "mean": mean,
        "observed": observed,
        "noise": noise,
        "mask": mask,
        "centre": centre,
        "sample": sample,
        "tril": tril,
        "order": groups.order,
        "begin": groups.begin,
    }
    if not observed.is_cuda:
        return centre, sample, tril, run("condition", sizes, rows, fields)
    bad = launch("condition", sizes, observed, fields)
    return centre, sample, tril, reference.first_row(bad | ~reference.finite_rows(centre, sample))


def factor_orders(matrix: Tensor, order: Tensor) -> tuple[Tensor, int]:
    """See `reference.factor_orders`; on a GPU by the twin."""
    if matrix.is_cuda:
        return reference.factor_orders(matrix, order)
    matrix, order = contiguous(matrix, order)
    orders, size = order.shape
    factor = matrix.new_empty(orders, size, size)
    return factor, run("factor_orders", (size,), orders, {"matrix": matrix, "order": order, "factor": factor})


def condition_shared(
    prior_mean: Tensor,
    factor: Tensor,
    observed: Tensor,
    groups: MaskGroups,
    sizes: tuple[int, ...],
    noise: Tensor | None,
) -> tuple[Tensor, Tensor | None, int]:
    """See `reference.condition_shared`; on a GPU by the twin."""
    if observed.is_cuda:
        return reference.condition_shared(prior_mean, factor, observed, groups, sizes, noise)
    prior_mean, factor, observed, noise = contiguous(prior_mean, factor, observed, noise)
    centre, sample = torch.empty_like(observed), empty_sample(noise)
    fields = {
        "order": groups.order,
        "begin": groups.begin,
        "prior_mean": prior_mean,
        "factor": factor,
        "observed": observed,
        "noise": noise,
        "mask": groups.distinct,
        "centre": centre,
        "sample": sample,
    }
    return centre, sample, run("condition_shared", sizes, len(observed), fields)
