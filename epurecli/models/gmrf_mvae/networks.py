"""The component encoders and the coupling network. Source: docs/plan.md, GMRF MVAE."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.gmrf import coupling_size
from epurecli.models.gmrf_mvae.config import GMRFModelConfig
from epurecli.nn.conditioning import EMBEDDING, scale_latent_weights
from epurecli.nn.grouped import GroupedLinear
from epurecli.nn.resnet import Decoder, Encoder, widths


class ComponentEncoders(nn.Module):
    """Each component's ResNet: mean, a positive spread parameter, and an embedding for the coupling network.

    The ResNets run in turn: as one grouped network a step took 1.1 to 1.4 times as long on a CPU.
    """

    def __init__(self, components: int, config: GMRFModelConfig, outputs: int, *, embed: bool) -> None:
        super().__init__()
        sizes = widths(config.nf, config.nf_max_e, config.patch_size)
        self.trunks = nn.ModuleList(
            Encoder(1, config.image_size, sizes, config.dropout_p, config.patch_size) for _ in range(components)
        )
        self.pieces = 3 if embed else 2
        self.heads = GroupedLinear(components, self.trunks[0].features, self.pieces * outputs)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:  # (B, C, H, W) -> each (B, C * outputs)
        features = torch.stack([trunk(part) for trunk, part in zip(self.trunks, image.split(1, 1), strict=True)], 1)
        return tuple(part.flatten(1) for part in self.heads(features).chunk(self.pieces, dim=2))


class ComponentDecoders(nn.Module):
    """Each component's latent and the shared condition embedding -> its map."""

    def __init__(self, components: int, config: GMRFModelConfig) -> None:
        super().__init__()
        sizes = widths(config.nf, config.nf_max_d, config.patch_size)[::-1]
        self.trunks = nn.ModuleList(Decoder(1, config.image_size, sizes, config.patch_size) for _ in range(components))
        self.expand = GroupedLinear(components, config.latent_dim + EMBEDDING, self.trunks[0].features)
        scale_latent_weights(self.expand, config.latent_dim)

    def forward(self, z: Tensor, embedding: Tensor) -> Tensor:  # (B, C, L), (B, 256) -> (B, C, H, W)
        given = embedding.unsqueeze(1).expand(-1, len(self.trunks), -1)
        features = self.expand(torch.cat([z, given], dim=2)).unbind(1)
        return torch.cat([trunk(part) for trunk, part in zip(self.trunks, features, strict=True)], 1)


class OffDiagonalCov(nn.Module):
    """All components' embeddings -> the packed cross-component couplings (B, K) of
    `epurecli.gmrf.assemble_covariance`."""

    def __init__(self, sizes: tuple[int, ...], hidden: int, layers: int) -> None:
        super().__init__()
        widths = [sum(sizes)] + [hidden] * (layers + 1)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.output = nn.Linear(hidden, coupling_size(sizes))

    def forward(self, embedding: Tensor) -> Tensor:  # (B, C * L) -> (B, K)
        for layer in self.hidden:
            embedding = F.relu(layer(embedding))
        return self.output(embedding)


def positive(raw: Tensor, transform: str) -> Tensor:
    """softplus or exp, kept off zero so that a Cholesky factor exists in float32."""
    return (F.softplus(raw) if transform == "softplus" else raw.clamp(max=20).exp()) + 1e-4
