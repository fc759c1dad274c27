"""What training is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from epurecli.data.dataset import Dataset
from epurecli.models.contract import GenerativeModel
from epurecli.train.ranks import Ranks
from epurecli.train.reporter import Reporter, Silent


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
    ranks: Ranks = field(default_factory=Ranks)
