"""How good the weights are: what ranks epochs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from epurecli.data.dataset import Dataset
from epurecli.data.loader import epoch_rows
from epurecli.errors import Diverged
from epurecli.models.contract import Loss, Stage
from epurecli.nn.step import Step
from epurecli.training.encoded import Encoded
from epurecli.training.job import TrainingJob
from epurecli.training.state import generator
from epurecli.types import Losses

VALIDATION_BATCH = 256


@torch.no_grad()
def validate(job: TrainingJob, stage: Stage, designs: Dataset | Encoded, epoch: int) -> dict[str, float]:
    """The stage's terms on the validation designs, the same noise every time. `total` ranks epochs.

    Raises: Diverged: `total` is not finite.
    """
    job.model.eval()
    terms: dict[str, float] = {}
    if stage.validate is not None:
        terms |= _mean_terms(job, stage, stage.validate, designs, epoch)
    if stage.score is not None:
        terms |= _scored(job, stage, designs, epoch)
    if not math.isfinite(terms["total"]):
        raise Diverged(
            f"{stage.name}, epoch {epoch}: the validation loss is {terms['total']}",
            hint=f"the last good weights are kept in {job.folder}; try a smaller training.lr",
        )
    return terms


def _mean_terms(job: TrainingJob, stage: Stage, loss: Loss, designs: Dataset | Encoded, epoch: int) -> dict[str, float]:
    """Means over designs; each rank looks at its rows of each batch."""
    rng = generator(job.seed, "validate", device=job.device)
    sums: dict[str, Tensor] = {}
    for rows in epoch_rows(designs.validation, VALIDATION_BATCH, None):
        mine = job.ranks.rows(len(rows))
        weight = mine.stop - mine.start  # a rank without rows looks at one that does not count: all must name the terms
        batch = designs.batch(rows[mine] if weight else rows[:1], job.device)
        losses = loss(batch, job.ranks.step(rng, len(rows), stage.settings, epoch))
        for name, value in _named(losses).items():
            sums[name] = sums.get(name, 0.0) + value * weight
    return {k: v / len(designs.validation) for k, v in job.ranks.totals(sums).items()}


def _scored(job: TrainingJob, stage: Stage, designs: Dataset | Encoded, epoch: int) -> dict[str, float]:
    """The figure of all designs together: every rank computes it, the first one's counts."""
    assert stage.score is not None
    rng = generator(job.seed, "score", device=job.device)
    rows = epoch_rows(designs.validation, VALIDATION_BATCH, None)
    losses = stage.score((designs.batch(r, job.device) for r in rows), Step(rng, stage.settings, epoch))
    return job.ranks.totals({k: v * float(job.ranks.writes) for k, v in _named(losses).items()})


def _named(losses: Losses) -> dict[str, Tensor]:
    return {"total": losses.total, **losses.terms}
