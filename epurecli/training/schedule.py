"""Learning rates and time budgets, as pure functions of where training stands."""

from __future__ import annotations

import math
from collections.abc import Sequence

from epurecli.config.schema import OptimizerConfig, StageConfig
from epurecli.models.contract import Stage


def learning_rate(
    optimizer: OptimizerConfig, stage: StageConfig, step: int, fraction: float, plateau_scale: float
) -> float:
    """The rate of one step.

    Args:
        step: optimizer steps that the objective has done (linear warm-up over `warmup_steps`).
        fraction: in [0, 1], of the epochs (or of the time budget) used up; `cosine` goes to zero with it.
        plateau_scale: what `plateau` has multiplied the rate by so far.
    """
    rate = optimizer.lr * plateau_scale
    if step < stage.warmup_steps:
        rate *= (step + 1) / stage.warmup_steps
    if stage.scheduler == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
    return rate


def on_plateau(stage: StageConfig) -> bool:
    return stage.scheduler in ("plateau", "ReduceLROnPlateau")


def stage_budget(budget_s: float | None, stages: Sequence[Stage], index: int) -> float | None:
    """A stage's part of the seconds that a run may take, by the stages' shares; None = no limit."""
    if budget_s is None:
        return None
    return budget_s * stages[index].settings.share / sum(stage.settings.share for stage in stages)
