"""Regression by several members, each of which has not seen one fold of the designs: what they say of their own fold is
the error to expect, and where they differ they are unsure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

MEMBERS = 5
_HIDDEN = (128, 128)
_RIDGE = 1e-3  # of the number of designs
_STEPS, _BATCH, _RATE = 1200, 256, 4e-3


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """E members from F standardised features to K standardised values: each a linear regression, or that and a
    perceptron which adds what is not linear."""

    slope: Tensor  # (E, F, K)
    intercept: Tensor  # (E, 1, K)
    weights: tuple[Tensor, ...] = ()  # of the perceptrons, each (E, in, out)
    biases: tuple[Tensor, ...] = ()  # each (E, 1, out)

    def __call__(self, features: Tensor) -> Tensor:  # (B, F) -> (E, B, K)
        features = features.expand(len(self.slope), *features.shape)
        linear = torch.baddbmm(self.intercept, features, self.slope)
        return linear + self.bend(features) if self.weights else linear

    def bend(self, hidden: Tensor) -> Tensor:  # (E, B, F) -> (E, B, K)
        """What the perceptrons add."""
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = functional.silu(torch.baddbmm(bias, hidden, weight))
        return torch.baddbmm(self.biases[-1], hidden, self.weights[-1])


def folds_of(count: int, seed: int) -> Tensor:  # (M,) of 0..E - 1
    """The fold of each of M designs, as even as can be."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    return (torch.arange(count) % MEMBERS)[order]


def out_of_fold(ensemble: Ensemble, features: Tensor, folds: Tensor) -> Tensor:  # (M, F), (M,) -> (M, K)
    """What is said of each design by the member that has not seen it."""
    return ensemble(features)[folds, torch.arange(len(folds))]


def fit_ridge(features: Tensor, values: Tensor, folds: Tensor) -> Ensemble:
    """Linear members in closed form.

    Args:
        features: (M, F) standardised.
        values: (M, K) standardised, NaN where there is none.
        folds: (M,) what each member does not see.
    """
    inputs = torch.cat([features, torch.ones(len(features), 1)], 1).double()
    known = values.isfinite()
    solved = []
    for member in range(MEMBERS):
        seen = (known & (folds != member)[:, None]).double()  # (M, K)
        columns = []
        for column in range(values.shape[1]):
            weighted = inputs * seen[:, column, None]
            penalty = _RIDGE * seen[:, column].sum() * torch.eye(inputs.shape[1]).double()
            penalty[-1, -1] = 0  # the intercept is free
            penalty += 1e-9 * torch.eye(len(penalty))
            columns.append(
                torch.linalg.solve(weighted.T @ inputs + penalty, weighted.T @ values[:, column].nan_to_num().double())
            )
        solved.append(torch.stack(columns, 1))
    weight = torch.stack(solved).float()  # (E, F + 1, K)
    return Ensemble(weight[:, :-1], weight[:, -1:])


def fit_perceptrons(linear: Ensemble, features: Tensor, values: Tensor, folds: Tensor, seed: int) -> Ensemble:
    """Perceptrons of two hidden layers on what linear members leave, trained together by AdamW on the squared error.

    Args: linear: from `fit_ridge` on the same; the rest as there; seed: of weights and batches.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = (features.shape[1], *_HIDDEN, values.shape[1])
    weights, biases = [], []
    for before, after in pairwise(sizes):
        weights.append(torch.randn(MEMBERS, before, after, generator=generator) / math.sqrt(before))
        biases.append(torch.zeros(MEMBERS, 1, after))
    weights[-1].zero_()  # nothing is added at first
    for tensor in (*weights, *biases):
        tensor.requires_grad_(True)
    groups = [{"params": weights, "weight_decay": 1e-2}, {"params": biases, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS, pct_start=0.1)
    known = values.isfinite()
    ensemble = replace(linear, weights=tuple(weights), biases=tuple(biases))
    left = values.nan_to_num() - linear(features)  # (E, M, K)
    size = min(_BATCH, len(features))
    for _ in range(_STEPS):
        rows = torch.randint(len(features), (size,), generator=generator)
        error = ensemble.bend(features[rows].expand(MEMBERS, -1, -1)) - left[:, rows]  # (E, B, K)
        seen = (folds[rows] != torch.arange(MEMBERS)[:, None])[..., None] & known[rows]
        loss = (error.square() * seen).sum() / seen.sum().clamp_min(1)
        optimizer.zero_grad()
        (loss * MEMBERS).backward()  # each member's own mean, as if it were alone
        optimizer.step()
        schedule.step()
    return replace(ensemble, weights=tuple(w.detach() for w in weights), biases=tuple(b.detach() for b in biases))
