"""A tiny data set, run folders, and a model so small that what the loop does to it can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from epurecli.checkpoint import start_run
from epurecli.config import RunConfig, load_config
from epurecli.config.schema import StageConfig
from epurecli.data.dataset import Dataset, open_dataset
from epurecli.models.contract import Objective, Stage
from epurecli.models.registry import build, schema_of
from epurecli.nn.step import Step
from epurecli.training.job import TrainingJob
from epurecli.types import Batch, Losses


@pytest.fixture(scope="session")
def small() -> RunConfig:
    """88 toy tyres: 70 to train, 7 to validate, 11 to test."""
    return load_config("vae_toy_test", schema_of, ["data.toy.count=88"])


@pytest.fixture(scope="session")
def dataset(small: RunConfig) -> Dataset:
    return open_dataset(small.data)


class Point(nn.Module):
    """One weight w, pulled by a gradient that the test writes down: loss = slope(step) * w.

    Validation is a list of figures, or w itself. It records what it sees.
    """

    def __init__(self, config: RunConfig, settings: StageConfig) -> None:
        super().__init__()
        self.config, self.settings = config, settings
        self.inner = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.inner.weight)
        self.slopes: Callable[[int], float] = lambda step: 1.0
        self.figures: Sequence[float] | None = None
        self.seen: list[Tensor] = []  # conditions of training batches
        self.steps: list[Step] = []
        self.at_validation: list[float] = []

    @property
    def w(self) -> float:
        return self.inner.weight.item()

    def loss(self, batch: Batch, step: Step) -> Losses:
        self.seen.append(batch.condition)
        self.steps.append(step)
        total = self.slopes(step.index) * self.inner.weight.sum()
        return Losses(total, {"image": batch.image.mean(), "noise": torch.rand((), generator=step.generator)})

    def validate(self, batch: Batch, step: Step) -> Losses:
        self.at_validation.append(self.w)
        figure = self.inner.weight.detach().sum()
        if self.figures is not None:
            figure = torch.tensor(float(self.figures[step.epoch - 1]))
        return Losses(figure, {"image": batch.image.mean(), "noise": torch.rand((), generator=step.generator)})

    def stages(self) -> list[Stage]:
        return [Stage("pull", self.settings, (Objective("pull", (self.inner,), self.loss),), self.validate)]

    def stage_files(self, stage: str) -> dict:
        return {}

    def upgraded(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return weights


@pytest.fixture
def make_run(small: RunConfig, dataset: Dataset, tmp_path: Path) -> Callable[..., TrainingJob]:
    """A run of any model in a new run folder (or `folder`)."""

    def make(model: nn.Module, folder: Path | None = None, seed: int = 0, data: Dataset = dataset) -> TrainingJob:
        folder = folder or start_run(model.config, data, tmp_path / "runs")
        return TrainingJob(model, data, folder, seed, torch.device("cpu"))

    return make


@pytest.fixture
def point(small: RunConfig, make_run) -> Callable[..., SimpleNamespace]:
    """A `Point` and its run, ready to train: point(epochs=3, lr=0.1, ...)."""

    def make(**settings: object) -> SimpleNamespace:
        training = small.training.model_copy(update={"budget_s": settings.pop("budget_s", None)})
        stage = StageConfig(**{"batch_size": 35, "epochs": 1, "lr": 0.1, "grad_clip": 100.0, **settings})
        model = Point(small.model_copy(update={"training": training}), stage)
        return SimpleNamespace(model=model, run=make_run(model))

    return make


@pytest.fixture
def new_model() -> Callable[..., nn.Module]:
    """A freshly built model: new_model(config, seed)."""

    def make(config: RunConfig, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return build(config)

    return make
