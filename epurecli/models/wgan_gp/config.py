"""The config of WGAN-GP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from epurecli.config.iterative import DenoiserTraining, LikelihoodName
from epurecli.config.schema import Claim, ModelConfig, OptimizerConfig, RunConfig, Widths


class WGANModelConfig(ModelConfig):
    type: Literal["wgan_gp"]
    latent_dim: Annotated[int, Field(ge=1)] = 24
    patch_size: Literal[1, 2, 4] = 4
    widths: Widths = (64, 128)  # of the generator and of what it sees of given parts, finest grid first
    critic_widths: Widths = (32, 64)
    likelihood: LikelihoodName = "categorical"  # how maps become images
    # r3gan: relativistic, the critic's slope at real and at drawn designs kept small; wgan_gp: its slope kept at one
    loss: Literal["r3gan", "wgan_gp"] = "r3gan"
    penalty: Annotated[float, Field(ge=0)] = 1.0  # of slopes: gamma of r3gan, lambda of wgan_gp
    energy: Annotated[float, Field(ge=0)] = 0.0  # weight of the energy score of two draws beside the design, in pixels
    critic_steps: Annotated[int, Field(ge=1)] = 1  # for one of the generator


class WGANTraining(DenoiserTraining):
    """The generator's settings, and the critic's optimizer."""

    critic: OptimizerConfig = OptimizerConfig(optimizer="adam", lr=1e-3, betas=(0.0, 0.9))


class WGANConfig(RunConfig):
    """A whole WGAN-GP run."""

    CLAIM = Claim(text="open", public=12_874_010)

    model: WGANModelConfig
    training: WGANTraining
