"""Conditions -> embedding, with a learned embedding for "no condition"."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from epurecli.nn.step import Step

EMBEDDING = 256


class ConditionEmbedding(nn.Module):
    """MLP D -> 128 -> 256 (GELU) on standardised conditions, and a null embedding that starts at zero.

    During training a condition is dropped with a small probability, so that the null embedding is a case the decoder
    has seen, and one network samples conditionally and unconditionally.

    Source: docs/plan.md, conditioning; Ho & Salimans, "Classifier-Free Diffusion Guidance", 2022 (condition dropout).
    """

    def __init__(self, cond_dim: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.cond_dim, self.dropout = cond_dim, dropout
        self.null = nn.Parameter(torch.zeros(EMBEDDING))
        self.mlp = nn.Sequential(nn.Linear(cond_dim, 128), nn.GELU(), nn.Linear(128, EMBEDDING)) if cond_dim else None

    def forward(self, condition: Tensor, present: Tensor) -> Tensor:  # (B, D), (B, 1) 0/1 -> (B, 256)
        if self.mlp is None:
            return self.null.expand(condition.shape[0], EMBEDDING)  # len() would bake the batch into a graph
        return present * self.mlp(condition) + (1 - present) * self.null

    def draw_presence(self, count: int, step: Step) -> Tensor:  # -> (B, 1)
        """Which conditions a training batch keeps (1) or drops (0)."""
        return (step.rand(count, 1) >= self.dropout).float()


@torch.no_grad()
def scale_latent_weights(layer: nn.Module, latent_dim: int) -> None:
    """Initialise a layer on (latent, embedding): the latent's weights as if it were the only input.

    With the spread that suits 8 + 256 inputs, a latent of 8 hardly moves the output; the decoder learns without it, and
    the posterior collapses before the encoder carries any information.

    Args:
        layer: its weight is (outputs, inputs), or (groups, inputs, outputs); the latent comes first.
    """
    layer.weight[:, :latent_dim].mul_(math.sqrt((latent_dim + EMBEDDING) / latent_dim))
