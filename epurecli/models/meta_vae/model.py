"""The Meta-VAE. Source: docs/plan.md, Meta-VAE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from epurecli.models.contract import Objective, Stage
from epurecli.models.latent import LatentModel, mean_iou
from epurecli.models.meta_vae.config import MetaVAEConfig
from epurecli.models.meta_vae.networks import MarginalDecoder, MarginalEncoder, MetaDecoder, MetaEncoder
from epurecli.models.meta_vae.pretrained import NAME, file_name, load_decoder
from epurecli.nn.distributions import DiagonalGaussian, kl_divergence, standard_normal
from epurecli.nn.step import Step
from epurecli.types import Batch, Losses

MARGINAL, META = "marginal", "meta"
UNCLAIMED = 1e4  # a logit so low that a softmax gives nothing


class MetaVAE(LatentModel):
    """A VAE whose decoder ends in the frozen decoders of C marginal VAEs.

    Stage 1 trains one VAE per component, each on its own. Stage 2 freezes their decoders and trains the meta-encoder,
    q(z | observed components), and the meta-decoder, (z, condition) -> the component codes. Its objective does not name
    the marginal decoders, so the loop leaves them frozen and in eval().
    """

    def __init__(self, config: MetaVAEConfig) -> None:
        super().__init__(config)
        model, count = config.model, len(self.components)
        self.brings_decoders = model.marginal_vae_paths is not None
        # C networks in turn: as one grouped network the same step took 1.1 to 2.2 times as long on a CPU
        self.marginal_encoders = nn.ModuleList(
            [] if self.brings_decoders else [MarginalEncoder(model) for _ in range(count)]
        )
        self.marginal_decoders = nn.ModuleList(MarginalDecoder(model) for _ in range(count))
        self.meta_encoder = MetaEncoder(count, model)
        self.meta_decoder = MetaDecoder(count, model)

    @property
    def latent_size(self) -> int:
        return self.config.model.latent_dim_meta

    def training_only(self) -> tuple[nn.Module, ...]:
        return (self.marginal_encoders,)

    def encode(self, image: Tensor, mask: Tensor) -> Tensor:  # means, then log variances
        return torch.cat(self.meta_encoder(image, mask), dim=1)

    def maps(self, z: Tensor, embedding: Tensor) -> Tensor:
        return self.marginal_maps(self.meta_decoder(z, embedding))

    def marginal_maps(self, codes: Tensor) -> Tensor:  # (B, C, L) -> (B, C, H, W)
        """Each component's code through its own decoder."""
        return torch.cat([decoder(codes[:, c]) for c, decoder in enumerate(self.marginal_decoders)], dim=1)

    def marginal_posterior(self, image: Tensor) -> DiagonalGaussian:  # (B, C, H, W) -> over (B, C, L)
        """q(z_c | x_c) of every component, from the marginal encoders."""
        moments = [encoder(image[:, c : c + 1]) for c, encoder in enumerate(self.marginal_encoders)]
        return DiagonalGaussian(*torch.stack(moments, dim=1).to(image.dtype).chunk(2, dim=2))

    # --- training -------------------------------------------------------------------------------------------------

    def own_stages(self) -> Sequence[Stage]:
        training = self.config.training
        marginals = (self.marginal_encoders, self.marginal_decoders, self.likelihood)
        metas = (self.meta_encoder, self.meta_decoder, self.conditioning, self.likelihood)
        meta = Stage(META, training.stage2, (Objective("elbo", metas, self.masked_elbo),), self.validate)
        if self.brings_decoders:
            return [meta]
        separately = Objective("elbo", marginals, self.marginal_elbo)
        return [Stage(MARGINAL, training.stage1, (separately,), self.validate_marginals), meta]

    def marginal_elbo(self, batch: Batch, step: Step) -> Losses:
        """The negative ELBOs of the C marginal VAEs, summed: nats per design."""
        return self._marginal_losses(batch, self.beta_at(step), step)

    def validate_marginals(self, batch: Batch, step: Step) -> Losses:
        """The same at full beta. `iou` is the reconstruction floor: what the decoders draw when each is told its own
        best code."""
        losses = self._marginal_losses(batch, self.beta, step)
        image = self.likelihood.image(self.marginal_maps(self.marginal_posterior(batch.image).mean))
        return Losses(losses.total, {**losses.terms, "iou": mean_iou(image, batch.image, batch.known)})

    def _marginal_losses(self, batch: Batch, beta: float, step: Step) -> Losses:
        posterior = self.marginal_posterior(batch.image)
        codes = posterior.sample(step.randn(*posterior.mean.shape))
        maps = self.marginal_maps(codes)
        if batch.known is not None:  # nothing can be said of the others here: they claim no pixel
            maps = maps.masked_fill(~batch.known[..., None, None], -UNCLAIMED)
        nats = (self.likelihood.log_prob(maps, batch.image, batch.known) * self.recon_weights).mean(0)
        kl = kl_divergence(posterior, standard_normal(posterior.mean), codes)  # (B, C)
        if batch.known is not None:
            kl = torch.where(batch.known, kl, 0.0)
        reconstruction, divergence = -nats.sum(), kl.sum(1).mean()
        return Losses(reconstruction + beta * divergence, {"recon": reconstruction, "kl": divergence})

    def load_pretrained(self) -> None:
        """Fill the marginal decoders from `marginal_vae_paths`. Raises: ConfigError, CheckpointError."""
        if self.brings_decoders:
            paths = self.config.model.marginal_vae_paths
            for decoder, path, name in zip(self.marginal_decoders, paths, self.components, strict=True):
                load_decoder(decoder, path, name, self.components)

    def stage_files(self, stage: str) -> Mapping[Path, tuple[Mapping[str, Tensor], Mapping[str, str]]]:
        """Stage 1 leaves each component's decoder in `paths.pretrained_dir`, where the config names one."""
        folder = self.config.paths.pretrained_dir
        if folder is None or stage != MARGINAL:
            return {}
        decoders = zip(self.components, self.marginal_decoders, strict=True)
        return {folder / file_name(name): (decoder.state_dict(), {NAME: name}) for name, decoder in decoders}
