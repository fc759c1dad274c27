"""Diffusion of labels in which each cell forgets its label for a random one: any may change again until the end.

Source: Hoogeboom et al., "Argmax Flows and Multinomial Diffusion", NeurIPS 2021, section 4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kept(time: Tensor) -> Tensor:
    """The probability that a cell still has its label at a time in [0, 1]. Source: as above, cosine schedule."""
    return torch.sin(math.pi / 2 * (1 - time))


def scatter(labels: Tensor, noise: Tensor, uniform: Tensor, time: Tensor) -> Tensor:  # (B, H, W) x 3, (B,) -> (B, H, W)
    """Labels at a time, where `noise` holds the random ones."""
    return torch.where(uniform < kept(time)[:, None, None], labels, noise)


def earlier(
    shares: Tensor, state: Tensor, base: Tensor, time: Tensor, until: Tensor
) -> Tensor:  # (B, K, H, W) twice and (B, K, 1, 1), (B,) twice -> (B, K, H, W)
    """q(label at `until` | label at `time`, label at 0), the last given as shares: proportional to

        (k state + (1 - k) base) (k_u shares + (1 - k_u) base),    k = k_t / k_u

    Args:
        state: planes of 0 and 1.
        base: shares of the random labels.

    Source: as above, eq. 13.
    """
    then = kept(until)[:, None, None, None]
    through = kept(time)[:, None, None, None] / then
    weight = (through * state + (1 - through) * base) * (then * shares + (1 - then) * base)
    return weight / weight.sum(1, keepdim=True)
