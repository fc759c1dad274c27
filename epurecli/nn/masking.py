"""Which components a training design shows to the encoder. True = observed."""

from __future__ import annotations

import torch
from torch import Tensor

from epurecli.config.iterative import DenoiserStage
from epurecli.config.latent import MaskedStage, Masking
from epurecli.nn.step import Step
from epurecli.types import Batch


def mask_probability(epoch: int, stage: MaskedStage) -> float:
    """min(1, (epoch / warmup_epochs)^0.5) * max_mask_prob: how likely a design is masked at all.

    `epoch` is 0-based. Source: docs/plan.md, progressive masking.
    """
    ramp = min(1.0, (epoch / stage.warmup_epochs) ** 0.5) if stage.warmup_epochs else 1.0
    return ramp * stage.max_mask_prob


def show_all(count: int, components: int, device: torch.device | str = "cpu") -> Tensor:  # (B, C) bool
    """The mask of whole designs."""
    return torch.ones(count, components, dtype=torch.bool, device=device)


def show_none(count: int, components: int, device: torch.device | str = "cpu") -> Tensor:  # (B, C) bool
    """The mask of designs of which nothing is given."""
    return torch.zeros(count, components, dtype=torch.bool, device=device)


def subset_of(code: Tensor, components: int) -> Tensor:  # (B, 1) integers -> (B, C) bool
    """The subset of a code's bits, component 0 the lowest."""
    return (code >> torch.arange(components, device=code.device)) & 1 == 1


def draw_masks(count: int, components: int, probability: float, kind: Masking, step: Step) -> Tensor:  # (B, C) bool
    """One batched draw: each design is masked with `probability`, otherwise it shows everything.

    `subset` keeps a uniform non-empty proper subset (each of the 2^C - 2 equally likely), `single` exactly one
    component.
    With one component there is nothing to hide.
    """
    device = step.generator.device
    if components == 1 or probability == 0:
        return show_all(count, components, device)
    if kind is Masking.SINGLE:
        kept = step.randint(0, components, count, 1) == torch.arange(components, device=device)
    else:
        kept = subset_of(step.randint(1, 2**components - 1, count, 1), components)
    masked = step.rand(count, 1) < probability
    return kept | ~masked


def draw_given(count: int, components: int, probability: float, step: Step) -> Tensor:  # (B, C) bool
    """Which parts of training designs are given to a model that draws the others: with `probability` a uniform
    non-empty proper subset, otherwise none."""
    device = step.generator.device
    if components == 1 or probability == 0:
        return show_none(count, components, device)
    given = subset_of(step.randint(1, 2**components - 1, count, 1), components)
    return given & (step.rand(count, 1) < probability)


def draw_questions(
    batch: Batch, components: int, stage: DenoiserStage, cond_dropout: float, step: Step
) -> tuple[Tensor, Tensor]:  # -> (B, C) bool, (B, 1)
    """What a model that draws hidden parts is asked in training: which parts of each design are given, and whether its
    condition is, less often where parts are."""
    mask = draw_given(len(batch), components, stage.max_mask_prob, step)
    if batch.known is not None:
        mask = mask & batch.known
    dropped = torch.where(mask.any(1, keepdim=True), stage.given_cond_dropout, cond_dropout)
    return mask, (step.rand(len(batch), 1) >= dropped).float()
