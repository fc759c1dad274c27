"""Label maps: each pixel belongs to one of C components, or to the background, which is label C.

Shares are probabilities of labels, (B, K, H, W). Randomness comes from outside, as uniform numbers.
"""

from __future__ import annotations

from functools import cache
from itertools import count

import torch
from torch import Tensor
from torch.nn import functional as F

BELOW_HALF = 0.5 - 2.0**-25  # the float32 before it


def labels_of(image: Tensor) -> Tensor:  # (B, C, H, W) in [0, 1] -> (B, H, W) int64
    """The component with the largest value of at least one half, the first listed where two are equal."""
    ground = torch.full_like(image[:, :1], BELOW_HALF)
    return torch.cat([image, ground], 1).argmax(1)


def owned(image: Tensor) -> Tensor:  # (..., C, H, W) in [0, 1] -> bool
    """Whether a component is the pixel's likeliest owner, the background's share being what the others leave; a tie
    goes to the background, then to the first listed."""
    background = (1 - image.sum(-3)).clamp_min(0)
    top = torch.maximum(background, image.amax(-3))
    owners, taken = [], background == top
    for part in image.unbind(-3):  # ten times as fast as argmax over an axis that is not the last
        mine = (part == top) & ~taken
        owners.append(mine)
        taken = taken | mine
    return torch.stack(owners, -3)


def planes(labels: Tensor, kinds: int) -> Tensor:  # (B, H, W) -> (B, kinds, H, W) of 0.0 and 1.0
    """One plane for each of the labels 0 .. kinds - 1."""
    which = torch.arange(kinds, device=labels.device)[:, None, None]
    return (labels.unsqueeze(1) == which).float()


def shares_of(maps: Tensor, given: Tensor) -> Tensor:  # (B, C, H, W), (B, C) -> (B, C + 1, H, W)
    """Probabilities of labels from logits against a background at zero; labels of given components have none."""
    open_maps = maps.masked_fill(given[..., None, None], -torch.inf)
    return F.pad(open_maps, (0, 0, 0, 0, 0, 1)).softmax(1)


def pick(shares: Tensor, uniform: Tensor) -> Tensor:  # (B, K, H, W), (B, H, W) in [0, 1) -> (B, H, W) int64
    """The label in whose interval of the cumulated shares the number falls: one without a share is never picked.

    The sum over labels is a product with a triangular matrix: the same on every run, and one operation in any format.
    """
    kinds = shares.shape[1]
    lower = torch.ones(kinds, kinds, device=shares.device, dtype=shares.dtype).tril()
    edges = torch.einsum("jk,bkhw->bjhw", lower, shares)
    passed = edges[:, :-1] <= uniform.unsqueeze(1) * edges[:, -1:]
    return passed.sum(1)


def halton(index: int, base: int) -> float:
    """The radical inverse of a whole number, in [0, 1): its digits, mirrored at the point."""
    found, scale = 0.0, 1.0
    while index:
        scale /= base
        found += scale * (index % base)
        index //= base
    return found


@cache
def halton_order(height: int, width: int) -> tuple[tuple[int, ...], ...]:  # (H, W), each of 0 .. H W - 1 once
    """When each cell's turn comes, so that those of any stretch of turns lie far from each other.

    Source: Besnier et al., "Halton Scheduler for Masked Generative Image Transformer", ICLR 2025.
    """
    turn: dict[tuple[int, int], int] = {}
    for index in count(1):
        cell = int(halton(index, 2) * height), int(halton(index, 3) * width)
        turn.setdefault(cell, len(turn))
        if len(turn) == height * width:
            break
    return tuple(tuple(turn[row, column] for column in range(width)) for row in range(height))
