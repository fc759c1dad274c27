"""Denoising diffusion. Source: Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020, in continuous time
as in Kingma et al., "Variational Diffusion Models", NeurIPS 2021."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from epurecli.models.ddpm.config import DDPMConfig
from epurecli.models.gaussian_diffusion import GaussianDiffusion, Solver
from epurecli.nn.paths import Cosine, Path, Sigmoid
from epurecli.nn.solvers import ancestral, euler, multistep


class DDPM(GaussianDiffusion):
    """a^2 + s^2 = 1; the network says x (through a likelihood) or v = a n - s x."""

    SOLVERS: ClassVar[Mapping[str, Solver]] = {"ddim": euler, "multistep": multistep, "ancestral": ancestral}

    config: DDPMConfig

    @property
    def path(self) -> Path:
        return Cosine() if self.config.model.schedule == "cosine" else Sigmoid()
