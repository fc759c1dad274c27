"""Which components a training design shows to the encoder. True = observed."""

from __future__ import annotations

import torch
from torch import Tensor

from epurecli.config.schema import Masking, StageConfig
from epurecli.nn.shard import Shard
from epurecli.types import Clock


def mask_probability(clock: Clock, stage: StageConfig) -> float:
    """min(1, (epoch / warmup_epochs)^0.5) * max_mask_prob: how likely a design is masked at all.

    Source: plan, section 1.1.
    """
    ramp = min(1.0, (clock.epoch / stage.warmup_epochs) ** 0.5) if stage.warmup_epochs else 1.0
    return ramp * stage.max_mask_prob


def show_all(count: int, components: int, device: torch.device | str = "cpu") -> Tensor:  # (B, C) bool
    """The mask of whole designs."""
    return torch.ones(count, components, dtype=torch.bool, device=device)


def draw_masks(count: int, components: int, probability: float, kind: Masking, shard: Shard) -> Tensor:  # (B, C) bool
    """One batched draw: each design is masked with `probability`, otherwise it shows everything.

    `subset` keeps a uniform non-empty proper subset (each of the 2^C - 2 equally likely), `single` exactly one
    component.
    With one component there is nothing to hide.
    """
    device = shard.generator.device
    if components == 1 or probability == 0:
        return show_all(count, components, device)
    bits = torch.arange(components, device=device)
    if kind is Masking.SINGLE:
        kept = shard.randint(0, components, count, 1) == bits
    else:
        code = shard.randint(1, 2**components - 1, count, 1)
        kept = (code >> bits) & 1 == 1
    masked = shard.rand(count, 1) < probability
    return kept | ~masked
