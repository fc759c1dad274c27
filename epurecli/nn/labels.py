"""Label maps: each pixel belongs to one of C components, or to the background, which is label C.

Shares are probabilities of labels, (B, K, H, W). Randomness comes from outside, as uniform numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def labels_of(image: Tensor) -> Tensor:  # (B, C, H, W) in [0, 1] -> (B, H, W) int64
    """The component with the largest value of at least one half, the first listed where two are equal."""
    half = torch.full_like(image[:, :1], 0.5)
    claims = torch.cat([image, torch.nextafter(half, torch.zeros_like(half))], 1)
    return claims.argmax(1)


def images_of(labels: Tensor, components: int) -> Tensor:  # (B, H, W) -> (B, C, H, W) of 0 and 1
    """One image a component; other labels are in none."""
    return planes(labels, components)


def planes(labels: Tensor, count: int) -> Tensor:  # (B, H, W) -> (B, count, H, W) of 0.0 and 1.0
    """One plane for each of the labels 0 .. count - 1."""
    which = torch.arange(count, device=labels.device)[:, None, None]
    return (labels.unsqueeze(1) == which).float()


def shares_of(maps: Tensor, given: Tensor) -> Tensor:  # (B, C, H, W), (B, C) -> (B, C + 1, H, W)
    """Probabilities of labels from logits against a background at zero; labels of given components have none."""
    open_maps = maps.masked_fill(given[..., None, None], -torch.inf)
    return F.pad(open_maps, (0, 0, 0, 0, 0, 1)).softmax(1)


def pick(shares: Tensor, uniform: Tensor) -> Tensor:  # (B, K, H, W), (B, H, W) in [0, 1) -> (B, H, W) int64
    """The label in whose interval of the cumulated shares the number falls: one without a share is never picked.

    The sum over labels is a product with a triangular matrix: the same on every run, and one operation in any format.
    """
    count = shares.shape[1]
    lower = torch.ones(count, count, device=shares.device, dtype=shares.dtype).tril()
    edges = torch.einsum("jk,bkhw->bjhw", lower, shares)
    passed = edges[:, :-1] <= uniform.unsqueeze(1) * edges[:, -1:]
    return passed.sum(1)


def halton(index: Tensor, base: int) -> Tensor:  # int64 -> float64 in [0, 1)
    """The radical inverse of whole numbers: their digits, mirrored at the point."""
    found, scale, rest = torch.zeros(index.shape, dtype=torch.float64), 1.0, index.clone()
    while bool((rest > 0).any()):
        scale /= base
        found += scale * (rest % base)
        rest //= base
    return found


def halton_order(height: int, width: int) -> Tensor:  # (H, W) int64, each of 0 .. H W - 1 once
    """When each cell's turn comes, so that those of any stretch of turns lie far from each other.

    Source: Besnier et al., "Halton Scheduler for Masked Generative Image Transformer", ICLR 2025.
    """
    cells, seen, index = height * width, [], 0
    known: set[int] = set()
    while len(seen) < cells:
        some = torch.arange(index + 1, index + 1 + 4 * cells)
        rows = (halton(some, 2) * height).long()
        columns = (halton(some, 3) * width).long()
        for cell in (rows * width + columns).tolist():
            if cell not in known:
                known.add(cell)
                seen.append(cell)
        index += 4 * cells
    order = torch.empty(cells, dtype=torch.int64)
    order[torch.tensor(seen)] = torch.arange(cells)
    return order.view(height, width)
