"""Borders that differ from draw to draw: what a latent and its decoder leave open of a completed design.

A decoder that draws the likeliest design of each latent is as wrong in every draw: draws agree where they should not.
So each hidden part's logits are moved by a number of its own, the same at all of its pixels: borders move as one, and
parts stay in one piece. How far is found on designs that were not trained on (`honest_width`).

Source: Monteiro et al., "Stochastic Segmentation Networks: Modelling Spatially Correlated Aleatoric Uncertainty",
NeurIPS 2020, eq. 4-6, with one factor a part that is constant over its pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

WIDTHS = (0.0, 0.5, 1.0, 1.5, 2.0)  # nats, tried in turn; beyond, parts break
HONEST = 0.97  # the spread ratio that is enough: the estimate is a few per cent off, and wide borders break parts
WORTH = 0.03  # of the ratio that a nat must bring; where it does not, what is missing is not in the borders

Bits = Callable[[Tensor], Tensor]  # logits of parts (M, C, H, W) -> whose pixels they are, bool


class Borders(nn.Module):
    """Logits (B, C, H, W) and standard normal noise (B, C) -> logits moved by `width[group] * noise`."""

    width: Tensor  # (G, C) standard deviations, nats; of each group of subsets of given parts, each part

    def __init__(self, groups: int, components: int) -> None:
        super().__init__()
        self.register_buffer("width", torch.zeros(groups, components))

    def forward(self, maps: Tensor, noise: Tensor, group: Tensor) -> Tensor:  # group: (B,)
        return moved(maps, self.width[group] * noise)


def moved(maps: Tensor, nats: Tensor) -> Tensor:  # (..., C, H, W), (..., C) -> as maps
    """Logits, those of each part moved alike at all of its pixels."""
    return maps + nats[..., None, None]


def spread_ratio(draws: Tensor, truth: Tensor) -> Tensor:  # (B, S, C, H, W), (B, C, H, W) bool -> (C,)
    """Pixels in which two draws differ by pixels in which a draw differs from the truth, of each part; NaN where none
    does. 1 where draws and truth come from one law."""
    count = draws.shape[1]
    p = draws.sum(1).float() / count
    apart = (2 * p * (1 - p)).sum((0, 2, 3)) * count / (count - 1)
    return apart / torch.where(truth, 1 - p, p).sum((0, 2, 3))


def honest_width(maps: Tensor, noise: Tensor, truth: Tensor, bits: Bits) -> Tensor:
    """The least width of each part's border at which draws differ as much as the truth does.

    Args:
        maps: (B, S, C, H, W) logits of S draws.
        noise: (B, S, C) standard normal.
        truth: (B, C, H, W) bool.

    Returns:
        (C,): between the tried ones by interpolation; the largest where none is enough, 0 where every draw is right or
        borders bring little.
    """
    ratios = []
    for width in WIDTHS:
        draws = bits(moved(maps, width * noise).flatten(0, 1)).unflatten(0, maps.shape[:2])
        ratios.append(spread_ratio(draws, truth))
    ratio, tried = torch.stack(ratios), maps.new_tensor(WIDTHS)  # (T, C), (T,)
    ratio[:, ratio[0].isnan()] = torch.inf
    enough = ratio >= HONEST
    first = torch.where(enough.any(0), enough.int().argmax(0), len(WIDTHS) - 1)
    before = (first - 1).clamp_min(0)
    low, high = (ratio.gather(0, index.unsqueeze(0)).squeeze(0) for index in (before, first))
    rise = ((HONEST - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
    width = torch.where(first == 0, 0.0, tried[before] + rise * (tried[first] - tried[before]))
    worth = torch.minimum(high, maps.new_tensor(HONEST)) - ratio[0] >= WORTH * width
    return torch.where(worth, width, 0.0)
