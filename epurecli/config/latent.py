"""What the config of a model with a latent says beside `schema.py`: likelihood, KL weight, latent prior, masking."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from epurecli.config.schema import ModelConfig, RunConfig, RunSettings, Section, StageConfig


class Likelihood(StrEnum):
    """p(image | latent); see `epurecli.nn.likelihoods`."""

    GAUSSIAN = "gaussian"
    GAUSSIAN_CALIBRATED = "gaussian_calibrated"
    BERNOULLI = "bernoulli"
    CATEGORICAL = "categorical"


class ReconstructionConfig(Section):
    """How images are scored. `reduction: sum` is nats per design, `mean` a mean over pixels (docs/plan.md)."""

    likelihood: Likelihood = Likelihood.GAUSSIAN
    reduction: Literal["sum", "mean"] = "sum"
    recon_weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None  # one per component; None = 1 each


class LatentPriorConfig(Section):
    """What latents are drawn from once training is done, given any parts or none."""

    kind: Literal["model", "flow"] = "model"  # the model's own prior and posterior, or a density fitted to its latents
    layers: Annotated[int, Field(ge=1, le=32)] = 8
    hidden: Annotated[int, Field(ge=8)] = 96
    epochs: Annotated[int, Field(ge=1)] = 100
    batch_size: Annotated[int, Field(ge=1)] = 512
    lr: Annotated[float, Field(gt=0)] = 1e-2
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    ema_decay: Annotated[float, Field(ge=0, lt=1)] | None = 0.99
    share: Annotated[float, Field(gt=0)] = 1 / 3  # of training.budget_s: a quarter where the model's own add up to one


class LatentModelConfig(ModelConfig):
    """Keys that every model with a latent has."""

    beta: Annotated[float, Field(ge=0)] = 1.0  # weight of the KL
    reconstruction: ReconstructionConfig = ReconstructionConfig()
    latent_prior: LatentPriorConfig = LatentPriorConfig()

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, values: Any) -> Any:
        """`latent_prior: flow` is short for `latent_prior: {kind: flow}`."""
        if isinstance(values, dict) and isinstance(values.get("latent_prior"), str):
            values = {**values, "latent_prior": {"kind": values["latent_prior"]}}
        return values


class Masking(StrEnum):
    """Which components a masked training design keeps."""

    SUBSET = "subset"  # a uniform non-empty proper subset
    SINGLE = "single"  # exactly one (docs/plan.md)


class ElboStage(StageConfig):
    """A stage that trains an ELBO."""

    beta_warmup_epochs: Annotated[int, Field(ge=0)] = 0  # of the KL weight, linearly


class MaskedStage(ElboStage):
    """A stage whose encoder sees some components of each design only."""

    masking: Masking = Masking.SUBSET
    max_mask_prob: Annotated[float, Field(ge=0, le=1)] = 0.0
    warmup_epochs: Annotated[int, Field(ge=0)] = 0  # of masking


class MaskedTraining(MaskedStage, RunSettings):
    """Training in one masked stage."""


class LatentRunConfig(RunConfig):
    """A whole run of a model with a latent."""

    model: LatentModelConfig

    @model_validator(mode="after")
    def _a_weight_for_each_component(self) -> LatentRunConfig:
        weights = self.model.reconstruction.recon_weights
        if weights is not None and len(weights) != len(self.data.component_dirs):
            raise ValueError(
                f"model.reconstruction.recon_weights has {len(weights)} values for "
                f"{len(self.data.component_dirs)} components ({', '.join(self.data.component_dirs)})"
            )
        return self
