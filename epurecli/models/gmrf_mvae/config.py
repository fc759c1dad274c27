"""What a GMRF MVAE config may say."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from epurecli.config.latent import LatentModelConfig, LatentRunConfig, MaskedTraining
from epurecli.config.schema import Claim


class PosteriorKind(StrEnum):
    """How q(z | observed components) is put together."""

    CONJUGATE = "conjugate"  # prior times Gaussian evidence of each observed component: any subset, one formula
    ASSEMBLED = "assembled"  # docs/plan.md: means, variances and a coupling network


class EvidenceKind(StrEnum):
    """Which latents an observed component is evidence on, in the conjugate posterior."""

    OWN = "own"  # its own: the others follow through the prior, linearly, with the prior's conditional spread
    ALL = "all"  # every component's: completions are closer to the truth; alone, draws hardly differ


class GMRFModelConfig(LatentModelConfig):
    """The keys of docs/plan.md (GMRF MVAE), the posterior and the patch size."""

    type: Literal["gmrf_mvae"]
    channels: Literal[1] = 1  # per component
    latent_dim: Annotated[int, Field(ge=1)] = 16  # per component
    nf: Annotated[int, Field(ge=1)] = 64
    nf_max_e: Annotated[int, Field(ge=1)] = 1024
    nf_max_d: Annotated[int, Field(ge=1)] = 512
    hidden_dim: Annotated[int, Field(ge=1)] = 256  # of the coupling network
    n_layers: Annotated[int, Field(ge=0)] = 2
    diagonal_transf: Literal["softplus", "exp"] = "softplus"
    off_diag_scale: Annotated[float, Field(ge=0)] = 0.1  # initial spread of the prior factor's off-diagonal
    posterior: PosteriorKind = PosteriorKind.CONJUGATE
    evidence: EvidenceKind = EvidenceKind.OWN
    dropout_p: Annotated[float, Field(ge=0, lt=1)] = 0.0
    patch_size: Literal[1, 2, 4] = 1


class GMRFConfig(LatentRunConfig):
    """A whole GMRF MVAE run."""

    CLAIM = Claim(total=(4.5, 5.5), text="4.5-5.5 M")

    model: GMRFModelConfig
    training: MaskedTraining
