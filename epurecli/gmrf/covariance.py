"""Covariances from a network's free outputs, and a Cholesky factorisation that says what it did."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from epurecli.errors import NotPositiveDefinite
from epurecli.gmrf import backend, checks

SHRINK = 0.9
_JITTERS = {torch.float32: (1e-6, 1e-5, 1e-4), torch.float64: (1e-12, 1e-10, 1e-8, 1e-6)}


class JitterWarning(RuntimeWarning):
    """A matrix only has a Cholesky factor after its diagonal was raised."""


def coupling_size(sizes: Sequence[int]) -> int:
    """Number K of free cross-component entries, (N^2 - sum of squared sizes) / 2.

    Packing order of a coupling row: for each component b = 1, 2, ... one block of shape (sizes[b], start_b), row-major,
    where start_b = sizes[0] + ... + sizes[b-1]: component b's rows of the matrix, left of its diagonal block. So
    component a's part of the block are its columns start_a .. start_a + sizes[a].
    """
    sizes = checks.check_sizes(sizes)
    return (sum(sizes) ** 2 - sum(size * size for size in sizes)) // 2


def assemble_covariance(
    variance: Tensor,  # (B, N), > 0
    coupling: Tensor,  # (B, K), any finite numbers
    sizes: Sequence[int],
    shrink: float = SHRINK,
) -> Tensor:  # (B, N, N)
    """Assemble a positive definite covariance from variances and free cross-component coupling.

    With M the symmetric matrix of the coupling (see `coupling_size` for its order), zero within components:

        s_i = sum_j |M_ij|,  alpha_i = min(1, shrink v_i / (s_i + 1e-8)),  Sigma = diag(v) + M_ij sqrt(alpha_i alpha_j)

    It is positive definite because diag(v / alpha) + M is strictly diagonally dominant, and Sigma congruent to it. The
    entries within a component are exactly zero off the diagonal. Differentiable (twice with the torch twin).

    Raises:
        TypeError, ValueError: dtype, shape, device or sizes that do not fit.
        NumericalError: a variance that is not positive, or NaN.

    Source: the project plan, section 2.1, "Covariance Assembly".
    """
    sizes = checks.check_sizes(sizes)
    checks.check_shrink(shrink)
    rows = checks.check_rows("variance", variance, sum(sizes))
    checks.check_float("coupling", coupling, (rows, coupling_size(sizes)), like=variance)
    covariance, bad = backend.body(variance).assemble(variance, coupling, sizes, shrink)
    if bad >= 0:
        checks.check_values(variance, coupling=coupling)
    return covariance


def cholesky(matrix: Tensor) -> Tensor:
    """Lower Cholesky factor of symmetric matrices (*, N, N), with a policy.

    Tries as is. Only the matrices that fail are tried again with a growing jitter on their diagonal, relative to their
    mean diagonal (float32 1e-6 to 1e-4, float64 1e-12 to 1e-6); how many needed which is said in one `JitterWarning`.

    Raises:
        NotPositiveDefinite: naming the first row that has no factor even so (or is not finite).
    """
    if not isinstance(matrix, Tensor) or matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ValueError(f"matrix: expected shape (*, N, N), got {tuple(getattr(matrix, 'shape', ()))}")
    checks.check_float("matrix", matrix, tuple(matrix.shape))
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if not failed.any():
        return factor
    wrong = failed.ne(0)
    size = matrix.shape[-1]
    level = matrix.diagonal(dim1=-2, dim2=-1).mean(-1).detach().abs()
    jitter = torch.zeros_like(level)
    eye = torch.eye(size, dtype=matrix.dtype, device=matrix.device)
    for relative in _JITTERS[matrix.dtype]:
        jitter = torch.where(wrong, relative * level, jitter)
        factor, failed = torch.linalg.cholesky_ex(matrix + jitter[..., None, None] * eye)
        wrong = failed.ne(0)
        if not wrong.any():
            count = int(jitter.ne(0).sum())
            warnings.warn(
                f"{count} of {failed.numel()} matrices are not positive definite; up to {relative:g} of their mean "
                "diagonal was added to it",
                JitterWarning,
                stacklevel=2,
            )
            return factor
    raise _not_positive_definite(matrix, wrong)


def _not_positive_definite(matrix: Tensor, wrong: Tensor) -> NotPositiveDefinite:
    row = [int(k) for k in wrong.nonzero()[0]] if wrong.ndim else []
    bad = matrix[tuple(row)].detach()
    if not torch.isfinite(bad).all():
        return NotPositiveDefinite(f"matrix: row {row} holds numbers that are not finite")
    least = float(torch.linalg.eigvalsh(bad.double())[0])
    most = _JITTERS[matrix.dtype][-1]
    return NotPositiveDefinite(
        f"matrix: row {row} is not positive definite (smallest eigenvalue {least:.3g}), even with {most:g} of its mean "
        "diagonal added"
    )
