"""The processes that train one model together.

`batch_size` is that of the whole step: each rank computes its rows of every batch, so the loss curve does not depend
on how many there are. (But each rank draws its own dropout, and a last batch of fewer designs than ranks is left
out.) Gradients are averaged by torch's DistributedDataParallel.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import torch
from torch import Tensor, nn

from epurecli.config.schema import StageConfig
from epurecli.models.contract import Loss, Objective
from epurecli.nn.step import Step
from epurecli.ranks import Ranks
from epurecli.training.batch_norm import pool_batch_norms
from epurecli.types import Losses


class TrainingRanks(Ranks):
    """What the loop asks of the ranks."""

    folder: Path | None = None  # of the run, agreed on

    def step(
        self, generator: torch.Generator, whole: int, settings: StageConfig, epoch: int = 0, index: int = 0
    ) -> Step:
        """What a loss is told of a batch of `whole` designs, of which this rank has its rows."""
        start = min(self.rows(whole).start, whole - 1)
        return Step(generator, settings, epoch, index, start, whole, self.total)

    def prepare(self, model: nn.Module) -> None:
        """Let what depends on the rest of a batch see all of it."""
        if self.fabric is not None:
            pool_batch_norms(model)

    def loss(self, objective: Objective) -> Loss:
        """The objective's loss, made ready for `backward`."""
        if self.fabric is None:
            return objective.loss
        joined = self.fabric.strategy.setup_module(_Joined(objective))

        def loss(*arguments) -> Losses:
            total, terms = joined(arguments)
            return Losses(total, terms)

        return loss

    def backward(self, total: Tensor, rows: int, step: Step) -> None:
        """Gradients of the mean over the whole batch, from each rank's mean over its own rows."""
        if self.fabric is not None:  # they come out averaged over ranks, whose numbers of rows may differ by one
            total = total * (self.count * rows / step.size(rows))
        total.backward()

    def advice(self) -> str | None:
        if self.folder is None or not (self.folder / "state.safetensors").is_file():
            return super().advice()
        return f"go on from the last saved state: --resume {shlex.quote(str(self.folder))}"


class _Joined(nn.Module):
    """An objective as the one module that DistributedDataParallel wants: forward is the loss."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.parts, self.loss = nn.ModuleList(objective.trains), objective.loss

    def forward(self, arguments: tuple) -> tuple[Tensor, dict[str, Tensor]]:
        losses = self.loss(*arguments)
        return losses.total, losses.terms
