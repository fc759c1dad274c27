"""An objective at work: its optimizer and its moving average of weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from epurecli.config.schema import OptimizerConfig, StageConfig
from epurecli.models.contract import Objective
from epurecli.training.ema import Average


@dataclass(frozen=True, slots=True)
class Worker:
    """What one objective needs to train."""

    objective: Objective
    optimizer: torch.optim.Optimizer
    average: Average | None

    def settings(self, stage: StageConfig) -> OptimizerConfig:
        """The optimizer's settings: the objective's own, else the stage's."""
        return self.objective.optimizer or stage


def build_optimizer(objective: Objective, stage: StageConfig) -> torch.optim.Optimizer:
    """Adam or AdamW in its fused form (one kernel over all parameters, also on the CPU)."""
    wanted = objective.optimizer or stage
    kind = torch.optim.AdamW if wanted.optimizer == "adamw" else torch.optim.Adam
    parameters = list(objective.parameters())
    return kind(parameters, lr=wanted.lr, betas=wanted.betas, weight_decay=wanted.weight_decay, fused=True)


def average_of(objective: Objective, decay: float | None) -> Average | None:
    """The moving average of what the objective trains, where the stage and the objective want one."""
    return Average(list(objective.parameters()), decay) if decay is not None and objective.averaged else None
