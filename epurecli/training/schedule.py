"""Optimizers and learning-rate shapes, as pure functions of where training stands."""

from __future__ import annotations

import math

import torch

from epurecli.config.schema import StageConfig
from epurecli.models.base import Objective


def learning_rate(stage: StageConfig, step: int, progress: float, plateau_scale: float) -> float:
    """The rate of one step.

    Args:
        step: optimizer steps done in the stage (linear warm-up over `warmup_steps`).
        progress: in [0, 1], the share of the epochs (or of the time budget) used up; `cosine` goes to zero with it.
        plateau_scale: what `plateau` has multiplied the rate by so far.
    """
    rate = stage.lr * plateau_scale
    if step < stage.warmup_steps:
        rate *= (step + 1) / stage.warmup_steps
    if stage.scheduler == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return rate


def build_optimizer(objective: Objective, stage: StageConfig) -> torch.optim.Optimizer:
    """Adam or AdamW in its fused form (one kernel over all parameters, also on the CPU)."""
    kind = torch.optim.AdamW if stage.optimizer == "adamw" else torch.optim.Adam
    return kind(list(objective.parameters()), lr=stage.lr, weight_decay=stage.weight_decay, fused=True)


def on_plateau(stage: StageConfig) -> bool:
    return stage.scheduler in ("plateau", "ReduceLROnPlateau")
