"""How MDM draws: from hidden cells, or from random labels. Labels of given parts appear nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from epurecli.models.iterative import Carry, nothing_observed
from epurecli.nn import absorbing, multinomial
from epurecli.nn.labels import labels_of, pick, planes, shares_of
from epurecli.types import Noise, Query


@dataclass(frozen=True, slots=True)
class Labelling:
    """What both processes share. A state is a label map (B, H, W): the components, then the background."""

    components: int
    size: tuple[int, int]  # H, W

    def keep(self, state: Tensor, query: Query) -> Tensor:
        if query.observed is None:
            return state
        shown = torch.where(query.mask[..., None, None], query.observed, 0.0)
        owner = labels_of(shown)
        return torch.where(owner < self.components, owner, state)

    def given(self, query: Query) -> Tensor:  # (B, C) bool
        """The labels that no other pixel may have."""
        return nothing_observed(query, self.components) if query.mask is None else query.mask

    def finish(self, carry: Carry, query: Query) -> Tensor:
        return planes(self.keep(carry[0], query), self.components)


@dataclass(frozen=True, slots=True)
class Absorbing(Labelling):
    """Every cell starts hidden and is shown in its turn, once: one uniform number decides which label it has."""

    turn: Tensor  # (H, W), when that is

    @property
    def labels(self) -> int:
        return self.components + 2

    @property
    def hidden(self) -> int:
        return self.components + 1

    def rows(self, steps: int) -> Tensor:
        return absorbing.turns(self.size[0] * self.size[1], steps)

    def start(self, query: Query, noise: Noise) -> Carry:
        uniform = noise.uniform(*self.size)
        return torch.full_like(uniform, self.hidden, dtype=torch.int64), uniform

    def draws(self, noise: Noise, steps: int) -> None:
        return None

    def step(self, carry: Carry, prediction: Tensor, row: Tensor, drawn: Tensor | None, query: Query) -> Carry:
        state, uniform = carry
        found = pick(shares_of(prediction, self.given(query)), uniform)
        return absorbing.shown(state, found, self.turn, row, self.hidden), uniform.clone()


@dataclass(frozen=True, slots=True)
class Uniform(Labelling):
    """Every cell starts with a random label and may change in every step: a uniform number a cell and step."""

    @property
    def labels(self) -> int:
        return self.components + 1

    def rows(self, steps: int) -> Tensor:
        times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        return torch.stack([times[:-1], times[1:]], 1)

    def start(self, query: Query, noise: Noise) -> Carry:
        base = base_of(self.given(query))
        uniform = noise.uniform(*self.size)
        return (pick(base.expand(*base.shape[:2], *self.size), uniform),)

    def draws(self, noise: Noise, steps: int) -> Tensor:
        return noise.uniform(steps, *self.size)

    def step(self, carry: Carry, prediction: Tensor, row: Tensor, drawn: Tensor | None, query: Query) -> Carry:
        assert drawn is not None
        state, given = carry[0], self.given(query)
        time = torch.zeros_like(query.present[:, 0])
        shares = shares_of(prediction, given)
        now = planes(state, self.labels)
        return (pick(multinomial.earlier(shares, now, base_of(given), time + row[0], time + row[1]), drawn),)


def base_of(given: Tensor) -> Tensor:  # (B, C) -> (B, C + 1, 1, 1)
    """Equal shares of the labels that are not given, the background among them."""
    free = torch.cat([~given, torch.ones_like(given[:, :1])], 1).float()
    return (free / free.sum(1, keepdim=True))[..., None, None]
