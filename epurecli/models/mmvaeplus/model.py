"""MM-VAE+. Source: Palumbo, Daunhawer & Vogt, "MMVAE+: Enhancing the Generative Quality of Multimodal VAEs without
Compromises", ICLR 2023; Shi et al., "Variational Mixture-of-Experts Autoencoders", NeurIPS 2019."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from epurecli.models.contract import Objective, Stage
from epurecli.models.latent import LatentModel, mean_iou
from epurecli.models.mmvaeplus.config import MMVAEPlusConfig
from epurecli.models.mmvaeplus.experts import Experts, StandardPrior, log_density, standard, standard_density
from epurecli.nn.conditioning import EMBEDDING, scale_latent_weights
from epurecli.nn.resnet import Decoder, Encoder
from epurecli.nn.step import Step
from epurecli.types import Batch, Losses


class ComponentVAE(nn.Module):
    """One component: its image to locations and log scales of z and of its own w, and back."""

    def __init__(self, config: MMVAEPlusConfig) -> None:
        super().__init__()
        model, self.sizes = config.model, (config.model.shared_dim, config.model.private_dim)
        self.encoder = Encoder(1, model.image_size, model.widths, patch_size=model.patch_size)
        self.moments = nn.Linear(self.encoder.features, 2 * sum(self.sizes))
        self.decoder = Decoder(1, model.image_size, model.widths[::-1], model.patch_size)
        self.expand = nn.Linear(sum(self.sizes) + EMBEDDING, self.decoder.features)
        scale_latent_weights(self.expand, sum(self.sizes))

    def encode(self, image: Tensor) -> Tensor:  # (B, 1, H, W) -> (B, 2 (L + W)): z, its log scale, w, its log scale
        return self.moments(self.encoder(image))

    def decode(self, z: Tensor, w: Tensor, embedding: Tensor) -> Tensor:  # -> (B, 1, H, W)
        return self.decoder(self.expand(torch.cat([z, w, embedding], 1)))


class AuxiliaryPriors(nn.Module):
    """r_c(w_c): what stands for a component's own latent while another component speaks. Centred, scales learned."""

    def __init__(self, parts: int, size: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(parts, size))

    def forward(self, noise: Tensor) -> Tensor:  # (B, C, W) -> same
        return self.log_scale.exp() * noise


class MMVAEPlus(LatentModel):
    """p(x_c | z, w_c, condition); q(z | observed) is a mixture of the observed components' experts.

    In training one expert is drawn for each design and step: it explains its own component by z and its w, and the
    others by z and a w from a learned auxiliary prior, so that what only one component knows stays out of z.
    """

    config: MMVAEPlusConfig

    def __init__(self, config: MMVAEPlusConfig) -> None:
        super().__init__(config)
        model, parts = config.model, len(self.components)
        self.vaes = nn.ModuleList(ComponentVAE(config) for _ in range(parts))
        self.auxiliary = AuxiliaryPriors(parts, model.private_dim)

    @property
    def latent_size(self) -> int:
        model = self.config.model
        return model.shared_dim + len(self.config.data.component_dirs) * model.private_dim + 1

    def encode(self, image: Tensor, mask: Tensor) -> Tensor:  # the mask, then each component's moments
        shown = torch.where(mask[..., None, None], image, 0.0)
        moments = [vae.encode(shown[:, c : c + 1]) for c, vae in enumerate(self.vaes)]
        return torch.cat([mask.to(image.dtype), *(m.to(image.dtype) for m in moments)], 1)

    def posterior(self, code: Tensor) -> Experts:
        model, parts = self.config.model, len(self.components)
        mask, moments = code[:, :parts] > 0.5, code[:, parts:].unflatten(1, (parts, -1))
        shared, private = model.shared_dim, model.private_dim
        places = moments.split((shared, shared, private, private), dim=2)
        return Experts(*places, mask, model.family)

    def prior(self) -> StandardPrior:
        return StandardPrior(self.recon_weights.new_empty(1, self.latent_size), self.config.model.family)

    def apart(self, latents: Tensor) -> tuple[Tensor, Tensor]:  # (B, N) -> (B, L), (B, C, W)
        shared = self.config.model.shared_dim
        return latents[:, :shared], latents[:, shared:-1].unflatten(1, (len(self.components), -1))

    def maps(self, z: Tensor, embedding: Tensor) -> Tensor:
        shared, private = self.apart(z)
        return torch.cat([vae.decode(shared, private[:, c], embedding) for c, vae in enumerate(self.vaes)], 1)

    # --- training -----------------------------------------------------------------------------------------------------

    def own_stages(self) -> Sequence[Stage]:
        trained = (self.vaes, self.auxiliary, self.conditioning, self.likelihood)
        objective = Objective("elbo", trained, self.mixture_elbo)
        return [Stage("mmvaeplus", self.config.training, (objective,), self.validate)]

    def mixture_elbo(self, batch: Batch, step: Step) -> Losses:
        present = self.conditioning.draw_presence(len(batch), step)
        return self._by_one_expert(batch, present, self.beta_at(step), step)

    def validate(self, batch: Batch, step: Step) -> Losses:
        """The same bound at full beta, and the IoU of the reconstruction."""
        present = torch.ones(len(batch), 1, device=batch.image.device)
        losses = self._by_one_expert(batch, present, self.beta, step)
        return Losses(losses.total, {**losses.terms, "iou": mean_iou(self.reconstruct(batch), batch.image)})

    def _by_one_expert(self, batch: Batch, present: Tensor, beta: float, step: Step) -> Losses:
        """Palumbo et al., eq. 6, one expert m a design in place of the mean over all:

        log p(x_m | z, w_m) + sum over others of log p(x_n | z, w~_n) - KL, w~_n ~ r_n
        """
        rows, parts, family = len(batch), len(self.components), self.config.model.family
        experts = self.posterior(self.encode_whole(batch))
        known = experts.mask
        turn = (step.stratified(rows).unsqueeze(1) * known.sum(1, keepdim=True)).long()  # each as often as the others
        mine = (known & (known.cumsum(1) == turn + 1)).unsqueeze(2)  # (B, C, 1)
        noise = standard(step.randn(rows, self.latent_size - 1), family)
        size = self.config.model.shared_dim
        z = torch.where(mine, experts.shared, 0.0).sum(1)
        z = z + torch.where(mine, experts.shared_log.exp(), 0.0).sum(1) * noise[:, :size]
        own = noise[:, size:].unflatten(1, (parts, -1))
        borrowed = self.auxiliary(own)
        own = experts.private + experts.private_log.exp() * own
        private = torch.where(mine, own, borrowed)
        latents = torch.cat([z, private.flatten(1), torch.zeros_like(z[:, :1])], 1)
        each = log_density(z.unsqueeze(1), experts.shared, experts.shared_log, family).sum(2)
        mixed = (each + experts.weights[:, :-1].log()).logsumexp(1)  # of what is known, no weight is the prior's
        shared_kl = mixed - standard_density(z, family).sum(1)
        told = log_density(own, experts.private, experts.private_log, family)
        private_kl = torch.where(mine, told - standard_density(own, family), 0.0).sum((1, 2))
        return self.negative_elbo(latents, shared_kl + private_kl, batch, present, beta)
