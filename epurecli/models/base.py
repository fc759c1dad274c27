"""The contract between a model and the rest of the house: what is trained, how an image is drawn, what ONNX may see.

The loop (`epurecli.training`), the sampler (`epurecli.sample`) and the exporter (`epurecli.export`) know these classes
and no model.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from epurecli.config.schema import RunConfig, StageConfig
from epurecli.errors import UnsupportedMode
from epurecli.models.graphs import Graph, latent_graphs
from epurecli.nn.belief import Belief, Density, standard_log_prob
from epurecli.nn.conditioning import ConditionEmbedding
from epurecli.nn.flow import ConditionalFlow
from epurecli.nn.likelihoods import likelihood_of
from epurecli.nn.masking import draw_masks, mask_probability, show_all
from epurecli.nn.shard import Shard
from epurecli.types import Batch, Clock, Losses, Mode, Query

LATENT_PRIOR = "latent-prior"  # the stage that fits the flow, after the model's own stages

Loss = Callable[[Batch, Clock, Shard], Losses]  # a mean over this process's rows


@dataclass(frozen=True, slots=True)
class Objective:
    """One optimizer's work: everything outside `trains` is frozen and in eval() while it runs."""

    name: str
    trains: tuple[nn.Module, ...]
    loss: Loss
    repeat: int = 1  # optimizer steps per batch

    def parameters(self) -> Iterable[nn.Parameter]:
        for module in self.trains:
            yield from module.parameters()


@dataclass(frozen=True, slots=True)
class Stage:
    """A phase of training with its own schedule. A stage starts from the best weights of the one before."""

    name: str
    settings: StageConfig
    objectives: tuple[Objective, ...]
    validate: Loss  # in eval(), on unmasked validation designs; `total` decides which epoch is best
    encode: Callable[[Tensor], Tensor] | None = None  # what its losses are given instead of images, computed once

    @torch.no_grad()
    def view(self, batch: Batch) -> Batch:
        """A batch of designs as the stage's losses are given it."""
        return batch if self.encode is None else Batch(self.encode(batch.image), batch.condition)


class GenerativeModel(nn.Module, ABC):
    """Anything that draws designs."""

    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.config = config
        self.components = config.data.component_dirs
        self.image_size = config.model.image_size
        self.cond_dim = len(config.data.condition_columns)

    @property
    @abstractmethod
    def noise_dim(self) -> int:
        """Standard normal numbers that one draw of one design consumes."""

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """How it is trained, in order."""

    @abstractmethod
    def generate(self, query: Query, noise: Tensor) -> Tensor:  # (S, B, noise_dim) -> (S, B, C, H, W) in [0, 1]
        """S draws for each design of the query; observed components come back as they were given.

        All randomness is in `noise`, so the same noise gives the same designs on any backend.
        """

    def graphs(self) -> Sequence[Graph]:
        """What ONNX may see. A graph has no randomness of its own: noise is an input."""
        return ()

    def load_pretrained(self) -> None:
        """Fill in weights that the config brings, before training. Raises: ConfigError, CheckpointError."""

    def stage_files(self, stage: str) -> Mapping[Path, tuple[Mapping[str, Tensor], Mapping[str, str]]]:
        """Files (tensors, metadata) that a finished stage leaves outside the run folder."""
        return {}

    def training_only(self) -> tuple[nn.Module, ...]:
        """Modules that no sample needs (an auxiliary encoder of an early stage): counted apart."""
        return ()

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def require(self, mode: Mode) -> None:
        """Raises: UnsupportedMode, naming the modes there are."""
        if mode not in self.modes:
            raise UnsupportedMode(
                f"{self.config.model.type} has no mode {mode.value!r}",
                hint=f"it can: {', '.join(sorted(m.value for m in self.modes))}",
            )


