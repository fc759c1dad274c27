"""What training is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from epurecli.data.dataset import Dataset
from epurecli.models.contract import GenerativeModel
from epurecli.threads import Threads
from epurecli.training.ranks import TrainingRanks
from epurecli.training.reporter import Reporter, Silent


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A model, what it learns from, where its files go (a run folder), and how it computes."""

    model: GenerativeModel
    dataset: Dataset
    folder: Path
    seed: int
    device: torch.device
    autocast: bool = False
    reporter: Reporter = field(default_factory=Silent)
    ranks: TrainingRanks = field(default_factory=TrainingRanks)
    threads: Threads = field(default_factory=lambda: Threads(fixed=True))
