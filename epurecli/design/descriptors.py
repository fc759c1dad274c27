"""What a predictor looks at: the shape of each part, as numbers through which gradients pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NAMES = ("area", "row", "column", "row spread", "column spread", "perimeter", "rows", "columns")  # of each part
SIZES = ("area", "rows", "columns")


def places(names: Sequence[str], components: int) -> list[int]:
    """Where descriptors of these names stand among those of all parts."""
    return [part * len(NAMES) + NAMES.index(name) for part in range(components + 1) for name in names]


def descriptors(images: Tensor) -> Tensor:  # (B, C, H, W) -> (B, 8 (C + 1))
    """Eight numbers, in pixels, of each component and of their union.

    Area, centre, spread about it, perimeter (pixel edges between inside and outside; the frame of the image is none),
    and how many rows and columns are occupied. For bits they are what counting gives; between, they are differentiable.

    Args:
        images: in [0, 1].
    """
    parts = torch.cat([images, images.sum(1, keepdim=True).clamp(max=1)], 1)  # (B, C + 1, H, W)
    rows, columns = parts.sum(3), parts.sum(2)
    area = rows.sum(2)
    row, row_spread = _moments(rows, area)
    column, column_spread = _moments(columns, area)
    edges = parts.diff(dim=2).abs().sum((2, 3)) + parts.diff(dim=3).abs().sum((2, 3))
    occupied = parts.amax(3).sum(2), parts.amax(2).sum(2)
    return torch.stack([area, row, column, row_spread, column_spread, edges, *occupied], 2).flatten(1)


def _moments(profile: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:  # (B, P, K), (B, P) -> (B, P) twice
    """Mean and standard deviation of the position under a profile; zeros where the profile is empty."""
    weight = profile / area.clamp_min(1e-6)[..., None]
    position = torch.arange(profile.shape[-1], dtype=profile.dtype, device=profile.device)
    mean = weight @ position
    variance = (weight * (position - mean[..., None]) ** 2).sum(-1)
    return mean, (variance.clamp_min(0) + 1e-6).sqrt()
