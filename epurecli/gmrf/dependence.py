"""How much the components' latents depend on each other under a Gaussian."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def canonical_correlations(covariance: Tensor, sizes: Sequence[int]) -> Tensor:  # (N, N) -> (C, C)
    """The largest canonical correlation of each pair of components; ones on the diagonal.

    For a pair (a, b): the largest singular value of L_a^-1 S_ab L_b^-T, with L L^T the diagonal blocks.
    Invariant to any invertible linear map within a component, so it does not depend on how each latent is scaled.

    Source: Hotelling, "Relations between two sets of variates", Biometrika 1936.
    """
    covariance = covariance.double()
    starts = [0, *torch.tensor(tuple(sizes)).cumsum(0).tolist()]
    blocks = [slice(a, b) for a, b in pairwise(starts)]
    factors = [torch.linalg.cholesky(covariance[s, s]) for s in blocks]
    table = torch.eye(len(blocks), dtype=torch.float64)
    for i, first in enumerate(blocks):
        for j, second in enumerate(blocks[:i]):
            left = torch.linalg.solve_triangular(factors[i], covariance[first, second], upper=False)
            both = torch.linalg.solve_triangular(factors[j], left.mT, upper=False)
            table[i, j] = table[j, i] = torch.linalg.matrix_norm(both, 2)
    return table


def correlation(covariance: Tensor) -> Tensor:  # (N, N) -> (N, N)
    """S_ij / sqrt(S_ii S_jj)."""
    spread = covariance.diagonal().sqrt()
    return covariance / (spread.unsqueeze(0) * spread.unsqueeze(1))
