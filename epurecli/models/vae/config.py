"""What a beta-VAE config may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from epurecli.config.latent import LatentModelConfig, LatentRunConfig, MaskedTraining
from epurecli.config.schema import Claim


class VAEModelConfig(LatentModelConfig):
    """The keys of docs/plan.md (beta-VAE) and the patch size."""

    type: Literal["vae"]
    channels: Annotated[int, Field(ge=1)] | None = None  # derived from data.component_dirs; stated = checked
    latent_dim: Annotated[int, Field(ge=1)] = 32
    nf: Annotated[int, Field(ge=1)] = 32
    nf_max: Annotated[int, Field(ge=1)] = 256
    beta: Annotated[float, Field(ge=0)] = 4.0
    dropout_p: Annotated[float, Field(ge=0, lt=1)] = 0.1
    patch_size: Literal[1, 2, 4] = 1


class VAEConfig(LatentRunConfig):
    """A whole beta-VAE run."""

    CLAIM = Claim(total=(9.67, 9.87), text="9.77 M ± 1 %")

    model: VAEModelConfig
    training: MaskedTraining

    @model_validator(mode="after")
    def _channels_agree(self) -> VAEConfig:
        stated, derived = self.model.channels, len(self.data.component_dirs)
        if stated is not None and stated != derived:
            raise ValueError(
                f"model.channels is {stated}, but data.component_dirs names {derived} "
                f"({', '.join(self.data.component_dirs)}); leave channels out to have it derived"
            )
        return self
