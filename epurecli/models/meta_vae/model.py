"""The Meta-VAE. Source: plan, part 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from epurecli.config.schema import StageConfig
from epurecli.models.base import LatentModel, Objective, Stage, mean_iou
from epurecli.models.meta_vae.config import MetaVAEConfig
from epurecli.models.meta_vae.networks import MarginalDecoder, MarginalEncoder, MetaDecoder, MetaEncoder
from epurecli.models.meta_vae.pretrained import NAME, file_name, load_decoder
from epurecli.nn.belief import DiagonalGaussian, standard_normal
from epurecli.nn.masking import show_all
from epurecli.nn.shard import Shard
from epurecli.types import Batch, Clock, Losses

MARGINAL, META = "marginal", "meta"


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

    def prior(self) -> DiagonalGaussian:
        return standard_normal(self.meta_encoder.moments.bias.new_empty(1, self.latent_size))

    def code(self, image: Tensor) -> Tensor:  # means, then log variances
        return torch.cat(self.meta_encoder(image, show_all(len(image), len(self.components), image.device)), dim=1)

    def belief(self, code: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(*code.chunk(2, dim=1))

    def infer(self, observed: Tensor, mask: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(*self.meta_encoder(observed, mask))

    def kl(self, belief: DiagonalGaussian) -> Tensor:
        return belief.kl_to_standard()

    def maps(self, z: Tensor, embedding: Tensor) -> Tensor:
        return self.marginal_maps(self.meta_decoder(z, embedding))

    def marginal_maps(self, codes: Tensor) -> Tensor:  # (B, C, L) -> (B, C, H, W)
        """Each component's code through its own decoder."""
        return torch.cat([decoder(codes[:, c]) for c, decoder in enumerate(self.marginal_decoders)], dim=1)

    def marginal_belief(self, image: Tensor) -> DiagonalGaussian:  # (B, C, H, W) -> over (B, C, L)
        """q(z_c | x_c) of every component, from the marginal encoders."""
        moments = [encoder(image[:, c : c + 1]) for c, encoder in enumerate(self.marginal_encoders)]
        return DiagonalGaussian(*torch.stack(moments, dim=1).to(image.dtype).chunk(2, dim=2))

    # --- training -------------------------------------------------------------------------------------------------

    def model_stages(self) -> Sequence[Stage]:
        training = self.config.training
        share = 0.0 if self.brings_decoders else training.stage1_share
        first, second = training.share(training.stage1, share), training.share(training.stage2, 1 - share)
        marginals = (self.marginal_encoders, self.marginal_decoders, self.likelihood)
        metas = (self.meta_encoder, self.meta_decoder, self.conditioning, self.likelihood)
        separately = Objective("elbo", marginals, partial(self.marginal_elbo, first))
        together = Objective("elbo", metas, partial(self.masked_elbo, second))
        stages = [
            Stage(MARGINAL, first, (separately,), self.validate_marginals),
            Stage(META, second, (together,), self.validate),
        ]
        return stages[1:] if self.brings_decoders else stages

    def marginal_elbo(self, stage: StageConfig, batch: Batch, clock: Clock, shard: Shard) -> Losses:
        """The negative ELBOs of the C marginal VAEs, summed: nats per design."""
        return self._marginal_losses(batch, self.beta_at(clock, stage), shard)

    def validate_marginals(self, batch: Batch, clock: Clock, shard: Shard) -> Losses:
        """The same at full beta. `iou` is the reconstruction floor: what the decoders draw when each is told its own
        best code."""
        losses = self._marginal_losses(batch, self.beta, shard)
        image = self.likelihood.image(self.marginal_maps(self.marginal_belief(batch.image).mean))
        return Losses(losses.total, {**losses.terms, "iou": mean_iou(image, batch.image)})

    def _marginal_losses(self, batch: Batch, beta: float, shard: Shard) -> Losses:
        belief = self.marginal_belief(batch.image)
        codes = belief.sample(shard.randn(*belief.mean.shape))
        nats = (self.likelihood.log_prob(self.marginal_maps(codes), batch.image) * self.recon_weights).mean(0)
        reconstruction, divergence = -nats.sum(), belief.kl_to_standard().sum(1).mean()
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
