"""What flow matching and DDPM share: a path from designs to normal noise, and a network that says where it leads.

Source: Albergo & Vanden-Eijnden, "Building Normalizing Flows with Stochastic Interpolants", ICLR 2023 (the general
path); Eijkelboom et al., "Variational Flow Matching", NeurIPS 2024 (the endpoint through a likelihood).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from epurecli.config.iterative import DiffusionRunConfig
from epurecli.config.latent import Likelihood
from epurecli.errors import UsageError
from epurecli.models.contract import NATS
from epurecli.models.denoising import DenoisingModel
from epurecli.models.iterative import Carry
from epurecli.nn import paths
from epurecli.nn.likelihoods import ImageLikelihood, likelihood_of
from epurecli.nn.masking import show_none
from epurecli.nn.paths import Path
from epurecli.nn.solvers import Grid, advance
from epurecli.nn.step import Step
from epurecli.types import Batch, Noise, Query

LOG_SNR = (-12.0, 8.0)  # beyond, a design is drowned or plain: what is left is counted in closed form
Solver = Callable[[Path, Grid, int], Tensor]  # see `epurecli.nn.solvers`


@dataclass(frozen=True, slots=True)
class Diffusion:
    """The process that follows a path back. States are designs in [-1, 1] and noise."""

    path: Path
    shift: float  # of the times
    solver: Solver
    renews: bool  # whether the solver wants noise in each step
    likelihood: ImageLikelihood
    ends: bool  # whether the network predicts endpoints, or directions
    size: tuple[int, int, int]  # C, H, W
    labels: None = None

    @property
    def components(self) -> int:
        return self.size[0]

    def rows(self, steps: int) -> Tensor:
        return self.solver(self.path, lambda n: paths.even_times(n, self.shift), steps)

    def start(self, query: Query, noise: Noise) -> Carry:
        state = noise.normal(*self.size)
        return state, torch.zeros_like(state), state.clone()

    def draws(self, noise: Noise, steps: int) -> Tensor | None:
        return noise.normal(steps, *self.size) if self.renews else None

    def keep(self, state: Tensor, query: Query) -> Tensor:
        if query.observed is None:
            return state
        return torch.where(query.mask[..., None, None], 2 * query.observed - 1, state)

    def step(self, carry: Carry, prediction: Tensor, row: Tensor, drawn: Tensor | None, query: Query) -> Carry:
        state, before, held = carry
        time = torch.zeros_like(query.present[:, 0]) + row[0]
        design = self.design(prediction, state, time, query)
        return advance(state, 2 * design - 1, before, held, row, drawn)

    def design(self, prediction: Tensor, state: Tensor, time: Tensor, query: Query) -> Tensor:
        """E[design | state], in [0, 1], as the network sees it."""
        if self.ends:
            return self.likelihood.answer(prediction, query)
        return (paths.endpoint(self.path, state, prediction, time).clamp(-1, 1) + 1) / 2

    def finish(self, carry: Carry, query: Query) -> Tensor:
        return (carry[0] + 1) / 2


class GaussianDiffusion(DenoisingModel):
    """A model writes `path` and `SOLVERS`."""

    SOLVERS: ClassVar[Mapping[str, Solver]]  # by the words of `sampling.solver`: how the path is followed back

    config: DiffusionRunConfig
    bound_name = "diffusion ELBO"

    def __init__(self, config: DiffusionRunConfig) -> None:
        super().__init__(config)
        self.likelihood = likelihood_of(Likelihood(config.model.likelihood), len(self.components))

    @property
    @abstractmethod
    def path(self) -> Path:
        """From designs to noise."""

    @property
    def ends(self) -> bool:
        """Whether the network predicts endpoints, in the likelihood's terms."""
        return self.config.model.prediction == "endpoint"

    @property
    def unit(self) -> str:
        return NATS if self.ends else "squared error per design"

    @property
    def channels(self) -> tuple[int, int]:
        return len(self.components), len(self.components)

    @property
    def process(self) -> Diffusion:
        size = (len(self.components), *self.image_size)
        chosen = self.config.sampling.solver
        solver, renews = self.SOLVERS[chosen], chosen == "ancestral"
        return Diffusion(self.path, self.config.model.time_shift, solver, renews, self.likelihood, self.ends, size)

    def losses(self, batch: Batch, mask: Tensor, present: Tensor, step: Step) -> Tensor:
        count = len(batch)
        noise = step.randn(count, *batch.image.shape[1:])
        time = paths.shifted(step.stratified(count), self.config.model.time_shift)
        return self.errors(batch, mask, present, time, noise)

    def errors(self, batch: Batch, mask: Tensor, present: Tensor, time: Tensor, noise: Tensor) -> Tensor:  # -> (B,)
        """What the network misses at times (B,), of the components that are neither given nor unknown."""
        design = 2 * batch.image - 1
        shown = mask[..., None, None]
        state = torch.where(shown, design, paths.mixed(self.path, design, noise, time))
        told = self.network(state, time, batch.condition, present, mask)
        if self.ends:
            return -self.likelihood.log_prob(told, batch.image, batch.known, mask).sum(1)
        missed = (told - paths.velocity(self.path, design, noise, time)).square().sum((-2, -1))
        counting = ~mask if batch.known is None else ~mask & batch.known
        return torch.where(counting, missed, 0.0).sum(1)

    @torch.no_grad()
    def bound(self, batch: Batch, noise: Sequence[Noise]) -> Tensor:  # -> (B,)
        """The diffusion's evidence bound on log p(design | condition), in nats:

            E log p(x | x_t0) - 1/2 int SNR E |x - x_hat|^2 d log SNR - KL(q(x_t1 | x) | N(0, 1))

        over log SNR from t1 (nearly noise) to t0 (nearly the design), one stratified time a draw; what the network
        says at t0 is p(x | x_t0). Source: Kingma et al., "Variational Diffusion Models", NeurIPS 2021, eqs. 11-15.
        Raises: UsageError: the network predicts directions, which say no probability of a design.
        """
        if not self.ends:
            raise UsageError(
                f"{self.config.model.type} with model.prediction {self.config.model.prediction} has no bound",
                hint="the likelihood of a design is known where model.prediction is endpoint",
            )
        count = len(batch)
        low, high = LOG_SNR
        nothing = show_none(count, len(self.components), batch.image.device)
        present = torch.ones(count, 1, device=batch.image.device)
        design = 2 * batch.image - 1
        total = 0.0
        for i, n in enumerate(noise):
            drawn = n.normal(*design.shape[1:])
            place = (n.uniform(1)[:, 0] + i) / len(noise)
            level = low + (high - low) * place
            time = self.path.time_of(level)
            state = paths.mixed(self.path, design, drawn, time)
            told = self.network(state, time, batch.condition, present, nothing)
            missed = (design - (2 * self.likelihood.image(told) - 1)).square().sum((1, 2, 3))
            plain = self.path.time_of(torch.full_like(level, high))
            total = total + self.errors(batch, nothing, present, plain, drawn)
            total = total + (high - low) / 2 * level.exp() * missed
        share = 1 / (1 + math.exp(-low))  # a^2 at t1, where a^2 + s^2 = 1
        drowned = 0.5 * (share * (design.square() - 1) - math.log(1 - share)).sum((1, 2, 3))
        return -(total / len(noise) + drowned)
