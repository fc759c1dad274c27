"""The few types that every floor of the house shares.

Legend of the shape letters used in comments throughout:
    B batch, C components, H image rows, W image columns, D conditions,
    L latent size of one component (or of the whole design where a model has one latent),
    N = C * L joint latent size, S draws per design, `*` any batch shape.

Sizes are always (height, width). Masks are bool, True = observed. Images are float32 in [0, 1].
This module imports no torch, so that the command line may use it and still start at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MAX_SEED = 2**63 - 1  # what every generator in use (torch, numpy's Philox) takes


class Mode(StrEnum):
    """What one can ask of a sampler."""

    UNCONDITIONAL = "unconditional"
    CONDITIONAL = "conditional"
    INPAINTING = "inpainting"
    CROSS_MODAL = "cross-modal"

    @property
    def observes(self) -> bool:
        """Whether the mode needs observed components."""
        return self in (Mode.INPAINTING, Mode.CROSS_MODAL)


@dataclass(frozen=True, slots=True)
class Batch:
    """One training batch."""

    image: Tensor  # (B, C, H, W) float32 in [0, 1]; or (B, K), what a stage of training has made of it
    condition: Tensor  # (B, D) float32, standardised

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True, slots=True)
class Query:
    """What a sampler is asked. The four modes are four shapes of this one question."""

    count: int
    condition: Tensor | None = None  # (B, D) standardised; None = unconditional
    observed: Tensor | None = None  # (B, C, H, W) in [0, 1]; what the mask hides is ignored
    mask: Tensor | None = None  # (B, C) bool, True = observed


@dataclass(frozen=True, slots=True)
class Clock:
    """Where training stands: schedules (beta, masking) read it, nothing writes it."""

    epoch: int  # 0-based, within the stage
    epochs: int  # of the stage
    step: int  # optimizer steps done in the stage


@dataclass(frozen=True, slots=True)
class Losses:
    """A loss in nats per design (mean over the batch) and its named parts, all scalars."""

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