class LatentModel(GenerativeModel):
    """A model with a latent z of size N: p(x, z) = p(z) p(x | z, condition), and q(z | any observed components).

    A room writes `prior`, `code`, `belief`, `infer`, `kl`, `maps` and `model_stages`; the ELBO and generating are
    written once, here. `latent_size` must be readable before the room's networks exist (from the config).
    """

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        model = config.model
        self.beta = model.beta
        self.conditioning = ConditionEmbedding(self.cond_dim, model.cond_dropout)
        self.likelihood = likelihood_of(model.reconstruction.likelihood, len(self.components))
        weights = model.reconstruction.recon_weights or [1.0] * len(self.components)
        scale = 1.0
        if model.reconstruction.reduction == "mean":  # the plan's mean over pixels instead of nats
            scale = 1.0 / (self.image_size[0] * self.image_size[1])
        self.register_buffer("recon_weights", scale * torch.tensor(weights), persistent=False)
        flow = model.latent_prior
        self.latent_prior = None  # or a flow in the whitened coordinates of prior(), fitted as a last stage
        if flow.kind == "flow":
            self.latent_prior = ConditionalFlow(self.latent_size, self.cond_dim, flow.layers, flow.hidden)

    @property
    @abstractmethod
    def latent_size(self) -> int:
        """N."""

    @property
    def noise_dim(self) -> int:
        return self.latent_size

    @abstractmethod
    def prior(self) -> Density:
        """p(z), one row."""

    @abstractmethod
    def infer(self, observed: Tensor, mask: Tensor) -> Belief:  # (B, C, H, W), (B, C) -> over (B, N)
        """q(z | observed components)."""

    @abstractmethod
    def code(self, image: Tensor) -> Tensor:  # (B, C, H, W) -> (B, K)
        """What the encoder says of whole designs: all that `belief` asks for."""

    @abstractmethod
    def belief(self, code: Tensor) -> Density:  # (B, K) -> over (B, N)
        """q(z | all components)."""

    @abstractmethod
    def kl(self, belief: Belief) -> Tensor:  # -> (B,)
        """KL(belief || prior) in nats, summed over latents."""

    @abstractmethod
    def maps(self, z: Tensor, embedding: Tensor) -> Tensor:  # (B, N), (B, 256) -> (B, C, H, W)
        """Raw decoder output, in the likelihood's terms."""

    def decode(self, z: Tensor, condition: Tensor, present: Tensor) -> Tensor:  # -> (B, C, H, W) in [0, 1]
        """Latents and conditions (present = 0 where there is none) to images."""
        return self.likelihood.image(self.maps(z, self.conditioning(condition, present)))

    def complete(self, z: Tensor, condition: Tensor, present: Tensor, observed: Tensor, mask: Tensor) -> Tensor:
        """`decode` given some components, which come back as they are: (B, C, H, W) observed, (B, C) mask."""
        return self.likelihood.complete(self.maps(z, self.conditioning(condition, present)), observed, mask)

    def infer_whole(self, batch: Batch) -> Density:
        """q(z | all components)."""
        return self.belief(self.code(batch.image))

    def reconstruct(self, batch: Batch) -> Tensor:  # -> (B, C, H, W) in [0, 1]
        """Whole designs through their posterior means, at their conditions."""
        present = torch.ones(len(batch), 1, device=batch.image.device)
        return self.decode(self.infer_whole(batch).mean, batch.condition, present)

    def condition_of(self, query: Query) -> tuple[Tensor, Tensor]:  # (B, D), (B, 1)
        """The query's condition and whether it has one."""
        device = self.device
        if query.condition is None:
            return torch.zeros(query.count, self.cond_dim, device=device), torch.zeros(query.count, 1, device=device)
        return query.condition.to(device), torch.ones(query.count, 1, device=device)

    @torch.no_grad()
    def generate(self, query: Query, noise: Tensor) -> Tensor:
        condition, present = self.condition_of(query)
        if query.observed is None:
            latents = [self.from_prior(n, condition, present) for n in noise]
            return torch.stack([self.decode(z, condition, present) for z in latents])
        belief = self.infer(query.observed, query.mask)
        given = condition, present, query.observed, query.mask
        return torch.stack([self.complete(belief.sample(n), *given) for n in noise])

    def from_prior(self, noise: Tensor, condition: Tensor, present: Tensor) -> Tensor:  # (B, N) -> (B, N)
        """Standard normal noise to latents, through the fitted flow where there is one."""
        if self.latent_prior is not None:
            noise = self.latent_prior(noise, condition, present)
        return self.prior().sample(noise)

    @torch.no_grad()
    def importance_bound(self, batch: Batch, noise: Tensor) -> Tensor:  # noise (K, B, N) -> (B,)
        """IWAE bound on log p(design | condition), nats per design, from K samples of the posterior.

            log (1 / K) sum_k p(x | z_k, c) p(z_k | c) / q(z_k | x)

        Never above the log-likelihood, and nearer with every sample.
        Source: Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016, eq. 8.
        """
        present = torch.ones(len(batch), 1, device=batch.image.device)
        embedding, belief = self.conditioning(batch.condition, present), self.infer_whole(batch)
        weights = []
        for n in noise:
            z = belief.sample(n)
            likelihood = self.likelihood.log_prob(self.maps(z, embedding), batch.image).sum(1)
            posterior = standard_log_prob(n) - belief.log_det  # n is z, whitened
            weights.append(likelihood + self.prior_log_prob(z, batch.condition, present) - posterior)
        return torch.stack(weights).logsumexp(0) - math.log(len(noise))

    def prior_log_prob(self, z: Tensor, condition: Tensor, present: Tensor) -> Tensor:  # (B, N) -> (B,)
        """Log density of what `from_prior` draws, in nats."""
        prior, flow = self.prior(), self.latent_prior
        white = prior.whiten(z)
        density = standard_log_prob(white) if flow is None else flow.log_prob(white, condition, present)
        return density - prior.log_det

    def graphs(self) -> Sequence[Graph]:
        return latent_graphs(self)

    # --- training -------------------------------------------------------------------------------------------------

    @abstractmethod
    def model_stages(self) -> Sequence[Stage]:
        """The room's own stages."""

    def stages(self) -> Sequence[Stage]:
        """The room's stages and, where the config asks for a flow, the fit of the latent prior."""
        if self.latent_prior is None:
            return self.model_stages()
        spec = self.config.model.latent_prior
        settings = StageConfig(
            epochs=spec.epochs, batch_size=spec.batch_size, lr=spec.lr, scheduler="cosine", budget_s=spec.budget_s
        )
        fit = Objective("flow", (self.latent_prior,), self.flow_loss)
        return [*self.model_stages(), Stage(LATENT_PRIOR, settings, (fit,), self.flow_loss, self.code)]

    def masked_elbo(self, stage: StageConfig, batch: Batch, clock: Clock, shard: Shard) -> Losses:
        """The ELBO of a whole design, the encoder seeing a random subset of its components."""
        mask = draw_masks(len(batch), len(self.components), mask_probability(clock, stage), stage.masking, shard)
        present = self.conditioning.draw_presence(len(batch), shard)
        return self.elbo(batch, mask, present, self.beta_at(clock, stage), shard)

    def elbo(self, batch: Batch, mask: Tensor, present: Tensor, beta: float, shard: Shard) -> Losses:
        """One-sample negative ELBO, nats per design."""
        belief = self.infer(batch.image, mask)
        z = belief.sample(shard.randn(len(batch), self.latent_size))
        return self.negative_elbo(z, self.kl(belief), batch, present, beta)

    def validate(self, batch: Batch, clock: Clock, shard: Shard) -> Losses:
        """The ELBO on whole designs at full beta, and the IoU of the posterior mean's reconstruction."""
        mask = show_all(len(batch), len(self.components), batch.image.device)
        present = torch.ones(len(batch), 1, device=batch.image.device)
        losses = self.elbo(batch, mask, present, self.beta, shard)
        return Losses(losses.total, {**losses.terms, "iou": mean_iou(self.reconstruct(batch), batch.image)})

    def flow_loss(self, batch: Batch, clock: Clock, shard: Shard) -> Losses:
        """-log p(z | condition) of posterior samples in the prior's whitened coordinates, nats per design.

        The batch holds codes: the encoder is frozen, and has said all it has to say.
        """
        present = self.conditioning.draw_presence(len(batch), shard)
        with torch.autocast(present.device.type, enabled=False):
            with torch.no_grad():
                belief = self.belief(batch.image)
                z = belief.sample(shard.randn(len(batch), self.latent_size))
                white = self.prior().whiten(z)
            if self.latent_prior.training:
                self.latent_prior.linear.follow(white, batch.condition, shard)
            nll = -self.latent_prior.log_prob(white, batch.condition, present).mean()
        return Losses(nll, {"nll": nll})

    def negative_elbo(self, z: Tensor, kl: Tensor, batch: Batch, present: Tensor, beta: float) -> Losses:
        """-log p(x | z) + beta KL, in nats per design: summed over C, H, W and latents, mean over B.

        The target is always the whole design, whatever the encoder was shown.
        """
        maps = self.maps(z, self.conditioning(batch.condition, present)).to(z.dtype)
        nats = (self.likelihood.log_prob(maps, batch.image) * self.recon_weights).mean(0)  # (C,)
        reconstruction, divergence = -nats.sum(), kl.mean()
        return Losses(reconstruction + beta * divergence, {"recon": reconstruction, "kl": divergence})

    def beta_at(self, clock: Clock, stage: StageConfig) -> float:
        """The KL weight, ramped linearly over `beta_warmup_epochs`."""
        warm = stage.beta_warmup_epochs
        return self.beta * (min(1.0, (clock.epoch + 1) / warm) if warm else 1.0)


def mean_iou(image: Tensor, target: Tensor) -> Tensor:  # (B, C, H, W) twice -> scalar
    """Intersection over union of the parts at threshold 0.5, mean over designs and components; two empty parts
    agree."""
    ours, theirs = image > 0.5, target > 0.5
    union = (ours | theirs).sum((-2, -1))
    both = (ours & theirs).sum((-2, -1))
    return torch.where(union > 0, both / union.clamp_min(1), 1.0).mean()
