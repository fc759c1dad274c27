"""Where a run stands, as plain tensors and JSON: what is saved each epoch, and what `--resume` continues from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from epurecli.checkpoint import load_tensors, save_tensors, save_weights
from epurecli.errors import CheckpointError
from epurecli.training.ema import Average

if TYPE_CHECKING:
    from epurecli.models.base import GenerativeModel


@dataclass
class Progress:
    """The loop's own variables. Everything else that changes is a tensor or a generator."""

    stage: int = 0
    epoch: int = 0  # epochs finished in the stage
    batch: int = 0  # batches finished in the epoch
    designs: int = 0  # designs seen in the epoch, set when it is stopped
    sums: dict[str, float] = field(default_factory=dict)  # of its losses, likewise
    step: int = 0  # optimizer steps done in the stage
    rate: float = 0.0  # learning rate of the last of them
    elapsed: float = 0.0  # seconds spent in the stage
    best: float = float("inf")
    best_epoch: int = 0
    stale: int = 0  # evaluations without progress
    since_drop: int = 0  # the same, since `plateau` last lowered the rate
    plateau_scale: float = 1.0
    rows: list[dict[str, Any]] = field(default_factory=list)  # of metrics.csv, all stages


def generator(seed: int, *purpose: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for each purpose (stage, epoch, what for): order never depends on what else drew."""
    text = "/".join(str(part) for part in (seed, *purpose))
    value = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
    return torch.Generator(device=device).manual_seed(value)


def save_state(
    path: Path,
    progress: Progress,
    model: GenerativeModel,
    optimizers: list[torch.optim.Optimizer],
    average: Average | None,
    rng: torch.Generator,
) -> None:
    """Raw weights, optimizer moments, average, generator: all tensors; `Progress` as JSON in the header."""
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors["rng"] = rng.get_state()
    for i, optimizer in enumerate(optimizers):
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{index}.{k}": v for k, v in moments.items()}
    facts = {"progress": json.dumps(asdict(progress)), "averaged": str(average.updates if average else 0)}
    if average is not None:
        tensors |= {f"average.{i}": t for i, t in enumerate(average.shadow)}
    save_tensors(path, tensors, facts)


def load_progress(path: Path) -> tuple[Progress, dict[str, Tensor], int]:
    """(progress, tensors, average's update count). Raises: CheckpointError."""
    tensors, facts = load_tensors(path)
    try:
        return Progress(**json.loads(facts["progress"])), tensors, int(facts["averaged"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a training state ({error})") from error


def restore(
    tensors: dict[str, Tensor],
    updates: int,
    model: GenerativeModel,
    optimizers: list[torch.optim.Optimizer],
    average: Average | None,
    rng: torch.Generator,
) -> None:
    """Put saved tensors back where `save_state` took them."""
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    rng.set_state(tensors["rng"])
    for i, optimizer in enumerate(optimizers):
        saved = optimizer.state_dict()
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer.{i}."):
                _, _, number, key = name.split(".", 3)
                index = int(number)
                if tensor.shape == weights[index].shape:
                    # In the weight's memory layout: fused Adam walks both in memory order, whatever their strides say.
                    tensor = torch.empty_like(weights[index]).copy_(tensor)
                moments.setdefault(index, {})[key] = tensor
        optimizer.load_state_dict({**saved, "state": moments})
    if average is not None:
        average.updates = updates
        for i, shadow in enumerate(average.shadow):
            shadow.copy_(tensors[f"average.{i}"])


class Snapshot:
    """Weights as they were evaluated, held in memory until the next save."""

    def __init__(self, model: GenerativeModel, stage: str, epoch: int, metric: float) -> None:
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self.model, self.stage, self.epoch, self.metric = model, stage, epoch, metric

    def save(self, path: Path) -> None:
        save_weights(path, self.model, self.weights, stage=self.stage, epoch=self.epoch, metric=self.metric)
