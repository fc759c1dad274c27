"""A generator against a critic: two objectives with optimizers of their own, of which one repeats and is not averaged;
no latent posterior, no completion, and a score of the whole validation set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.config.schema import ModelConfig, OptimizerConfig, RunConfig, TrainingConfig
from epurecli.models.contract import GenerativeModel, Objective, Sampler, Stage
from epurecli.nn.step import Step
from epurecli.types import Batch, Losses, Mode, Noise, Query

LATENT, HIDDEN = 6, 24


class TinyGANModel(ModelConfig):
    type: Literal["tiny_gan"]


class TinyGANConfig(RunConfig):
    model: TinyGANModel
    training: TrainingConfig


class TinyGAN(GenerativeModel):
    modes = frozenset({Mode.UNCONDITIONAL, Mode.CONDITIONAL})

    def __init__(self, config: TinyGANConfig) -> None:
        super().__init__(config)
        size = (len(self.components), *self.image_size)
        pixels = size[0] * size[1] * size[2]
        self.generator = nn.Sequential(
            nn.Linear(LATENT + self.cond_dim + 1, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, pixels),
            nn.Unflatten(1, size),
        )
        self.critic = nn.Sequential(nn.Flatten(), nn.Linear(pixels, HIDDEN), nn.ReLU())
        self.verdict = nn.Linear(HIDDEN + self.cond_dim + 1, 1)
        self.verdict_of_noise = nn.Linear(HIDDEN + self.cond_dim + 1, 1)
        self.verdict_of_noise.weight = self.verdict.weight  # tied

    def draw(self, z: Tensor, condition: Tensor, present: Tensor) -> Tensor:
        return self.generator(torch.cat([z, condition * present, present], 1)).sigmoid()

    def judge(self, image: Tensor, condition: Tensor) -> Tensor:
        given = torch.ones(len(image), 1)
        return self.verdict(torch.cat([self.critic(image), condition, given], 1)) + self.verdict_of_noise.bias

    def sampler(self, query: Query) -> Sampler:
        def draw(noise: Noise) -> Tensor:
            return self.draw(noise.normal(LATENT), query.condition, query.present)

        return draw

    def training_only(self) -> tuple[nn.Module, ...]:
        return (self.critic, self.verdict, self.verdict_of_noise)

    def stages(self) -> Sequence[Stage]:
        critic = Objective(
            "critic",
            (self.critic, self.verdict, self.verdict_of_noise),
            self.critic_loss,
            repeat=3,
            optimizer=OptimizerConfig(optimizer="adam", lr=2e-3, betas=(0.0, 0.9)),
            averaged=False,
        )
        generator = Objective("generator", (self.generator,), self.generator_loss)
        settings = self.config.training
        return [Stage("adversarial", settings, (critic, generator), score=self.score, unit="critic's units")]

    def faked(self, batch: Batch, step: Step) -> Tensor:
        z = step.randn(len(batch), LATENT)
        present = (step.rand(len(batch), 1) >= self.config.model.cond_dropout).float()
        return self.draw(z, batch.condition, present)

    def critic_loss(self, batch: Batch, step: Step) -> Losses:
        real = self.judge(batch.image, batch.condition)
        fake = self.judge(self.faked(batch, step).detach(), batch.condition)
        total = F.softplus(-real).mean() + F.softplus(fake).mean()
        return Losses(total, {"margin": (real - fake).mean()})

    def generator_loss(self, batch: Batch, step: Step) -> Losses:
        return Losses(-self.judge(self.faked(batch, step), batch.condition).mean())

    def score(self, designs: Iterable[Batch], step: Step) -> Losses:
        """Distance between the mean design and the mean draw."""
        real = torch.cat([batch.image for batch in designs])
        z, none = step.randn(64, LATENT), torch.zeros(64, 1)
        drawn = self.draw(z, torch.zeros(64, self.cond_dim), none)
        return Losses((real.mean(0) - drawn.mean(0)).square().mean())
