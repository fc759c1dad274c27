"""The config of the VQ-VAE."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from epurecli.config.iterative import (
    DenoiserNetwork,
    DenoiserStage,
    IterativeRunConfig,
    IterativeSampling,
    LikelihoodName,
)
from epurecli.config.schema import Claim, ModelConfig, RunSettings, Section, StageConfig, Widths, with_shares

SHARES = {"autoencoder": 0.35, "prior": 0.65}  # of the time


class QuantizerConfig(Section):
    """fsq: each of a few numbers has some `levels`; ema: the nearest of `codes` vectors of `width` numbers."""

    kind: Literal["fsq", "ema"] = "fsq"
    levels: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = (8, 8, 8)
    codes: Annotated[int, Field(ge=2)] = 512
    width: Annotated[int, Field(ge=1)] = 40
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.99
    commitment: Annotated[float, Field(ge=0)] = 0.25


class TokenPriorConfig(DenoiserNetwork):
    """The network that draws tokens, on their grid."""

    widths: Widths = (64,)
    blocks: Annotated[int, Field(ge=1)] = 2


class VQVAEModelConfig(ModelConfig):
    type: Literal["vqvae"]
    patch_size: Literal[1, 2, 4] = 4
    widths: Widths = (32, 64)  # of encoder and decoder, finest grid first; the last one's grid is that of the tokens
    likelihood: LikelihoodName = "categorical"
    quantizer: QuantizerConfig = QuantizerConfig()
    prior: TokenPriorConfig = TokenPriorConfig()


class VQVAETraining(RunSettings):
    """Two stages: the autoencoder, then the prior over its tokens."""

    autoencoder: StageConfig = StageConfig(share=SHARES["autoencoder"])
    prior: DenoiserStage = DenoiserStage(share=SHARES["prior"])

    @model_validator(mode="before")
    @classmethod
    def _shares(cls, values: Any) -> Any:
        return with_shares(values, SHARES)


class VQVAESampling(IterativeSampling):
    steps: Annotated[int, Field(ge=1, le=10_000)] = 8


class VQVAEConfig(IterativeRunConfig):
    """A whole VQ-VAE run."""

    CLAIM = Claim(
        total=(3.4, 3.6),
        trainable=(2.2, 2.4),
        frozen=(1.1, 1.3),
        text="3.5 M = 1.2 + 2.3",
        public=12_300_525,
    )

    model: VQVAEModelConfig
    training: VQVAETraining
    sampling: VQVAESampling = VQVAESampling()
