"""The config of MDM."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from epurecli.config.iterative import DenoiserModelConfig, DenoiserRunConfig, DenoiserTraining, IterativeSampling
from epurecli.config.schema import Claim


class MDMModelConfig(DenoiserModelConfig):
    type: Literal["mdm"]
    transitions: Literal["absorbing", "uniform"] = "absorbing"  # cells become hidden, or take a random label
    timesteps: Annotated[int, Field(ge=2)] = 1000  # of uniform transitions' bound


class MDMTraining(DenoiserTraining):
    # even: every cell that is to be found counts alike; bound: as the likelihood's bound weighs them
    weighting: Literal["even", "bound"] = "even"


class MDMSampling(IterativeSampling):
    steps: Annotated[int, Field(ge=1, le=10_000)] = 64


class MDMConfig(DenoiserRunConfig):
    """A whole MDM run."""

    CLAIM = Claim(text="open", public=9_663_708)

    model: MDMModelConfig
    training: MDMTraining
    sampling: MDMSampling = MDMSampling()
