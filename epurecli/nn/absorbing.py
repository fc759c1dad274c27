"""Diffusion of labels in which each cell, once, becomes hidden; drawing shows them again, some in each step.

Source: Sahoo et al., "Simple and Effective Masked Diffusion Language Models", NeurIPS 2024; Shi et al., "Simplified and
Generalized Masked Diffusion for Discrete Data", NeurIPS 2024.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def hide(labels: Tensor, uniform: Tensor, time: Tensor, hidden: int) -> Tensor:  # (B, H, W) twice, (B,) -> (B, H, W)
    """Cells hidden with probability `time` each."""
    return torch.where(uniform < time[:, None, None], hidden, labels)


def turns(cells: int, steps: int) -> Tensor:  # (steps, 3) float64
    """Of each step: the share that is hidden before it, the first turn that comes in it, and the first that does not.

    Few cells are shown at first, where each decides much: all but cos(pi i / 2 S) of them after i steps, at least one a
    step while there are some. Source: Chang et al., "MaskGIT", CVPR 2022, section 3.3.
    """
    place = torch.arange(steps + 1, dtype=torch.float64) / steps
    shown = torch.round(cells * (1 - torch.cos(math.pi / 2 * place)))
    shown = torch.maximum(shown, torch.arange(steps + 1, dtype=torch.float64)).clamp(max=cells)
    shown[-1] = cells
    return torch.stack([1 - shown[:-1] / cells, shown[:-1], shown[1:]], 1)


def shown(state: Tensor, found: Tensor, turn: Tensor, row: Tensor, hidden: int) -> Tensor:
    """The state (B, H, W) with what was found in the hidden cells whose turn (H, W) a row of `turns` says it is."""
    due = (turn >= row[1]) & (turn < row[2]) & (state == hidden)
    return torch.where(due, found, state)
