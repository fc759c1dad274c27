"""Where a run stands, as plain tensors and JSON: what is saved each epoch, and what `--resume` continues from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from epurecli.checkpoint import load_tensors, save_tensors, save_weights
from epurecli.errors import CheckpointError

if TYPE_CHECKING:
    from epurecli.models.contract import GenerativeModel
    from epurecli.training.worker import Worker


@dataclass
class Progress:
    """The loop's own variables. Everything else that changes is a tensor or a generator."""

    stage: int = 0
    epoch: int = 0  # epochs finished in the stage
    batch: int = 0  # batches finished in the epoch
    designs: int = 0  # designs seen in the epoch, set when it is stopped
    sums: dict[str, float] = field(default_factory=dict)  # of its losses, likewise
    steps: dict[str, int] = field(default_factory=dict)  # optimizer steps done in the stage, by objective
    rate: float = 0.0  # learning rate of the last of them
    elapsed: float = 0.0  # seconds spent in the stage
    best: float = float("inf")
    best_epoch: int = 0
    stale: int = 0  # evaluations without progress
    since_drop: int = 0  # the same, since `plateau` last lowered the rate
    plateau_scale: float = 1.0
    rows: list[dict[str, Any]] = field(default_factory=list)  # of metrics.csv, all stages

    @property
    def step(self) -> int:
        """Optimizer steps of all objectives together."""
        return sum(self.steps.values())


def generator(seed: int, *purpose: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for each purpose (stage, epoch, what for): order never depends on what else drew."""
    text = "/".join(str(part) for part in (seed, *purpose))
    value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
    return torch.Generator(device=device).manual_seed(value)


@dataclass(frozen=True, slots=True)
class SavedState:
    """What a state file holds beside `Progress`."""

    tensors: dict[str, Tensor]
    updates: tuple[int, ...]  # of each objective's average


def save_state(
    path: Path, progress: Progress, model: GenerativeModel, workers: Sequence[Worker], rng: torch.Generator
) -> None:
    """Raw weights, optimizer moments, averages, generator: all tensors; `Progress` as JSON in the header."""
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors["rng"] = rng.get_state()
    for i, worker in enumerate(workers):
        for index, moments in worker.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{index}.{k}": v for k, v in moments.items()}
        if worker.average is not None:
            tensors |= {f"average.{i}.{k}": t for k, t in enumerate(worker.average.shadow)}
    updates = [worker.average.updates if worker.average else 0 for worker in workers]
    save_tensors(path, tensors, {"progress": json.dumps(asdict(progress)), "averaged": json.dumps(updates)})


def load_state(path: Path) -> tuple[Progress, SavedState]:
    """Raises: CheckpointError: missing, damaged, or no training state."""
    tensors, facts = load_tensors(path)
    try:
        return Progress(**json.loads(facts["progress"])), SavedState(tensors, tuple(json.loads(facts["averaged"])))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a training state ({error})") from error


def restore(saved: SavedState, model: GenerativeModel, workers: Sequence[Worker], rng: torch.Generator) -> None:
    """Put saved tensors back where `save_state` took them."""
    tensors = saved.tensors
    weights = {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
    model.load_state_dict(model.upgraded(weights))
    rng.set_state(tensors["rng"])
    for i, worker in enumerate(workers):
        state = worker.optimizer.state_dict()
        weights = [weight for group in worker.optimizer.param_groups for weight in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer.{i}."):
                _, _, number, key = name.split(".", 3)
                index = int(number)
                if tensor.shape == weights[index].shape:
                    # In the weight's memory layout: fused Adam walks both in memory order, whatever their strides say.
                    tensor = torch.empty_like(weights[index]).copy_(tensor)
                moments.setdefault(index, {})[key] = tensor
        worker.optimizer.load_state_dict({**state, "state": moments})
        if worker.average is not None:
            worker.average.updates = saved.updates[i]
            for k, shadow in enumerate(worker.average.shadow):
                shadow.copy_(tensors[f"average.{i}.{k}"])


class Snapshot:
    """Weights as they were evaluated, held in memory until the next save."""

    def __init__(self, model: GenerativeModel, stage: str, epoch: int, metric: float) -> None:
        copies: dict[tuple[int, torch.Size], Tensor] = {}  # tied weights stay tied
        self.weights = {
            name: copies.setdefault((tensor.data_ptr(), tensor.shape), tensor.detach().clone())
            for name, tensor in model.state_dict().items()
        }
        self.model, self.stage, self.epoch, self.metric = model, stage, epoch, metric

    def save(self, path: Path) -> None:
        save_weights(path, self.model, self.weights, stage=self.stage, epoch=self.epoch, metric=self.metric)
