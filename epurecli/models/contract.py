"""The contract between a model and everything else: what is trained, how designs are drawn, what ONNX may see.

The loop (`epurecli.training`), the sampler (`epurecli.sample`) and the exporter (`epurecli.export`) know these classes
and no model. Models with a latent start from `latent.py`, those that draw in steps from `iterative.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from epurecli.config.schema import OptimizerConfig, RunConfig, StageConfig
from epurecli.errors import UnsupportedMode, UsageError
from epurecli.models.graphs import Graph, drawing_graphs
from epurecli.nn.step import Step
from epurecli.types import Batch, Losses, Mode, Noise, Query

Loss = Callable[[Batch, Step], Losses]  # a mean over this process's rows
Score = Callable[[Iterable[Batch], Step], Losses]  # of the whole validation set
Finish = Callable[[Batch, Step], Mapping[str, Tensor]]  # -> weights that it has set, by their names
Sampler = Callable[[Noise], Tensor]  # one draw of each of B designs: -> (B, C, H, W)

NATS = "nats per design"


@dataclass(frozen=True, slots=True)
class Objective:
    """One optimizer's work: everything outside `trains` is frozen and in eval() while it runs."""

    name: str
    trains: tuple[nn.Module, ...]
    loss: Loss
    repeat: int = 1  # optimizer steps per batch
    optimizer: OptimizerConfig | None = None  # its own; None = the stage's settings
    averaged: bool = True  # whether the stage's moving average of weights covers it

    def parameters(self) -> Iterator[nn.Parameter]:
        """Each trained parameter once, also where modules share it."""
        yield from {id(p): p for module in self.trains for p in module.parameters()}.values()


@dataclass(frozen=True, slots=True)
class Stage:
    """A phase of training with its own schedule. A stage starts from the best weights of the one before.

    The epoch with the lowest `total` of validation is the best: of `score` where there is one, else the mean of
    `validate`. Both run in eval() on whole validation designs.
    """

    name: str
    settings: StageConfig
    objectives: tuple[Objective, ...]
    validate: Loss | None = None  # averaged over the validation designs
    score: Score | None = None  # of all validation designs together, such as a distance between sets
    encode: Callable[[Batch], Tensor] | None = None  # what its losses are given instead of images, computed once
    prepare: Callable[[Batch, Step], None] | None = None  # given all training designs at once before the first step
    finish: Finish | None = None  # given whole validation designs once its best weights are in place
    unit: str = NATS  # of the losses

    @torch.no_grad()
    def view(self, batch: Batch) -> Batch:
        """A batch of designs as the stage's losses are given it."""
        return batch if self.encode is None else Batch(self.encode(batch), batch.condition)


class GenerativeModel(nn.Module, ABC):
    """Anything that draws designs. A model writes `stages` and `sampler`; the rest has defaults.

    Args:
        config: the run's; component names, image size and conditions are read from it.
    """

    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)
    steps: int = 1  # evaluations of a network that a draw takes
    on_step: Callable[[], None] | None = None  # told after each of them, where there are several
    bound_name: ClassVar[str | None] = None  # what `bound` computes; None = there is no bound on the likelihood

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.config = config
        self.components = config.data.component_dirs
        self.image_size = config.model.image_size
        self.cond_dim = len(config.data.condition_columns)

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """How it is trained, in order."""

    @abstractmethod
    def sampler(self, query: Query) -> Sampler:
        """A function of noise that draws each design of the query once; what all draws share is computed here.

        All randomness is in the noise, so the same noise gives the same designs on any backend. What the query's mask
        hides is zero. Observed components need not be pasted, nor values kept within [0, 1]: `generate` does both.
        """

    @final
    @torch.no_grad()
    def generate(self, query: Query, noise: Sequence[Noise]) -> Tensor:  # -> (S, B, C, H, W) in [0, 1]
        """S draws for each of B designs; observed components come back as they were given."""
        query = hidden(query)
        draw = self.sampler(query)
        return torch.stack([paste(draw(n).clamp(0, 1), query) for n in noise])

    def bound(self, batch: Batch, noise: Sequence[Noise]) -> Tensor:  # -> (B,)
        """A lower bound on log p(design | condition), nats per design. Raises: UsageError: it has none."""
        raise UsageError(f"{self.config.model.type} has no bound on the likelihood of a design")

    def conditions_given(self, observed: Tensor, mask: Tensor) -> tuple[Tensor, Tensor] | None:
        """What given parts (B, C, H, W), (B, C) say of the conditions: a Gaussian's mean (B, D) and factor (B, D, D),
        standardised. None: it is not known."""
        return None

    def graphs(self) -> Sequence[Graph]:
        """What ONNX may see. A graph has no randomness of its own: noise is an input."""
        return drawing_graphs(self)

    def upgraded(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights as an older version may have kept them, as this one names them."""
        return weights

    def load_pretrained(self) -> None:
        """Fill in weights that the config brings, before training. Raises: ConfigError, CheckpointError."""

    def stage_files(self, stage: str) -> Mapping[Path, tuple[Mapping[str, Tensor], Mapping[str, str]]]:
        """Further files (tensors, metadata) that a finished stage leaves, by their paths within the run folder."""
        return {}

    def training_only(self) -> tuple[nn.Module, ...]:
        """Modules that no sample needs (an auxiliary encoder of an early stage, a critic): counted apart."""
        return ()

    @property
    def learns_from_parts(self) -> bool:
        """Whether its losses heed `Batch.known`; else it trains on whole designs only."""
        return False

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def require(self, mode: Mode) -> None:
        """Raises: UnsupportedMode, naming the modes there are."""
        if mode not in self.modes:
            raise UnsupportedMode(
                f"{self.config.model.type} has no mode {mode.value!r}",
                hint=f"it can: {', '.join(sorted(m.value for m in self.modes))}",
            )


def hidden(query: Query) -> Query:
    """The query with zeros where its mask hides, as `sampler` takes it."""
    if query.observed is None:
        return query
    return replace(query, observed=torch.where(query.mask[..., None, None], query.observed, 0.0))


def paste(images: Tensor, query: Query) -> Tensor:  # (B, C, H, W) -> same
    """The query's observed components in their places."""
    if query.observed is None:
        return images
    return torch.where(query.mask[..., None, None], query.observed, images)


def set_trainable(model: nn.Module, objective: Objective) -> None:
    """Freeze everything (weights and, through eval(), running statistics), then free what the objective trains."""
    model.requires_grad_(False).eval()
    for module in objective.trains:
        module.requires_grad_(True).train()
