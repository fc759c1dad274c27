"""What models with a latent share: the ELBO, drawing, the density that is fitted to the latents, the likelihood
bound."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from epurecli.config.latent import ElboStage, LatentRunConfig, MaskedStage
from epurecli.models.contract import GenerativeModel, Sampler, Stage
from epurecli.models.graphs import Graph
from epurecli.models.latent_fit import LatentFit
from epurecli.models.latent_graphs import Infer, latent_graphs
from epurecli.nn.borders import Borders
from epurecli.nn.conditioning import ConditionEmbedding
from epurecli.nn.distributions import (
    Density,
    DiagonalGaussian,
    Distribution,
    Gaussian,
    kl_divergence,
    standard_normal,
)
from epurecli.nn.flow import ConditionalFlow, Conditioned
from epurecli.nn.likelihoods import likelihood_of
from epurecli.nn.masking import draw_masks, mask_probability, show_all
from epurecli.nn.step import Step
from epurecli.nn.subset_gaussian import Given, SubsetGaussian, nothing_given
from epurecli.types import Batch, Losses, Noise, Query


class LatentModel(GenerativeModel):
    """A model with a latent z of size N: p(x, z) = p(z) p(x | z, condition), and q(z | any observed components).

    A model writes `latent_size`, `encode`, `maps` and `own_stages`. `posterior` and `prior` are diagonal Gaussians
    unless it says otherwise, and `infer` is the posterior of what the encoder says. `latent_size` must be readable
    before the model's networks exist (from the config).
    """

    bound_name = "IWAE"

    def __init__(self, config: LatentRunConfig) -> None:
        super().__init__(config)
        model = config.model
        self.beta = model.beta
        self.conditioning = ConditionEmbedding(self.cond_dim, model.cond_dropout)
        self.likelihood = likelihood_of(model.reconstruction.likelihood, len(self.components))
        weights = model.reconstruction.recon_weights or [1.0] * len(self.components)
        scale = 1.0
        if model.reconstruction.reduction == "mean":  # over pixels (docs/plan.md), instead of nats
            scale = 1.0 / (self.image_size[0] * self.image_size[1])
        self.register_buffer("recon_weights", scale * torch.tensor(weights), persistent=False)
        spec = model.latent_prior
        self.flow = None  # or p(z | given parts, condition), fitted as a last stage
        if spec.kind == "flow":
            sizes = len(self.components), self.latent_size, self.cond_dim
            self.flow = ConditionalFlow(*sizes, spec.layers, spec.hidden)
        self.condition_law = None  # or p(condition | given parts), fitted with it
        if self.flow is not None and self.cond_dim:
            self.condition_law = SubsetGaussian(len(self.components), self.latent_size, self.cond_dim, 0)
        self.borders = None  # or what decoded borders leave open, fitted after it
        if self.flow is not None and self.likelihood.logits:
            self.borders = Borders(self.flow.base.groups, len(self.components))

    @property
    def learns_from_parts(self) -> bool:
        return True

    @property
    def noise_size(self) -> int:
        """Numbers that a completion's draw takes: the latent's, and one for each part's border."""
        return self.latent_size + (0 if self.borders is None else len(self.components))

    # --- what a model writes ------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def latent_size(self) -> int:
        """N."""

    @abstractmethod
    def encode(self, image: Tensor, mask: Tensor) -> Tensor:  # (B, C, H, W), (B, C) -> (B, K)
        """What the encoder says of the observed components: all that `posterior` asks for.

        The image of a hidden component may hold anything, and makes no difference.
        """

    @abstractmethod
    def maps(self, z: Tensor, embedding: Tensor) -> Tensor:  # (B, N), (B, 256) -> (B, C, H, W)
        """Raw decoder output, in the likelihood's terms."""

    @abstractmethod
    def own_stages(self) -> Sequence[Stage]:
        """How it is trained, before the density of its latents is fitted."""

    def posterior(self, code: Tensor) -> Density:  # (B, K) -> over (B, N)
        """q(z | what was encoded)."""
        return DiagonalGaussian(*code.chunk(2, dim=1))

    def prior(self) -> Gaussian:
        """p(z), one row."""
        return standard_normal(self.recon_weights.new_empty(1, self.latent_size))

    def infer(self, observed: Tensor, mask: Tensor) -> Distribution:  # (B, C, H, W), (B, C) -> over (B, N)
        """q(z | observed components), the model's own answer."""
        return self.posterior(self.encode(observed, mask))

    def conditional(
        self, observed: Tensor, mask: Tensor, condition: Tensor, present: Tensor, infer: Infer | None = None
    ) -> Distribution:
        """p(z | observed components, condition): the fitted density, or the model's own answer where there is none.

        Args:
            infer: stands for the model's own `infer`, in operations that can be traced.
        """
        answer = (infer or self.infer)(observed, mask)
        if self.flow is None:
            return answer
        return Conditioned(self.flow, Given(mask, answer.mean, answer.deviation, condition, present))

    # --- drawing ------------------------------------------------------------------------------------------------------

    def decode(self, z: Tensor, condition: Tensor, present: Tensor) -> Tensor:  # -> (B, C, H, W) in [0, 1]
        """Latents and conditions (present = 0 where there is none) to images."""
        return self.likelihood.image(self.maps(z, self.conditioning(condition, present)))

    def complete(
        self, z: Tensor, borders: Tensor, condition: Tensor, present: Tensor, observed: Tensor, mask: Tensor
    ) -> Tensor:
        """`decode` given some components, which come back as they are: (B, C, H, W) observed, (B, C) mask.

        Args:
            borders: (B, C) standard normal, or (B, 0) where borders do not move.
        """
        maps = self.maps(z, self.conditioning(condition, present))
        if self.borders is not None and self.flow is not None:
            maps = self.borders(maps, borders, self.flow.base.group(mask))
        return self.likelihood.complete(maps, observed, mask)

    def encode_whole(self, batch: Batch) -> Tensor:  # -> (B, K)
        """`encode` of designs that show all that they have."""
        return self.encode(batch.image, self.shown(batch))

    def shown(self, batch: Batch) -> Tensor:  # -> (B, C) bool
        """The components that designs have."""
        if batch.known is not None:
            return batch.known
        return show_all(len(batch), len(self.components), batch.image.device)

    def reconstruct(self, batch: Batch) -> Tensor:  # -> (B, C, H, W) in [0, 1]
        """Whole designs through their posterior means, at their conditions."""
        present = torch.ones(len(batch), 1, device=batch.image.device)
        return self.decode(self.posterior(self.encode_whole(batch)).mean, batch.condition, present)

    def sampler(self, query: Query) -> Sampler:
        if query.observed is None:

            def draw(noise: Noise) -> Tensor:
                z = self.from_prior(noise.normal(self.latent_size), query.condition, query.present)
                return self.decode(z, query.condition, query.present)

            return draw
        asked, given = (query.condition, query.present), (query.observed, query.mask)
        latents = self.conditional(*given, *asked)

        def completed(noise: Noise) -> Tensor:
            inner, borders = self.noise_parts(noise.normal(self.noise_size))
            return self.complete(latents.sample(inner), borders, *asked, *given)

        return completed

    def noise_parts(self, noise: Tensor) -> tuple[Tensor, ...]:  # (..., noise_size) -> (..., N), (..., C or 0)
        """A completion's noise: of the latent, and of the borders."""
        return noise.tensor_split((self.latent_size,), dim=-1)

    def from_prior(self, noise: Tensor, condition: Tensor, present: Tensor) -> Tensor:  # (B, N) -> (B, N)
        """Standard normal noise to latents of designs of which no part is given."""
        if self.flow is None:
            return self.prior().sample(noise)
        return self.flow(noise, nothing_given(len(self.components), self.latent_size, condition, present))

    def prior_log_prob(self, z: Tensor, condition: Tensor, present: Tensor) -> Tensor:  # (B, N) -> (B,)
        """Log density of what `from_prior` draws, in nats."""
        if self.flow is None:
            return self.prior().log_prob(z)
        return self.flow.log_prob(z, nothing_given(len(self.components), self.latent_size, condition, present))

    @torch.no_grad()
    def bound(self, batch: Batch, noise: Sequence[Noise]) -> Tensor:  # -> (B,)
        """IWAE bound on log p(design | condition), nats per design, from K samples of the posterior.

            log (1 / K) sum_k p(x | z_k, c) p(z_k | c) / q(z_k | x)

        Never above the log-likelihood, and nearer with every sample.
        Source: Burda, Grosse & Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016, eq. 8.
        """
        present = torch.ones(len(batch), 1, device=batch.image.device)
        embedding = self.conditioning(batch.condition, present)
        posterior = self.posterior(self.encode_whole(batch))
        weights = []
        for n in noise:
            z = posterior.sample(n.normal(self.latent_size))
            likelihood = self.likelihood.log_prob(self.maps(z, embedding), batch.image, batch.known).sum(1)
            weights.append(likelihood + self.prior_log_prob(z, batch.condition, present) - posterior.log_prob(z))
        return torch.stack(weights).logsumexp(0) - math.log(len(weights))

    @torch.no_grad()
    def conditions_given(self, observed: Tensor, mask: Tensor) -> tuple[Tensor, Tensor] | None:
        if self.condition_law is None:
            return None
        answer = self.infer(observed, mask)
        nothing = answer.mean.new_zeros(len(mask), 1)
        return self.condition_law.moments(Given(mask, answer.mean, answer.deviation, nothing[:, :0], nothing))

    def graphs(self) -> Sequence[Graph]:
        return latent_graphs(self)

    # --- training -----------------------------------------------------------------------------------------------------

    def upgraded(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if self.borders is None:
            return weights
        return {"borders.width": self.borders.width, **weights}  # older runs: borders did not move

    def stages(self) -> Sequence[Stage]:
        """The model's own stages and, where the config asks for it, the fit of the density of its latents."""
        if self.flow is None:
            return self.own_stages()
        return [*self.own_stages(), LatentFit(self).stage()]

    def masked_elbo(self, batch: Batch, step: Step) -> Losses:
        """The ELBO of a whole design, the encoder seeing a random subset of its components."""
        stage = step.settings
        assert isinstance(stage, MaskedStage)
        mask = draw_masks(len(batch), len(self.components), mask_probability(step.epoch, stage), stage.masking, step)
        if batch.known is not None:  # the encoder sees of the subset what there is, or else all that there is
            mask = mask & batch.known
            mask = torch.where(mask.any(1, keepdim=True), mask, batch.known)
        present = self.conditioning.draw_presence(len(batch), step)
        return self.elbo(batch, mask, present, self.beta_at(step), step)

    def elbo(self, batch: Batch, mask: Tensor, present: Tensor, beta: float, step: Step) -> Losses:
        """One-sample negative ELBO, nats per design."""
        posterior = self.infer(batch.image, mask)
        z = posterior.sample(step.randn(len(batch), self.latent_size))
        return self.negative_elbo(z, kl_divergence(posterior, self.prior(), z), batch, present, beta)

    def validate(self, batch: Batch, step: Step) -> Losses:
        """The ELBO on whole designs at full beta, and the IoU of the posterior mean's reconstruction."""
        present = torch.ones(len(batch), 1, device=batch.image.device)
        losses = self.elbo(batch, self.shown(batch), present, self.beta, step)
        iou = mean_iou(self.reconstruct(batch), batch.image, batch.known)
        return Losses(losses.total, {**losses.terms, "iou": iou})

    def negative_elbo(self, z: Tensor, kl: Tensor, batch: Batch, present: Tensor, beta: float) -> Losses:
        """-log p(x | z) + beta KL, in nats per design: summed over C, H, W and latents, mean over B.

        The target is all that the design has, whatever the encoder was shown.
        """
        maps = self.maps(z, self.conditioning(batch.condition, present)).to(z.dtype)
        nats = (self.likelihood.log_prob(maps, batch.image, batch.known) * self.recon_weights).mean(0)  # (C,)
        reconstruction, divergence = -nats.sum(), kl.mean()
        return Losses(reconstruction + beta * divergence, {"recon": reconstruction, "kl": divergence})

    def beta_at(self, step: Step) -> float:
        """The KL weight, ramped linearly over `beta_warmup_epochs`."""
        assert isinstance(step.settings, ElboStage)
        warm = step.settings.beta_warmup_epochs
        return self.beta * (min(1.0, (step.epoch + 1) / warm) if warm else 1.0)


def mean_iou(image: Tensor, target: Tensor, known: Tensor | None = None) -> Tensor:  # (B, C, H, W) twice -> scalar
    """Intersection over union of the parts at threshold 0.5, mean over designs and components (those that are `known`,
    (B, C)); two empty parts agree."""
    ours, theirs = image > 0.5, target > 0.5
    union = (ours | theirs).sum((-2, -1))
    both = (ours & theirs).sum((-2, -1))
    iou = torch.where(union > 0, both / union.clamp_min(1), 1.0)
    return iou.mean() if known is None else torch.where(known, iou, 0.0).sum() / known.sum()
