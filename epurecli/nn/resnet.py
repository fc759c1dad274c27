"""Residual encoder and decoder trunks shared by the models.

Pre-activation blocks without normalisation (the branch's last convolution starts at zero, so a deep trunk begins as its
shortcuts and needs none), average pooling down, nearest-neighbour up. `patch_size` folds p x p pixels into channels
before the first and after the last convolution: the trunk then works at 1/p of the resolution, which is where a CPU
spends its time.

Source: docs/plan.md, beta-VAE; Zhang et al., "Fixup Initialization", ICLR 2019 (zero branches).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.errors import ConfigError

SLOPE = 0.2


class ResBlock(nn.Module):
    """y = shortcut(x) + conv(act(conv(act(x)))), 3 x 3. Dropout between the convolutions.

    Where the block doubles the grid, it does so behind what works pixel by pixel: act and the 1 x 1 shortcut give the
    same on a quarter of the pixels.
    """

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.0, *, doubles: bool = False) -> None:
        super().__init__()
        self.grow = nn.Upsample(scale_factor=2, mode="nearest") if doubles else nn.Identity()
        hidden = min(inputs, outputs)
        self.conv_0 = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.conv_1 = nn.Conv2d(hidden, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else nn.Identity()
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        nn.init.zeros_(self.conv_1.weight)
        nn.init.zeros_(self.conv_1.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_0(self.grow(F.leaky_relu(x, SLOPE)))
        h = self.conv_1(self.dropout(F.leaky_relu(h, SLOPE)))
        return self.grow(self.shortcut(x)) + h


def widths(nf: int, nf_max: int, patch_size: int = 1) -> list[int]:
    """Filters from the finest grid to 1/8 of the image, doubling up to `nf_max`: nf, 2 nf, 4 nf, ..."""
    levels = (8 // patch_size).bit_length() - 1
    return [min(nf * 2**level, nf_max) for level in range(levels + 1)]


def coarse_grid(image_size: tuple[int, int], levels: int, patch_size: int) -> tuple[int, int]:
    """The grid after folding patches and halving between `levels` widths. Raises: ConfigError: the image cannot be
    halved so often."""
    shrink = patch_size * 2 ** (levels - 1)
    if image_size[0] % shrink or image_size[1] % shrink:
        raise ConfigError(
            f"model.image_size {image_size[0]}x{image_size[1]} is not a multiple of {shrink}, "
            f"by which a network with {levels} widths and patch_size {patch_size} reduces it"
        )
    return image_size[0] // shrink, image_size[1] // shrink


class Encoder(nn.Module):
    """Images (B, I, H, W) -> features (B, F); I = `channels`.

    `sizes` are the filters at each resolution, finest first; the image is halved between them.
    """

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        sizes: Sequence[int],
        dropout: float = 0.0,
        patch_size: int = 1,
    ) -> None:
        super().__init__()
        grid = coarse_grid(image_size, len(sizes), patch_size)
        self.patch_size = patch_size
        self.stem = nn.Conv2d(channels * patch_size**2, sizes[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            [ResBlock(sizes[0], sizes[0], dropout)] + [ResBlock(a, b, dropout) for a, b in pairwise(sizes)]
        )
        self.features = sizes[-1] * grid[0] * grid[1]

    def forward(self, image: Tensor) -> Tensor:  # (B, I, H, W) -> (B, features)
        x = F.pixel_unshuffle(image, self.patch_size) if self.patch_size > 1 else image
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        for level, block in enumerate(self.blocks):
            x = F.avg_pool2d(x, 2) if level else x
            x = block(x)
        x = F.leaky_relu(x, SLOPE).contiguous()
        return x.flatten(1)


class Decoder(nn.Module):
    """Features (B, F) on the coarsest grid -> maps (B, O, H, W); O = `channels`.

    `sizes` are the filters at each resolution, coarsest first.
    """

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        sizes: Sequence[int],
        patch_size: int = 1,
    ) -> None:
        super().__init__()
        self.grid = coarse_grid(image_size, len(sizes), patch_size)
        self.patch_size, self.channels = patch_size, sizes[0]
        steps = [*pairwise(sizes), (sizes[-1], sizes[-1])]
        self.blocks = nn.ModuleList(ResBlock(a, b, doubles=level > 0) for level, (a, b) in enumerate(steps))
        self.head = nn.Conv2d(sizes[-1], channels * patch_size**2, 3, padding=1)
        self.features = sizes[0] * self.grid[0] * self.grid[1]

    def forward(self, features: Tensor) -> Tensor:
        x = features.reshape(-1, self.channels, *self.grid).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        x = self.head(F.leaky_relu(x, SLOPE))
        return F.pixel_shuffle(x, self.patch_size) if self.patch_size > 1 else x
