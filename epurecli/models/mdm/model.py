"""MDM. Source: Hoogeboom et al., "Argmax Flows and Multinomial Diffusion", NeurIPS 2021 (`transitions: uniform`); Sahoo
et al., "Simple and Effective Masked Diffusion Language Models", NeurIPS 2024 (`absorbing`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from epurecli.models.denoising import DenoisingModel
from epurecli.models.mdm.config import MDMConfig
from epurecli.models.mdm.process import Absorbing, Uniform, base_of
from epurecli.nn import absorbing, multinomial
from epurecli.nn.labels import halton_order, labels_of, pick, planes, shares_of
from epurecli.nn.likelihoods import Categorical
from epurecli.nn.masking import show_none
from epurecli.nn.paths import shifted
from epurecli.nn.step import Step
from epurecli.types import Batch, Losses, Noise

Weighting = Literal["even", "bound"]


class MDM(DenoisingModel):
    """p(labels | some of them, condition), pixels of parts that are given being shown."""

    config: MDMConfig
    bound_name = "diffusion ELBO"

    turn: Tensor

    def __init__(self, config: MDMConfig) -> None:
        super().__init__(config)
        self.likelihood = Categorical(len(self.components))
        self.register_buffer("turn", torch.tensor(halton_order(*self.image_size)), persistent=False)

    @property
    def absorbs(self) -> bool:
        return self.config.model.transitions == "absorbing"

    @property
    def learns_from_parts(self) -> bool:
        """A pixel that may belong to an unknown part can be hidden; it cannot be given a random label."""
        return self.absorbs

    @property
    def channels(self) -> tuple[int, int]:
        return len(self.components) + (2 if self.absorbs else 1), len(self.components)

    @property
    def process(self) -> Absorbing | Uniform:
        if self.absorbs:
            return Absorbing(len(self.components), self.image_size, self.turn)
        return Uniform(len(self.components), self.image_size)

    def network(self, state: Tensor, time: Tensor, condition: Tensor, present: Tensor, mask: Tensor) -> Tensor:
        """Logits of the components against a background at zero, from a label map (B, H, W)."""
        return self.denoiser(planes(state, self.channels[0]), time, condition, present, mask)

    def losses(self, batch: Batch, mask: Tensor, present: Tensor, step: Step) -> Tensor:
        weighting = self.config.training.weighting
        time = 1 - step.stratified(len(batch))
        if weighting == "even":  # the bound's weights hold for even times
            time = shifted(time, self.config.model.time_shift)
        return self.nats(batch, mask, present, time, step.rand(len(batch), 2, *self.image_size), weighting)

    def validate(self, batch: Batch, step: Step) -> Losses:
        """The bound, of the same questions as in training."""
        mask, present = self.asked(batch, step)
        uniform, time = step.rand(len(batch), 2, *self.image_size), 1 - step.stratified(len(batch))
        return Losses(self.nats(batch, mask, present, time, uniform, "bound").mean())

    def nats(
        self, batch: Batch, mask: Tensor, present: Tensor, time: Tensor, uniform: Tensor, weighting: Weighting
    ) -> Tensor:
        """Of each design (B,), of the pixels that are not given, at times (B,) in (0, 1].

        Args:
            uniform: (B, 2, H, W), which pixels are noisy and which labels they then have.
            weighting: `bound`: in expectation over times, a bound on -log p(design | given parts, condition).
        """
        if self.absorbs:
            return self._of_hidden(batch, mask, present, time, uniform[:, 0], weighting)
        return self._of_scattered(batch, mask, present, time, uniform, weighting)

    def _of_hidden(
        self, batch: Batch, mask: Tensor, present: Tensor, time: Tensor, uniform: Tensor, weighting: Weighting
    ) -> Tensor:
        """Sum of -log p(label) over hidden pixels, divided by the time for the bound (Sahoo et al., eq. 10)."""
        process = self.process
        count = len(self.components)
        known = batch.image if batch.known is None else torch.where(batch.known[..., None, None], batch.image, 0.0)
        labels = labels_of(known)
        state = absorbing.hide(labels, uniform, time, process.hidden)
        if batch.known is not None:  # a pixel that no known part owns may be an unknown one's
            open_pixels = (labels == count) & ~batch.known.all(1)[:, None, None]
            state = torch.where(open_pixels, process.hidden, state)
        owned = owned_by(labels, mask)
        state = torch.where(owned, labels, state)
        told = self.network(state, time, batch.condition, present, mask)
        parts, ground = self.likelihood.pixels(told, planes(labels, count), batch.known, mask)
        nats = -(parts.sum(1) + ground)
        nats = torch.where(state == process.hidden, nats, 0.0).sum((1, 2))
        return nats / time if weighting == "bound" else nats

    def _of_scattered(
        self, batch: Batch, mask: Tensor, present: Tensor, time: Tensor, uniform: Tensor, weighting: Weighting
    ) -> Tensor:
        """T times the divergence of one of T steps for the bound (Hoogeboom et al., eq. 14), else -log p(label)."""
        count, steps = len(self.components), self.config.model.timesteps
        labels, base = labels_of(batch.image), base_of(mask)
        if weighting == "bound":
            time = (time * steps).ceil() / steps
        noise = pick(base.expand(*base.shape[:2], *self.image_size), uniform[:, 1])
        state = multinomial.scatter(labels, noise, uniform[:, 0], time)
        owned = owned_by(labels, mask)
        state = torch.where(owned, labels, state)
        told = self.network(state, time, batch.condition, present, mask)
        if weighting == "even":
            parts, ground = self.likelihood.pixels(told, planes(labels, count), None, mask)
            return -(parts.sum(1) + ground).sum((1, 2))
        truth, now = planes(labels, count + 1), planes(state, count + 1)
        until = time - 1 / steps
        said = multinomial.earlier(shares_of(told, mask), now, base, time, until)
        right = multinomial.earlier(truth, now, base, time, until)
        apart = right * (right.clamp_min(1e-30).log() - said.clamp_min(1e-30).log())
        return steps * torch.where(owned, 0.0, apart.sum(1)).sum((1, 2))

    @torch.no_grad()
    def bound(self, batch: Batch, noise: Sequence[Noise]) -> Tensor:  # -> (B,)
        """Evidence bound on log p(label map | condition), nats, one stratified time a draw."""
        rows = len(batch)
        nothing = show_none(rows, len(self.components), batch.image.device)
        present = torch.ones(rows, 1, device=batch.image.device)
        total = torch.zeros(rows, device=batch.image.device)
        for i, n in enumerate(noise):
            time = (i + 1 - n.uniform(1)[:, 0]) / len(noise)
            uniform = n.uniform(2, *self.image_size)
            total = total + self.nats(batch, nothing, present, time, uniform, "bound")
        return -total / len(noise)


def owned_by(labels: Tensor, mask: Tensor) -> Tensor:  # (B, H, W), (B, C) -> (B, H, W) bool
    """Pixels of components that the mask gives."""
    with_ground = torch.cat([mask, torch.zeros_like(mask[:, :1])], 1)
    return with_ground.gather(1, labels.flatten(1)).view_as(labels)
