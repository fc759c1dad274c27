"""Running mean and covariance, updated batch by batch."""

from __future__ import annotations

from torch import Tensor

from epurecli.nn.step import Step


def moment_step(
    mean: Tensor,
    covariance: Tensor,
    rows: Tensor,
    weight: float | Tensor,
    step: Step,
    within: Tensor | float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Mix a batch into running moments: exactly those of the mixture (1 - weight) old + weight batch.

    Args:
        mean: (N,).
        covariance: (N, N).
        rows: (B, N) this process's part of the batch.
        weight: 0 .. 1, the whole batch's share.
        step: pools what the processes see.
        within: (N, N) mean covariance of the rows themselves, where each is a distribution and not a point.

    Returns:
        What the mean moves by (N,), and the new covariance (N, N), positive definite where the old one was.
    """
    whole = step.size(len(rows))
    centre = step.total(rows.sum(0)) / whole
    around, shift = rows - centre, centre - mean
    batch = step.total(len(rows) * within + around.mT @ around) / whole
    return weight * shift, covariance.lerp(batch, weight) + weight * (1 - weight) * shift.outer(shift)
