"""What the config of a model that draws in steps says beside `schema.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from epurecli.config.schema import (
    ModelConfig,
    RunConfig,
    RunSettings,
    SamplingConfig,
    Section,
    StageConfig,
    Widths,
)

# of `config.latent.Likelihood`, those without running moments
LikelihoodName = Literal["categorical", "bernoulli", "gaussian"]


class IterativeSampling(SamplingConfig):
    """How a draw is computed; may be chosen anew at every sampling: `epure sample M --set sampling.steps=50`."""

    steps: Annotated[int, Field(ge=1, le=10_000)] = 20  # evaluations of the network
    guidance: Annotated[float, Field(ge=0)] = 1.0  # 1 = none; more follows the condition harder, at the cost of variety


class IterativeRunConfig(RunConfig):
    """A whole run of a model that draws in steps."""

    sampling: IterativeSampling = IterativeSampling()


class DenoiserNetwork(Section):
    """A network as `epurecli.nn.denoiser` has it, and the times that it learns."""

    widths: Widths = (32, 64)
    blocks: Annotated[int, Field(ge=1)] = 1  # at each resolution, each way
    heads: Annotated[int, Field(ge=0)] = 4  # of attention at the coarsest grid; 0 = none
    whole: Annotated[int, Field(ge=0)] = 0  # width of the dense layer over the coarsest grid; 0 = none
    # of the times that it learns, towards noise: where a design's shape as a whole is decided; 1 = none
    time_shift: Annotated[float, Field(gt=0)] = 1.0

    @model_validator(mode="after")
    def _heads_share_the_channels(self) -> DenoiserNetwork:
        if self.heads and self.widths[-1] % self.heads:
            raise ValueError(f"heads {self.heads} must divide the last of widths, {self.widths[-1]}")
        return self


class DenoiserModelConfig(DenoiserNetwork, ModelConfig):
    """A model that is one such network."""

    patch_size: Literal[1, 2, 4, 8] = 4


class DenoiserStage(StageConfig):
    """Training on designs of which some parts are given."""

    max_mask_prob: Annotated[float, Field(ge=0, le=1)] = 0.5  # share of the designs of which some parts are given
    given_cond_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3  # model.cond_dropout of those designs


class DenoiserTraining(DenoiserStage, RunSettings):
    """The same, in one stage."""


class DenoiserRunConfig(IterativeRunConfig):
    """A whole run of a denoising model."""

    model: DenoiserModelConfig
    training: DenoiserTraining


class DiffusionModelConfig(DenoiserModelConfig):
    """Keys of models whose noise is Gaussian. A model adds `prediction`: endpoint, or what it calls the direction."""

    prediction: str
    likelihood: LikelihoodName = "categorical"  # of endpoints


class DiffusionSampling(IterativeSampling):
    """A model adds `solver`."""

    solver: str


class DiffusionRunConfig(DenoiserRunConfig):
    """A whole run of a model whose noise is Gaussian."""

    model: DiffusionModelConfig
    sampling: DiffusionSampling
