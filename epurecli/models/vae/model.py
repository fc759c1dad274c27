"""The beta-VAE. Source: plan, sections 1.1-1.2; Higgins et al., "beta-VAE", ICLR 2017."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from epurecli.models.base import LatentModel, Objective, Stage
from epurecli.models.vae.config import VAEConfig
from epurecli.nn.belief import DiagonalGaussian, standard_normal
from epurecli.nn.conditioning import EMBEDDING, heed_latent
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
        heed_latent(self.expand, model.latent_dim)

    @property
    def latent_size(self) -> int:
        return self.config.model.latent_dim

    def prior(self) -> DiagonalGaussian:
        return standard_normal(self.moments.bias.new_empty(1, self.latent_size))

    def code(self, image: Tensor) -> Tensor:  # means, then log variances
        return self.moments(self.encoder(image)).to(image.dtype)

    def belief(self, code: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(*code.chunk(2, dim=1))

    def infer(self, observed: Tensor, mask: Tensor) -> DiagonalGaussian:
        return self.belief(self.code(observed * mask[..., None, None]))

    def maps(self, z: Tensor, embedding: Tensor) -> Tensor:
        return self.decoder(self.expand(torch.cat([z, embedding], dim=1)))

    def kl(self, belief: DiagonalGaussian) -> Tensor:
        return belief.kl_to_standard()

    def model_stages(self) -> Sequence[Stage]:
        settings = self.config.training
        trained = (self.encoder, self.moments, self.expand, self.decoder, self.conditioning, self.likelihood)
        objective = Objective("elbo", trained, partial(self.masked_elbo, settings))
        return [Stage("vae", settings, (objective,), self.validate)]
