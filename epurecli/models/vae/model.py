"""The beta-VAE. Source: docs/plan.md, beta-VAE; Higgins et al., "beta-VAE", ICLR 2017."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from epurecli.models.contract import Objective, Stage
from epurecli.models.latent import LatentModel
from epurecli.models.vae.config import VAEConfig
from epurecli.nn.conditioning import EMBEDDING, scale_latent_weights
from epurecli.nn.resnet import Decoder, Encoder, widths


class VAE(LatentModel):
    """q(z | x) from a ResNet on the stacked components (hidden ones zeroed), p(x | z, condition) from its mirror."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(config)
        model = config.model
        sizes = widths(model.nf, model.nf_max, model.patch_size)
        count = len(self.components)
        self.encoder = Encoder(count, model.image_size, sizes, model.dropout_p, model.patch_size)
        self.moments = nn.Linear(self.encoder.features, 2 * model.latent_dim)
        self.decoder = Decoder(count, model.image_size, sizes[::-1], model.patch_size)
        self.expand = nn.Linear(model.latent_dim + EMBEDDING, self.decoder.features)
        scale_latent_weights(self.expand, model.latent_dim)

    @property
    def latent_size(self) -> int:
        return self.config.model.latent_dim

    def encode(self, image: Tensor, mask: Tensor) -> Tensor:  # means, then log variances
        shown = torch.where(mask[..., None, None], image, 0.0)
        return self.moments(self.encoder(shown)).to(image.dtype)

    def maps(self, z: Tensor, embedding: Tensor) -> Tensor:
        return self.decoder(self.expand(torch.cat([z, embedding], dim=1)))

    def own_stages(self) -> Sequence[Stage]:
        trained = (self.encoder, self.moments, self.expand, self.decoder, self.conditioning, self.likelihood)
        objective = Objective("elbo", trained, self.masked_elbo)
        return [Stage("vae", self.config.training, (objective,), self.validate)]
