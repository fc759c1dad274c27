"""The config of DDPM."""

from __future__ import annotations

from typing import Literal

from epurecli.config.iterative import DiffusionModelConfig, DiffusionRunConfig, DiffusionSampling
from epurecli.config.schema import Claim


class DDPMModelConfig(DiffusionModelConfig):
    type: Literal["ddpm"]
    prediction: Literal["endpoint", "v"] = "v"
    schedule: Literal["cosine", "sigmoid"] = "cosine"


class DDPMSampling(DiffusionSampling):
    solver: Literal["ddim", "multistep", "ancestral"] = "multistep"


class DDPMConfig(DiffusionRunConfig):
    """A whole DDPM run."""

    CLAIM = Claim(text="open", public=7_174_377)

    model: DDPMModelConfig
    sampling: DDPMSampling = DDPMSampling()
