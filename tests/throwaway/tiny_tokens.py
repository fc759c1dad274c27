"""Tokens that are revealed in steps: integer states, uniform noise, given components kept in place, guidance, and a
bound on the likelihood of the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.config.iterative import IterativeRunConfig
from epurecli.config.schema import ModelConfig, TrainingConfig
from epurecli.models.contract import Objective, Stage
from epurecli.models.iterative import IterativeModel
from epurecli.nn.step import Step
from epurecli.types import Batch, Losses, Noise, Query

CELL = 4  # pixels a side that share a token
HIDDEN_TOKEN = 2  # beside 0 = empty and 1 = full


class TinyTokensModel(ModelConfig):
    type: Literal["tiny_tokens"]


class TinyTokensConfig(IterativeRunConfig):
    model: TinyTokensModel
    training: TrainingConfig


def tokens_of(image: Tensor) -> Tensor:  # (B, C, H, W) -> (B, C, H / CELL, W / CELL)
    return (F.avg_pool2d(image, CELL) > 0.5).long()


@dataclass(frozen=True, slots=True)
class Reveal:
    """Every token starts hidden, and is shown at a time of its own, uniform in [0, 1]."""

    components: int
    size: tuple[int, int]  # tokens
    labels: int | None = HIDDEN_TOKEN + 1

    def rows(self, steps: int) -> Tensor:
        times = torch.linspace(1, 0, steps + 1)
        return torch.stack([times[:-1], times[1:]], 1)

    def start(self, query: Query, noise: Noise) -> tuple[Tensor]:
        return (torch.full((query.present.shape[0], self.components, *self.size), HIDDEN_TOKEN),)

    def draws(self, noise: Noise, steps: int) -> Tensor:
        return noise.uniform(steps, 2, self.components, *self.size)

    def keep(self, state: Tensor, query: Query) -> Tensor:
        if query.observed is None:
            return state
        return torch.where(query.mask[..., None, None], tokens_of(query.observed), state)

    def step(self, carry: tuple[Tensor], prediction: Tensor, row: Tensor, drawn: Tensor, query: Query) -> tuple[Tensor]:
        (state,), (time, until) = carry, row.unbind()
        shown = drawn[:, 0] < (time - until) / time
        full = (drawn[:, 1] < prediction.sigmoid()).long()
        return (torch.where((state == HIDDEN_TOKEN) & shown, full, state),)

    def finish(self, carry: tuple[Tensor], query: Query) -> Tensor:
        state = self.keep(carry[0], query)
        return (state == 1).float().repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)


class TinyTokens(IterativeModel):
    bound_name = "token"

    def __init__(self, config: TinyTokensConfig) -> None:
        super().__init__(config)
        parts = len(self.components)
        self.grid = (self.image_size[0] // CELL, self.image_size[1] // CELL)
        cells = parts * self.grid[0] * self.grid[1]
        self.look = nn.Linear(3 * cells + 1 + self.cond_dim + 1 + parts, 32)
        self.tell = nn.Linear(32, cells)

    @property
    def process(self) -> Reveal:
        return Reveal(len(self.components), self.grid)

    def network(self, state: Tensor, time: Tensor, condition: Tensor, present: Tensor, mask: Tensor) -> Tensor:
        kinds = F.one_hot(state, 3).float().flatten(1)
        seen = torch.cat([kinds, time.unsqueeze(1), condition * present, present, mask.float()], 1)
        return self.tell(self.look(seen).relu()).unflatten(1, state.shape[1:])

    def stages(self) -> Sequence[Stage]:
        objective = Objective("reveal", (self.look, self.tell), self.loss)
        return [Stage("tokens", self.config.training, (objective,), self.loss)]

    def loss(self, batch: Batch, step: Step) -> Losses:
        count, parts = len(batch), len(self.components)
        mask = step.rand(count, parts) < 0.3
        present = (step.rand(count, 1) >= self.config.model.cond_dropout).float()
        time = step.rand(count)
        nats = self.hidden_nats(batch, time, step.rand(count, parts, *self.grid), present, mask)
        return Losses(nats.mean())

    def hidden_nats(self, batch: Batch, time: Tensor, order: Tensor, present: Tensor, mask: Tensor) -> Tensor:
        """Nats of the tokens that are hidden at a time, over that time: (B,)."""
        tokens = tokens_of(batch.image)
        hidden = (order < time[:, None, None, None]) & ~mask[..., None, None]
        state = torch.where(hidden, HIDDEN_TOKEN, tokens)
        told = self.network(state, time, batch.condition, present, mask)
        nats = F.binary_cross_entropy_with_logits(told, tokens.float(), reduction="none")
        return (nats * hidden).sum((1, 2, 3)) / time.clamp_min(1e-3)

    @torch.no_grad()
    def bound(self, batch: Batch, noise: Sequence[Noise]) -> Tensor:
        """Of the tokens, not of the pixels: enough for a throw-away model."""
        count, parts = len(batch), len(self.components)
        nothing, present = torch.zeros(count, parts, dtype=torch.bool), torch.ones(count, 1)
        grid = (parts, *self.grid)
        drawn = [self.hidden_nats(batch, n.uniform(1)[:, 0], n.uniform(*grid), present, nothing) for n in noise]
        return -torch.stack(drawn).mean(0)
