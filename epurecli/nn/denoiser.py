"""The network of models that draw in steps: a small U-Net told the time, the condition, and which parts are given.

`patch_size` folds p x p pixels into channels, as in `resnet.py`: the trunk works at 1/p of the resolution. Blocks are
pre-activation ones whose last convolution starts at zero, modulated by the embedding; attention stands at the coarsest
grid, where a tyre's width and height are decided.

Source: Ronneberger et al., "U-Net", MICCAI 2015; Perez et al., "FiLM", AAAI 2018; Ho et al., "Denoising Diffusion
Probabilistic Models", NeurIPS 2020, appendix B (time embedding, attention).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.nn.conditioning import EMBEDDING, ConditionEmbedding
from epurecli.nn.resnet import coarse_grid

FREQUENCIES = 32  # of the time's sinusoids


class Denoiser(nn.Module):
    """States (B, I, H, W) at times (B,), with conditions and masks -> predictions (B, O, H, W).

    Args:
        inputs, outputs: I and O, channels of a state and of a prediction.
        sizes: filters at each resolution, finest first; the grid is halved between them.
        blocks: residual blocks at each resolution, on the way down and on the way up.
        heads: of the attention; 0 = none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        components: int,
        cond_dim: int,
        image_size: tuple[int, int],
        sizes: Sequence[int],
        blocks: int = 1,
        patch_size: int = 1,
        heads: int = 4,
        whole: int = 0,
        cond_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        grid = coarse_grid(image_size, len(sizes), patch_size)
        self.patch_size = patch_size
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING))
        self.conditioning = ConditionEmbedding(cond_dim, cond_dropout)
        self.given = nn.Linear(components, EMBEDDING, bias=False)
        self.stem = nn.Conv2d(inputs * patch_size**2, sizes[0], 1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, size in enumerate(sizes):
            coarsest = level == len(sizes) - 1
            self.down.append(nn.ModuleList(FilmBlock(size, size) for _ in range(blocks)))
            if not coarsest:
                self.shrink.append(nn.Conv2d(size, sizes[level + 1], 2, stride=2))
        for fine, coarse in reversed([*pairwise(sizes)]):
            self.grow.append(nn.Conv2d(coarse, fine, 1))
            self.up.append(nn.ModuleList(FilmBlock(2 * fine if i == 0 else fine, fine) for i in range(blocks)))
        self.middle = nn.ModuleList([Attention(sizes[-1], grid, heads)] if heads else [])
        if whole:
            self.middle.append(Whole(sizes[-1], grid, whole))
        self.middle.append(FilmBlock(sizes[-1], sizes[-1]))
        self.head = nn.Conv2d(sizes[0], outputs * patch_size**2, 1)
        # what all blocks are told, in one product instead of one for each
        parts = (*self.down.modules(), *self.middle.modules(), *self.up.modules())
        self.channels = [part.modulated for part in parts if isinstance(part, FilmBlock | Whole)]
        self.film = nn.Linear(EMBEDDING, 2 * sum(self.channels))

    def embedding(self, time: Tensor, condition: Tensor, present: Tensor, mask: Tensor) -> Tensor:  # -> (B, 256)
        """What every block is told."""
        given = self.given(mask.to(self.given.weight.dtype))
        told = self.time(time_features(time)) + self.conditioning(condition, present) + given
        return F.silu(told)

    def forward(self, state: Tensor, time: Tensor, condition: Tensor, present: Tensor, mask: Tensor) -> Tensor:
        told = iter(self.film(self.embedding(time, condition, present, mask)).split([2 * n for n in self.channels], 1))
        x = state.to(self.stem.weight.dtype)
        x = F.pixel_unshuffle(x, self.patch_size) if self.patch_size > 1 else x
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        kept = []
        for level, blocks in enumerate(self.down):
            x = self.shrink[level - 1](x) if level else x
            for block in blocks:
                x = block(x, next(told))
            kept.append(x)
        for block in self.middle:
            x = block(x) if isinstance(block, Attention) else block(x, next(told))
        for level, blocks in enumerate(self.up):
            x = F.interpolate(self.grow[level](x), scale_factor=2.0, mode="nearest")
            x = torch.cat([x, kept[-2 - level]], 1)
            for block in blocks:
                x = block(x, next(told))
        x = self.head(F.silu(x)).to(self.stem.weight.dtype)
        return F.pixel_shuffle(x, self.patch_size) if self.patch_size > 1 else x


class FilmBlock(nn.Module):
    """y = shortcut(x) + conv(act(film(conv(act(x))))), 3 x 3; film scales and shifts each channel as it is told."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.modulated = outputs
        self.conv_0 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv_1.weight)
        nn.init.zeros_(self.conv_1.bias)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:  # (B, I, h, w), (B, 2 O) -> (B, O, h, w)
        scale, shift = told[..., None, None].chunk(2, 1)
        h = self.conv_0(F.silu(x)) * (1 + scale) + shift
        return self.shortcut(x) + self.conv_1(F.silu(h))


class Attention(nn.Module):
    """Self-attention over the cells of a grid, each of which knows its place. Its last layer starts at zero."""

    def __init__(self, channels: int, grid: tuple[int, int], heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.place = nn.Parameter(0.02 * torch.randn(1, grid[0] * grid[1], channels))
        self.norm = nn.LayerNorm(channels)
        self.ask = nn.Linear(channels, 3 * channels)
        self.answer = nn.Linear(channels, channels)
        nn.init.zeros_(self.answer.weight)
        nn.init.zeros_(self.answer.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, K, h, w) -> same
        height, width = x.shape[-2:]
        cells = x.flatten(2).transpose(1, 2)  # (B, h w, K)
        parts = self.ask(self.norm(cells + self.place)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)  # (B, heads, h w, K / heads)
        weight = (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).softmax(-1)
        mixed = (weight @ value).transpose(1, 2).flatten(2)
        return x + self.answer(mixed).transpose(1, 2).unflatten(2, (height, width))


class Whole(nn.Module):
    """y = x + W act(film(V x)) over all cells and channels of a grid at once: each cell has weights of its own.

    In much noise a design is known by a few numbers, such as its width, each of which is a weighted sum over the whole
    image. Convolutions and attention, which look everywhere with the same weights, learn such sums slowly.
    """

    def __init__(self, channels: int, grid: tuple[int, int], hidden: int) -> None:
        super().__init__()
        self.modulated = hidden
        self.read = nn.Linear(channels * grid[0] * grid[1], hidden)
        self.write = nn.Linear(hidden, channels * grid[0] * grid[1])
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:  # (B, K, h, w), (B, 2 hidden) -> (B, K, h, w)
        scale, shift = told.chunk(2, 1)
        h = self.read(F.silu(x).flatten(1)) * (1 + scale) + shift
        return x + self.write(F.silu(h)).view_as(x)


def time_features(time: Tensor) -> Tensor:  # (B,) in [0, 1] -> (B, 64)
    """Sinusoids, from 160 turns in the whole time to a hundredth of a turn: near times differ, and far ones do."""
    steps = torch.arange(FREQUENCIES, device=time.device) / (FREQUENCIES - 1)
    angle = 1000 * time.unsqueeze(1) * torch.exp(-math.log(10_000.0) * steps)
    return torch.cat([angle.sin(), angle.cos()], 1)
