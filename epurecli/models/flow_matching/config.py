"""The config of flow matching."""

from __future__ import annotations

from typing import Literal

from epurecli.config.iterative import DiffusionModelConfig, DiffusionRunConfig, DiffusionSampling
from epurecli.config.schema import Claim


class FlowMatchingModelConfig(DiffusionModelConfig):
    type: Literal["flow_matching"]
    prediction: Literal["endpoint", "velocity"] = "endpoint"


class FlowMatchingSampling(DiffusionSampling):
    solver: Literal["euler", "heun", "multistep"] = "euler"


class FlowMatchingConfig(DiffusionRunConfig):
    """A whole flow-matching run."""

    CLAIM = Claim(text="open", public=9_977_477)

    model: FlowMatchingModelConfig
    sampling: FlowMatchingSampling = FlowMatchingSampling()
