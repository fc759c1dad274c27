"""Residual encoder and decoder trunks shared by the models.

Pre-activation blocks without normalisation (the branch's last convolution starts at zero, so a deep trunk begins as its
shortcuts and needs none), average pooling down, nearest-neighbour up. `patch_size` folds p x p pixels into channels before the first and
after the last convolution: the trunk then works at 1/p of the resolution, which is where a CPU spends its time.

Source: plan, section 1.1; Zhang et al., "Fixup Initialization", ICLR 2019 (zero branches).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

REDUCTION = 8  # the trunks end at 1/8 of the image: 64 x 32 -> 8 x 4
SLOPE = 0.2


class ResBlock(nn.Module):
    """y = shortcut(x) + conv(act(conv(act(x)))), 3 x 3, keeping the size. Dropout between the convolutions."""

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.0, groups: int = 1) -> None:
        super().__init__()
        hidden = min(inputs, outputs)
        self.conv_0 = nn.Conv2d(inputs, hidden, 3, padding=1, groups=groups)
        self.conv_1 = nn.Conv2d(hidden, outputs, 3, padding=1, groups=groups)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False, groups=groups) if inputs != outputs else nn.Identity()
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        nn.init.zeros_(self.conv_1.weight)
        nn.init.zeros_(self.conv_1.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_0(F.leaky_relu(x, SLOPE))
        h = self.conv_1(self.dropout(F.leaky_relu(h, SLOPE)))
        return self.shortcut(x) + h


def widths(nf: int, nf_max: int, levels: int) -> list[int]:
    """Filters at each resolution, doubling up to `nf_max`: nf, 2 nf, 4 nf, ..."""
    return [min(nf * 2**level, nf_max) for level in range(levels + 1)]


def levels_of(patch_size: int) -> int:
    """How many times a trunk halves the size to go from the patch grid to 1/8 of the image."""
    return (REDUCTION // patch_size).bit_length() - 1


class Encoder(nn.Module):
    """Images (B, G*I, H, W) -> features (B, G*F) flattened from the 1/8 grid; G independent groups side by side.

    One group is an ordinary ResNet. With `groups` = C, the C component encoders run as one grouped network: the input
    channels, and the features (see `features`), are ordered component by component.
    """

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        nf: int,
        nf_max: int,
        dropout: float = 0.0,
        patch_size: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        sizes = [w * groups for w in widths(nf, nf_max, levels_of(patch_size))]
        self.patch_size, self.groups = patch_size, groups
        self.stem = nn.Conv2d(channels * patch_size**2, sizes[0], 3, padding=1, groups=groups)
        self.blocks = nn.ModuleList(
            [ResBlock(sizes[0], sizes[0], dropout, groups)]
            + [ResBlock(a, b, dropout, groups) for a, b in zip(sizes, sizes[1:], strict=False)]
        )
        self.features = sizes[-1] // groups * (image_size[0] // REDUCTION) * (image_size[1] // REDUCTION)

    def forward(self, image: Tensor) -> Tensor:  # (B, C, H, W) -> (B, features) or (B, groups, features)
        x = F.pixel_unshuffle(image, self.patch_size) if self.patch_size > 1 else image
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        for level, block in enumerate(self.blocks):
            x = F.avg_pool2d(x, 2) if level else x
            x = block(x)
        x = F.leaky_relu(x, SLOPE).contiguous()
        return x.flatten(1) if self.groups == 1 else x.unflatten(1, (self.groups, -1)).flatten(2)


class Decoder(nn.Module):
    """Features (B, F) or (B, G, F) on the 1/8 grid -> maps (B, G*O, H, W), group by group."""

    def __init__(
        self,
        channels: int,
        image_size: tuple[int, int],
        nf: int,
        nf_max: int,
        patch_size: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        sizes = [w * groups for w in reversed(widths(nf, nf_max, levels_of(patch_size)))]
        self.grid = (image_size[0] // REDUCTION, image_size[1] // REDUCTION)
        self.patch_size, self.groups, self.channels = patch_size, groups, sizes[0]
        self.blocks = nn.ModuleList(
            [ResBlock(a, b, groups=groups) for a, b in zip(sizes, sizes[1:], strict=False)]
            + [ResBlock(sizes[-1], sizes[-1], groups=groups)]
        )
        self.head = nn.Conv2d(sizes[-1], channels * patch_size**2, 3, padding=1, groups=groups)
        self.features = sizes[0] // groups * self.grid[0] * self.grid[1]

    def forward(self, features: Tensor) -> Tensor:
        x = features.reshape(-1, self.channels, *self.grid).contiguous(memory_format=torch.channels_last)
        for level, block in enumerate(self.blocks):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest") if level else x
            x = block(x)
        x = self.head(F.leaky_relu(x, SLOPE))
        return F.pixel_shuffle(x, self.patch_size) if self.patch_size > 1 else x
