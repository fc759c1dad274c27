"""How good the weights are: what ranks epochs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from epurecli.data.dataset import Dataset
from epurecli.data.loader import epoch_rows
from epurecli.errors import Diverged
from epurecli.models.base import Stage
from epurecli.training.encoded import Encoded
from epurecli.training.run import Run
from epurecli.training.state import generator
from epurecli.types import Clock

VALIDATION_BATCH = 256


@torch.no_grad()
def validate(run: Run, stage: Stage, designs: Dataset | Encoded, clock: Clock) -> dict[str, float]:
    """Mean terms over the validation designs, the same noise every time. `total` ranks epochs."""
    run.model.eval()
    rng = generator(run.seed, "validate", device=run.device)
    sums: dict[str, Tensor] = {}
    for rows in epoch_rows(designs.validation, VALIDATION_BATCH, None):
        mine = run.ranks.rows(len(rows))
        weight = mine.stop - mine.start  # a rank without rows looks at one that does not count: all must name the terms
        batch = designs.batch(rows[mine] if weight else rows[:1], run.device)
        losses = stage.validate(batch, clock, run.ranks.shard(rng, len(rows)))
        for name, value in {"total": losses.total, **losses.terms}.items():
            sums[name] = sums.get(name, 0.0) + value * weight
    terms = {k: v / len(designs.validation) for k, v in run.ranks.totals(sums).items()}
    if not math.isfinite(terms["total"]):
        raise Diverged(
            f"{stage.name}, epoch {clock.epoch}: the validation loss is {terms['total']}",
            hint=f"the last good weights are kept in {run.folder}; try a smaller training.lr",
        )
    return terms
