"""Component masks: spread over latent entries, rows grouped by equal masks, matrices reordered by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_COUNTED = 16  # up to so many components, equal masks are found by counting rather than by sorting


@dataclass(frozen=True, slots=True)
class MaskGroups:
    """Rows with equal masks side by side: group m is the rows order[begin[m] : begin[m + 1]]."""

    distinct: Tensor  # (M, C) bool
    order: Tensor  # (B,) int64
    begin: list[int]  # (M + 1,)

    def index(self) -> Tensor:
        """Every row's group. -> (B,) int64"""
        counts = torch.tensor(self.begin, device=self.order.device).diff()
        groups = torch.arange(len(counts), device=self.order.device)
        index = torch.empty_like(self.order)
        index[self.order] = groups.repeat_interleave(counts, output_size=len(self.order))
        return index


def spread_mask(mask: Tensor, sizes: Sequence[int]) -> Tensor:
    """Component mask (*, C) -> entry mask (*, N)."""
    component = [index for index, size in enumerate(sizes) for _ in range(size)]
    return mask[..., component]


def group_rows(mask: Tensor) -> MaskGroups:
    """Group the rows of a mask (B, C), in torch."""
    components = mask.shape[1]
    if components > _COUNTED:
        distinct, index, counts = torch.unique(mask, dim=0, return_inverse=True, return_counts=True)
        return MaskGroups(distinct, torch.argsort(index, stable=True), [0, *counts.cumsum(0).tolist()])
    bits = torch.arange(components, device=mask.device)
    codes = (mask.long() << bits).sum(1)
    counts = torch.bincount(codes, minlength=1 << components)
    present = counts.nonzero().squeeze(1)  # (M,)
    distinct = ((present.unsqueeze(1) >> bits) & 1).bool()
    return MaskGroups(distinct, torch.argsort(codes, stable=True), [0, *counts[present].cumsum(0).tolist()])


def permute(matrix: Tensor, order: Tensor) -> Tensor:
    """matrix[b, order[b], :][:, order[b]] for every b. matrix: (B, N, N), order: (B, N)."""
    size = order.shape[1]
    matrix = matrix.gather(1, order.unsqueeze(2).expand(-1, -1, size))
    return matrix.gather(2, order.unsqueeze(1).expand(-1, size, -1))
