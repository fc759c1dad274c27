"""What has to be trained for a comparison, and which of it stands already: each model from each seed, checked before
any of it begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from epurecli.api.judging import reference_of
from epurecli.api.training import open_training, resolve
from epurecli.checkpoint import as_kept, read_run
from epurecli.config import RunConfig, load_config, shipped
from epurecli.errors import CheckpointError, ConfigError, NotFound, UsageError
from epurecli.files import Lock, writing
from epurecli.listener import QUIET, Listener
from epurecli.models.registry import REGISTRY, entry_of, schema_of


@dataclass(frozen=True, slots=True)
class Training:
    """One model to be trained from one seed.

    Attributes:
        name: what it is called in tables: the model or the config, as it was asked for.
        config: resolved, as a run folder keeps it; seed and budget are in it.
        digest: of the data.
    """

    name: str
    config: RunConfig
    digest: str

    @property
    def seed(self) -> int:
        return self.config.training.seed

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Standing:
    """A run that a training has left."""

    folder: Path
    finished: bool  # else it can go on


def plan_trainings(
    names: Sequence[str],
    seeds: Sequence[int],
    data: Path | None = None,
    settings: Sequence[str] = (),
    budget: str | None = None,
    device: torch.device = torch.device("cpu"),
    listener: Listener = QUIET,
) -> list[Training]:
    """Every model from every seed, all of the first seed before the second; nothing is written.

    Args:
        names: models, shipped configs, or YAML files.
        settings: overrides of all their configs, as `--set`.

    Raises:
        UsageError: no such model; one named twice, or two names for the same config.
        ConfigError, NotFound, DataError: of configs and data; whatever `epure train` and `epure evaluate` would refuse.
    """
    configs: dict[str, RunConfig] = {}
    for name in names:
        if name in configs:
            raise UsageError(f"{name} is named twice", hint="name each model once; seeds are for repetitions")
        config = as_kept(_resolved(name, data, settings, budget, max(seeds), listener))  # if it fits, all do
        same = next((other for other, known in configs.items() if known == config), None)
        if same is not None:
            raise UsageError(f"{same} and {name} are the same config", hint="name it once; seeds are for repetitions")
        configs[name] = config
    first: list[Training] = []
    for name, config in configs.items():
        with torch.random.fork_rng(devices=[]):
            dataset, _ = open_training(config, device, listener=listener)
        if not first:
            reference_of(dataset)  # whether there are designs enough to judge by
        first.append(Training(name, config, dataset.digest))
        if dataset.digest != first[0].digest:
            raise UsageError(
                f"{first[0].name} and {name} train on different data: their figures cannot stand side by side",
                hint="--data DIR gives all of them the same",
            )
    return [Training(t.name, _seeded(t.config, seed), t.digest) for seed in seeds for t in first]


def standing(training: Training) -> Standing | None:
    """The newest finished run of exactly this training, else the newest that can go on; None: there is neither.

    Raises: UsageError: another process is training it.
    """
    left = None
    for folder, facts in _runs_of(training):
        if facts.get("finished"):
            return Standing(folder, True)
        with writing(folder), Lock(folder / ".lock", str(folder)):
            if left is None and (folder / "state.safetensors").is_file():
                left = Standing(folder, False)
    return left


def _resolved(
    name: str, data: Path | None, settings: Sequence[str], budget: str | None, seed: int, listener: Listener
) -> RunConfig:
    if name in REGISTRY:
        return resolve(name, None, data, settings, budget, seed, listener)
    if name not in shipped() and not name.endswith((".yaml", ".yml")) and not Path(name).is_file():
        entry_of(name)  # which says what is near
    model = load_config(name, schema_of).model.type
    return resolve(model, name, data, settings, budget, seed, listener)


def _seeded(config: RunConfig, seed: int) -> RunConfig:
    return config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})


def _runs_of(training: Training) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Runs with the same config on the same data, newest first."""
    found = []
    for path in training.config.paths.output_dir.glob("*/run.json"):
        try:
            facts = read_run(path.parent)
            if facts["data"]["digest"] != training.digest:
                continue
            config = load_config(path.parent / "config.yaml", schema_of)
        except (CheckpointError, ConfigError, NotFound):
            continue  # damaged, or of a version that knew other keys: not this training
        if config == training.config:
            found.append((str(facts.get("created", "")), path.parent, facts))
    yield from ((folder, facts) for _, folder, facts in sorted(found, key=lambda entry: entry[:2], reverse=True))
