"""WGAN-GP. Source: Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017 (`loss: wgan_gp`); Huang et
al., "The GAN is dead; long live the GAN!", NeurIPS 2024 (`loss: r3gan`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.config.latent import Likelihood
from epurecli.models.contract import GenerativeModel, Objective, Sampler, Stage
from epurecli.models.wgan_gp.config import WGANConfig
from epurecli.nn.conditioning import EMBEDDING, ConditionEmbedding
from epurecli.nn.likelihoods import likelihood_of
from epurecli.nn.masking import draw_questions, show_none
from epurecli.nn.resnet import Decoder, Encoder
from epurecli.nn.step import Step
from epurecli.types import Batch, Losses, Query

POOLED = 4  # pixels a side of the cells on which sets of designs are compared


class Generator(nn.Module):
    """Noise, condition and given parts -> maps. What is seen of the given parts is added where it stands."""

    def __init__(self, config: WGANConfig) -> None:
        super().__init__()
        model, parts = config.model, len(config.data.component_dirs)
        self.conditioning = ConditionEmbedding(len(config.data.condition_columns), model.cond_dropout)
        self.look = Encoder(parts, model.image_size, model.widths, patch_size=model.patch_size)
        self.decoder = Decoder(parts, model.image_size, model.widths[::-1], model.patch_size)
        self.expand = nn.Linear(model.latent_dim + EMBEDDING + parts, self.decoder.features)

    def forward(self, z: Tensor, condition: Tensor, present: Tensor, shown: Tensor, mask: Tensor) -> Tensor:
        told = torch.cat([z, self.conditioning(condition, present), mask.to(z.dtype)], 1)
        return self.decoder(self.expand(told) + self.look(shown)).to(z.dtype)


class Critic(nn.Module):
    """How real a design looks at a condition: a number without a unit.

    Source: Miyato & Koyama, "cGANs with Projection Discriminator", ICLR 2018 (how the condition enters).
    """

    def __init__(self, config: WGANConfig) -> None:
        super().__init__()
        model, parts = config.model, len(config.data.component_dirs)
        self.conditioning = ConditionEmbedding(len(config.data.condition_columns), model.cond_dropout)
        self.trunk = Encoder(parts, model.image_size, model.critic_widths, patch_size=model.patch_size)
        self.read = nn.Linear(self.trunk.features, EMBEDDING)
        self.verdict = nn.Linear(EMBEDDING, 1)

    def forward(self, image: Tensor, condition: Tensor, present: Tensor) -> Tensor:  # -> (B,)
        seen = F.leaky_relu(self.read(self.trunk(image)), 0.2)
        fits = (seen * self.conditioning(condition, present)).mean(1)
        return (self.verdict(seen).squeeze(1) + fits).to(image.dtype)


class WGAN(GenerativeModel):
    """x = G(z, given parts, condition), completed by what is given; the critic judges completed designs."""

    config: WGANConfig

    def __init__(self, config: WGANConfig) -> None:
        super().__init__(config)
        self.likelihood = likelihood_of(Likelihood(config.model.likelihood), len(self.components))
        self.generator, self.critic = Generator(config), Critic(config)

    def draw(self, z: Tensor, query: Query) -> Tensor:  # (B, Z) -> (B, C, H, W) in [0, 1]
        rows, parts = query.present.shape[0], len(self.components)
        mask = show_none(rows, parts, z.device) if query.mask is None else query.mask
        observed = z.new_zeros(rows, parts, *self.image_size) if query.observed is None else query.observed
        shown = torch.where(mask[..., None, None], observed, 0.0)
        return self.likelihood.answer(self.generator(z, query.condition, query.present, shown, mask), query)

    def sampler(self, query: Query) -> Sampler:
        size = self.config.model.latent_dim
        return lambda noise: self.draw(noise.normal(size), query)

    def training_only(self) -> tuple[nn.Module, ...]:
        return (self.critic,)

    # --- training -----------------------------------------------------------------------------------------------------

    def stages(self) -> Sequence[Stage]:
        settings, model = self.config.training, self.config.model
        critic = Objective(
            "critic", (self.critic,), self.critic_loss, model.critic_steps, settings.critic, averaged=False
        )
        generator = Objective("generator", (self.generator,), self.generator_loss)
        return [Stage("adversarial", settings, (critic, generator), score=self.score, unit="critic's verdict")]

    def asked(self, batch: Batch, step: Step) -> Query:
        """What the generator is asked in training: some parts of each design given, its condition given or not."""
        settings = self.config.training
        mask, present = draw_questions(batch, len(self.components), settings, self.config.model.cond_dropout, step)
        return Query(batch.condition, present, batch.image, mask)

    def verdicts(self, batch: Batch, drawn: Tensor, query: Query) -> tuple[Tensor, Tensor]:  # -> (B,) twice
        """Of real designs and of drawn ones, at the same conditions."""
        return tuple(self.critic(x, query.condition, query.present) for x in (batch.image, drawn))

    def critic_loss(self, batch: Batch, step: Step) -> Losses:
        query = self.asked(batch, step)
        drawn = self.draw(step.randn(len(batch), self.config.model.latent_dim), query).detach()
        # slopes are differentiated again: bfloat16 would lose them
        with torch.autocast(batch.image.device.type, enabled=False):
            if self.config.model.loss == "r3gan":
                return self._relativistic(batch, drawn, query)
            return self._wasserstein(batch, drawn, query, step.rand(len(batch), 1, 1, 1))

    def _relativistic(self, batch: Batch, drawn: Tensor, query: Query) -> Losses:
        """softplus(D(drawn) - D(real)), and half of gamma times the squared slopes at both (Huang et al., eqs. 2-4)."""
        images = torch.cat([batch.image, drawn]).requires_grad_()
        both = self.critic(images, query.condition.repeat(2, 1), query.present.repeat(2, 1))
        real, fake = both.chunk(2)
        slopes = slopes_of(both, images).square()
        lead = real - fake
        penalty = self.config.model.penalty * slopes.mean()  # a mean over both is half of their sum
        return Losses(F.softplus(-lead).mean() + penalty, {"lead": lead.mean(), "slope": slopes.mean().sqrt()})

    def _wasserstein(self, batch: Batch, drawn: Tensor, query: Query, place: Tensor) -> Losses:
        """D(drawn) - D(real), and how far the slope between the two is from one (Gulrajani et al., eq. 3)."""
        between = (place * batch.image + (1 - place) * drawn).requires_grad_()
        slopes = slopes_of(self.critic(between, query.condition, query.present), between)
        real, fake = self.verdicts(batch, drawn, query)
        lead = real - fake
        total = -lead.mean() + self.config.model.penalty * (slopes - 1).square().mean()
        return Losses(total, {"lead": lead.mean(), "slope": slopes.mean()})

    def generator_loss(self, batch: Batch, step: Step) -> Losses:
        model, query = self.config.model, self.asked(batch, step)
        drawn = self.draw(step.randn(len(batch), model.latent_dim), query)
        real, fake = self.verdicts(batch, drawn, query)
        loss = F.softplus(real - fake).mean() if model.loss == "r3gan" else -fake.mean()
        if not model.energy:
            return Losses(loss)
        other = self.draw(step.randn(len(batch), model.latent_dim), query)
        energy = energy_score(drawn, other, batch.image).mean()
        return Losses(loss + model.energy * energy, {"adversarial": loss, "energy": energy})

    def score(self, designs: Iterable[Batch], step: Step) -> Losses:
        """Energy distance between the validation designs and a draw at the condition of each: the critic's own figures
        do not compare between epochs. Source: Szekely & Rizzo, J. Stat. Plan. Inference 143, 2013, eq. 5."""
        real, drawn = [], []
        for batch in designs:
            present = torch.ones(len(batch), 1, device=batch.image.device)
            z = step.randn(len(batch), self.config.model.latent_dim)
            real.append(batch.image)
            drawn.append(self.draw(z, Query(batch.condition, present)))
        return Losses(energy_distance(torch.cat(real), torch.cat(drawn)))


def slopes_of(verdicts: Tensor, images: Tensor) -> Tensor:  # (B,), (B, C, H, W) -> (B,)
    """Norms of the gradients of verdicts by the images that they are about."""
    (gradient,) = torch.autograd.grad(verdicts.sum(), images, create_graph=True)
    return gradient.flatten(1).square().sum(1).clamp_min(1e-12).sqrt()


def energy_score(one: Tensor, other: Tensor, truth: Tensor) -> Tensor:  # (B, C, H, W) three times -> (B,)
    """(|x - t| + |x' - t| - |x - x'|) / 2: least in expectation where two draws x, x' have the law of the truth t.

    A critic of single designs is content with one good answer to each question; this is not.
    Source: Gneiting & Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", JASA 102, 2007, eq. 22.
    """
    pairs = (one, truth), (other, truth), (one, other)
    gaps = [(a - b).flatten(1).square().sum(1).clamp_min(1e-6).sqrt() for a, b in pairs]  # a root has no slope at zero
    return (gaps[0] + gaps[1] - gaps[2]) / 2


def energy_distance(one: Tensor, other: Tensor) -> Tensor:  # (N, C, H, W), (M, C, H, W) -> scalar
    """2 E|x - y| - E|x - x'| - E|y - y'| on images of coarser pixels, x' another than x: 0 in expectation for sets of
    one law."""
    x, y = (F.avg_pool2d(images, POOLED).flatten(1) for images in (one, other))
    n, m = len(x), len(y)
    within = torch.cdist(x, x).sum() / max(n * (n - 1), 1) + torch.cdist(y, y).sum() / max(m * (m - 1), 1)
    return 2 * torch.cdist(x, y).mean() - within
