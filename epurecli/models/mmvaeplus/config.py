"""The config of MM-VAE+."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from epurecli.config.latent import ElboStage, LatentModelConfig, LatentRunConfig
from epurecli.config.schema import Claim, RunSettings, Widths


class MMVAEPlusModelConfig(LatentModelConfig):
    type: Literal["mmvaeplus"]
    shared_dim: Annotated[int, Field(ge=1)] = 12  # of z, which every component speaks of
    private_dim: Annotated[int, Field(ge=1)] = 4  # of each component's own w
    patch_size: Literal[1, 2, 4] = 4
    widths: Widths = (32, 64)  # of each component's encoder and decoder, finest grid first
    family: Literal["normal", "laplace"] = "normal"  # of posteriors and priors


class MMVAEPlusTraining(ElboStage, RunSettings):
    """Training in one stage."""


class MMVAEPlusConfig(LatentRunConfig):
    """A whole MM-VAE+ run."""

    CLAIM = Claim(total=(6.93, 7.07), text="7.0 M = 5 x 1.4", public=21_509_741)

    model: MMVAEPlusModelConfig
    training: MMVAEPlusTraining
