"""What models share whose network is a `Denoiser`: it sees given parts in place, and draws the others.

Given components stand clean in the state, the mask is in the embedding, and losses count the others only: at the
optimum a completion is an exact draw given any parts, and nothing is to be done when sampling but to keep them.
Source: Saharia et al., "Palette", SIGGRAPH 2022.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from epurecli.config.iterative import DenoiserRunConfig
from epurecli.models.contract import NATS, Objective, Stage
from epurecli.models.iterative import IterativeModel
from epurecli.nn.denoiser import Denoiser
from epurecli.nn.masking import draw_questions
from epurecli.nn.step import Step
from epurecli.types import Batch, Losses


class DenoisingModel(IterativeModel):
    """A model writes `channels`, `process` and `losses`."""

    config: DenoiserRunConfig

    def __init__(self, config: DenoiserRunConfig) -> None:
        super().__init__(config)
        spec = config.model
        self.denoiser = Denoiser(
            *self.channels,
            len(self.components),
            self.cond_dim,
            self.image_size,
            spec.widths,
            spec.blocks,
            spec.patch_size,
            spec.heads,
            spec.whole,
        )

    @property
    @abstractmethod
    def channels(self) -> tuple[int, int]:
        """Channels of what the network sees, and of what it predicts."""

    @abstractmethod
    def losses(self, batch: Batch, mask: Tensor, present: Tensor, step: Step) -> Tensor:
        """The loss of each design (B,), of its components that the mask (B, C) does not give."""

    @property
    def unit(self) -> str:
        """Of its losses."""
        return NATS

    @property
    def learns_from_parts(self) -> bool:
        return True

    def network(self, state: Tensor, time: Tensor, condition: Tensor, present: Tensor, mask: Tensor) -> Tensor:
        return self.denoiser(state, time, condition, present, mask)

    def stages(self) -> Sequence[Stage]:
        objective = Objective("denoise", (self.denoiser,), self.loss)
        return [Stage("denoiser", self.config.training, (objective,), self.validate, unit=self.unit)]

    def loss(self, batch: Batch, step: Step) -> Losses:
        return Losses(self.losses(batch, *self.asked(batch, step), step).mean())

    def validate(self, batch: Batch, step: Step) -> Losses:
        """The same questions as in training."""
        return self.loss(batch, step)

    def asked(self, batch: Batch, step: Step) -> tuple[Tensor, Tensor]:  # -> (B, C) bool, (B, 1)
        """Which parts of each design are given, and whether its condition is."""
        return draw_questions(batch, len(self.components), self.config.training, self.config.model.cond_dropout, step)
