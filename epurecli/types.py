"""The few types that all layers share.

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
from typing import TYPE_CHECKING, Protocol

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
    known: Tensor | None = None  # (B, C) bool, the components that a design has (others are zero); None: all of them

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True, slots=True)
class Query:
    """What a sampler is asked, for B designs. The four modes are four shapes of this one question."""

    condition: Tensor  # (B, D) standardised; zeros where a design has none
    present: Tensor  # (B, 1) 1 where the design's condition holds, 0 where it has none
    observed: Tensor | None = None  # (B, C, H, W) in [0, 1]; what the mask hides is ignored
    mask: Tensor | None = None  # (B, C) bool, True = observed; given where `observed` is

    def __len__(self) -> int:
        return len(self.present)


class Noise(Protocol):
    """The random numbers of one draw of B designs, drawn when they are asked for, in the order of asking."""

    def normal(self, *shape: int) -> Tensor:  # -> (B, *shape)
        """Standard normal numbers, float32."""
        ...

    def uniform(self, *shape: int) -> Tensor:  # -> (B, *shape)
        """Numbers uniform in [0, 1), float32."""
        ...


@dataclass(frozen=True, slots=True)
class Losses:
    """A loss (a mean over the batch, in the unit that its stage names) and its named parts, all scalars."""

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
