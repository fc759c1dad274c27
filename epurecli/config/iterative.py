"""What the config of a model that draws in steps says beside `schema.py`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from epurecli.config.schema import RunConfig, SamplingConfig


class IterativeSampling(SamplingConfig):
    """How a draw is computed; may be chosen anew at every sampling: `epure sample M --set sampling.steps=50`."""

    steps: Annotated[int, Field(ge=1, le=10_000)] = 20  # evaluations of the network
    guidance: Annotated[float, Field(ge=0)] = 1.0  # 1 = none; more follows the condition harder, at the cost of variety


class IterativeRunConfig(RunConfig):
    """A whole run of a model that draws in steps."""

    sampling: IterativeSampling = IterativeSampling()
