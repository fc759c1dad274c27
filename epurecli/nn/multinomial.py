"""Diffusion of labels in which each cell forgets its label for a random one: any may change again until the end.

Source: Hoogeboom et al., "Argmax Flows and Multinomial Diffusion", NeurIPS 2021, section 4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

TINY = 1e-20  # where a given part is, no random label comes, and nothing is asked


def kept(time: Tensor) -> Tensor:
    """The probability that a cell still has its label at a time in [0, 1]. Source: as above, cosine schedule."""
    return torch.sin(math.pi / 2 * (1 - time))


def scatter(labels: Tensor, noise: Tensor, uniform: Tensor, time: Tensor) -> Tensor:  # (B, H, W) x 3, (B,) -> (B, H, W)
    """Labels at a time, where `noise` holds the random ones."""
    return torch.where(uniform < kept(time)[:, None, None], labels, noise)


def earlier(
    shares: Tensor, state: Tensor, base: Tensor, time: Tensor, until: Tensor
) -> Tensor:  # (B, K, H, W) twice and (B, K, 1, 1), (B,) twice -> (B, K, H, W)
    """p(label at `until` | label at `time`), the label at 0 having these shares given what is at `time`:

        sum_k shares_k q(label at until | label at time, k)

    Args:
        state: planes of 0 and 1.
        base: shares of the random labels.

    Source: Austin et al., "Structured Denoising Diffusion Models in Discrete State-Spaces", NeurIPS 2021, eqs. 3-4.
    """
    now, then = kept(time)[:, None, None, None], kept(until)[:, None, None, None]
    by_chance = (base * state).sum(1, keepdim=True)  # of the label at `time`
    likely = now * state + (1 - now) * by_chance  # q(label at time | k at 0)
    weight = shares / likely.clamp_min(TINY)
    before = then * weight + (1 - then) * base * weight.sum(1, keepdim=True)
    onward = now / then * state + (1 - now / then) * by_chance
    found = onward * before
    return found / found.sum(1, keepdim=True).clamp_min(TINY)
