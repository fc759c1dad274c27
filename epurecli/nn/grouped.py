"""C small networks of one shape, run as one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class GroupedLinear(nn.Module):
    """y_c = W_c x_c + b_c: C independent linear layers as one batched product."""

    def __init__(self, groups: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)  # nn.Linear's own initial spread
        self.weight = nn.Parameter(torch.empty(groups, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(groups, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:  # (B, C, inputs) -> (B, C, outputs)
        return torch.baddbmm(self.bias, x.transpose(0, 1), self.weight).transpose(0, 1)
