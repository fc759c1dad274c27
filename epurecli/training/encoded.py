"""A data set as a stage that only reads codes sees it: encoded once, not once an epoch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from epurecli.data.loader import epoch_batches
from epurecli.models.contract import Stage
from epurecli.training.job import TrainingJob
from epurecli.training.state import generator
from epurecli.types import Batch

LARGEST = 20_000  # designs of each part: codes are kept in memory, which shall not grow with the data
ENCODING_BATCH = 256


class Encoded:
    """Codes of the designs that train and validate, numbered anew: `train` and `validation` are rows of it, as in a
    `Dataset`."""

    def __init__(self, job: TrainingJob, stage: Stage) -> None:
        parts = [self._chosen(job, part) for part in (job.dataset.train, job.dataset.validation)]
        job.model.eval()
        designs = epoch_batches(job.dataset, np.concatenate(parts), ENCODING_BATCH, None, job.device)
        batches = [stage.view(batch) for batch in designs]  # in full precision: it is done once
        self.codes = torch.cat([batch.image for batch in batches])
        self.conditions = torch.cat([batch.condition for batch in batches])
        count = len(parts[0])
        self.train, self.validation = np.arange(count), np.arange(count, count + len(parts[1]))

    @staticmethod
    def _chosen(job: TrainingJob, part: NDArray[np.int64]) -> NDArray[np.int64]:
        if len(part) <= LARGEST:
            return part
        order = torch.randperm(len(part), generator=generator(job.seed, "encoded"))
        return part[np.sort(order[:LARGEST].numpy())]

    def batch(self, rows: NDArray[np.int64], device: torch.device) -> Batch:
        chosen = torch.from_numpy(rows).to(device)
        return Batch(self.codes[chosen], self.conditions[chosen])
