"""The marginal VAEs' halves, the meta-encoder and the meta-decoder. Source: docs/plan.md, Meta-VAE."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.models.meta_vae.config import MetaModelConfig
from epurecli.nn.conditioning import EMBEDDING, scale_latent_weights
from epurecli.nn.grouped import GroupedLinear
from epurecli.nn.resnet import SLOPE, Decoder, Encoder, coarse_grid

BRANCH = (256, 192, 192)  # of one component in the meta-encoder
COMBINE = (512, 384)
TRUNK, HIDDEN = 512, 256  # of the meta-decoder


class MarginalEncoder(nn.Module):
    """One component's q(z_c | x_c): the mirror of its decoder. Only training needs it."""

    def __init__(self, config: MetaModelConfig) -> None:
        super().__init__()
        sizes = config.marginal_widths[::-1]
        self.trunk = Encoder(1, config.image_size, sizes, patch_size=config.patch_size)
        self.moments = nn.Linear(self.trunk.features, 2 * config.component_latent_dim)

    def forward(self, image: Tensor) -> Tensor:  # (B, 1, H, W) -> (B, 2 L), means then log variances
        return self.moments(self.trunk(image))


class MarginalDecoder(nn.Module):
    """One component's latent code to its raw map."""

    def __init__(self, config: MetaModelConfig) -> None:
        super().__init__()
        self.trunk = Decoder(1, config.image_size, config.marginal_widths, config.patch_size)
        self.expand = nn.Linear(config.component_latent_dim, self.trunk.features)

    def forward(self, code: Tensor) -> Tensor:  # (B, L) -> (B, 1, H, W)
        return self.trunk(self.expand(code))


class Branches(nn.Module):
    """C parallel stacks of linear layers, BatchNorm and ReLU between them where `norm`; the last layer stays linear."""

    def __init__(self, components: int, sizes: tuple[int, ...], *, norm: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GroupedLinear(components, a, b) for a, b in pairwise(sizes))
        inner = sizes[1:-1] if norm else ()
        self.norms = nn.ModuleList(nn.BatchNorm1d(components * size) for size in inner)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, inputs) -> (B, C, outputs)
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index < len(self.norms):
                x = self.norms[index](x.flatten(1)).unflatten(1, x.shape[1:])
            if index + 1 < len(self.layers):
                x = F.relu(x)
        return x


class MetaEncoder(nn.Module):
    """Components and which of them are observed -> mean and log variance of the meta-latent.

    One backbone reads every component, a branch of its own follows, features of hidden components become zero, and the
    concatenation is combined.
    """

    def __init__(self, components: int, config: MetaModelConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        widths = (config.patch_size**2, *config.backbone_widths)
        rows, columns = coarse_grid(config.image_size, len(widths), config.patch_size)
        self.backbone = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 4, stride=2, padding=1), nn.BatchNorm2d(b), nn.LeakyReLU(SLOPE))
                for a, b in pairwise(widths)
            )
        )
        self.branches = Branches(components, (widths[-1] * rows * columns, *BRANCH), norm=True)
        sizes = (components * BRANCH[-1], *COMBINE)
        self.combine = nn.Sequential(
            *(nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairwise(sizes))
        )
        self.moments = nn.Linear(COMBINE[-1], 2 * config.latent_dim_meta)  # fc_mu and fc_logvar side by side

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # (B, C, H, W), (B, C) -> (B, N) twice
        count, components = mask.shape
        x = image.reshape(count * components, 1, *image.shape[2:])
        x = F.pixel_unshuffle(x, self.patch_size) if self.patch_size > 1 else x
        features = self.backbone(x.contiguous(memory_format=torch.channels_last)).contiguous()
        features = self.branches(features.reshape(count, components, -1))
        # chosen, not multiplied: what is hidden may hold anything, and 0 * nan is nan
        shown = torch.where(mask.unsqueeze(-1), features, 0.0)
        mean, log_variance = self.moments(self.combine(shown.flatten(1))).to(image.dtype).chunk(2, dim=1)
        return mean, log_variance


class MetaDecoder(nn.Module):
    """Meta-latent and condition embedding -> each component's latent code."""

    def __init__(self, components: int, config: MetaModelConfig) -> None:
        super().__init__()
        self.components = components
        self.trunk = nn.Linear(config.latent_dim_meta + EMBEDDING, TRUNK)
        scale_latent_weights(self.trunk, config.latent_dim_meta)
        self.branches = Branches(components, (TRUNK, HIDDEN, HIDDEN, config.component_latent_dim), norm=False)

    def forward(self, z: Tensor, embedding: Tensor) -> Tensor:  # (B, N), (B, 256) -> (B, C, L)
        h = F.relu(self.trunk(torch.cat([z, embedding], dim=1)))
        return self.branches(h.unsqueeze(1).expand(-1, self.components, -1))
