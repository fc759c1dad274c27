"""Flow matching on a straight path. Source: Lipman et al., "Flow Matching for Generative Modeling", ICLR 2023; Liu et
al., "Flow Straight and Fast", ICLR 2023."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from epurecli.models.flow_matching.config import FlowMatchingConfig
from epurecli.models.gaussian_diffusion import GaussianDiffusion, Solver
from epurecli.nn.paths import Linear, Path
from epurecli.nn.solvers import euler, heun, multistep


class FlowMatching(GaussianDiffusion):
    """x_t = (1 - t) x + t n; the network says x (through a likelihood) or the velocity n - x."""

    SOLVERS: ClassVar[Mapping[str, Solver]] = {"euler": euler, "heun": heun, "multistep": multistep}

    config: FlowMatchingConfig

    @property
    def path(self) -> Path:
        return Linear()
