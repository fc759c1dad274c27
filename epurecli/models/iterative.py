"""What models that draw in steps share: a solver without weights that any network can drive, torch's or ONNX
Runtime's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from epurecli.config.iterative import IterativeRunConfig
from epurecli.models.contract import GenerativeModel, Sampler
from epurecli.models.graphs import BATCH, Content, Graph, Port, drawing_graphs, model_ports
from epurecli.nn.masking import show_none
from epurecli.nn.noise import RecordedNoise
from epurecli.types import Noise, Query

# state (B, *), time (B,), condition (B, D), present (B, 1), mask (B, C) -> prediction
Network = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


SAME_DESIGNS = 0.98  # of draws made of labels, another runtime must give as many as torch does
Carry = tuple[Tensor, ...]  # what one step hands to the next, the state first


class Process(Protocol):
    """How noise becomes a design: what a state starts as, one step of it, and what it shows. It has no weights.

    Time runs from 1 (noise) to 0 (a design).
    """

    components: int  # C
    labels: int | None  # how many values a state of integers takes; None = states are real

    def rows(self, steps: int) -> Tensor:
        """One row of numbers a step, its time first: (steps, R)."""
        ...

    def start(self, query: Query, noise: Noise) -> Carry:
        """Where nothing has been drawn: a state (B, *), and whatever else steps hand on, of shapes that they keep."""
        ...

    def draws(self, noise: Noise, steps: int) -> Tensor | None:
        """The random numbers of all steps, (B, steps, *), where steps want some."""
        ...

    def keep(self, state: Tensor, query: Query) -> Tensor:
        """The state with the query's observed components in it, as they are."""
        ...

    def step(self, carry: Carry, prediction: Tensor, row: Tensor, drawn: Tensor | None, query: Query) -> Carry:
        """One step, from what the network predicts for the carry's state, with (B, *) random numbers."""
        ...

    def finish(self, carry: Carry, query: Query) -> Tensor:  # -> (B, C, H, W)
        """The designs that there are at time 0."""
        ...


def solve(
    network: Network,
    process: Process,
    query: Query,
    noise: Noise,
    steps: int,
    guidance: float = 1.0,
    on_step: Callable[[], None] | None = None,
) -> Tensor:
    """One draw of each design of the query: -> (B, C, H, W). Observed components are kept in every state.

    Args:
        guidance: w of free + w (given - free), the predictions without and with the condition; 1 = no guidance.

    Source: Ho & Salimans, "Classifier-Free Diffusion Guidance", 2022, eq. 6.
    """
    mask = nothing_observed(query, process.components) if query.mask is None else query.mask

    def step(carry: Carry, now: tuple[Tensor, ...]) -> Carry:
        row, *drawn = now
        state, *rest = carry
        state = process.keep(state, query)
        at = torch.zeros_like(query.present[:, 0]) + row[0]
        prediction = network(state, at, query.condition, query.present, mask)
        if guidance != 1.0:
            free = network(state, at, query.condition, torch.zeros_like(query.present), mask)
            prediction = free + guidance * (prediction - free)
        return process.step((state, *rest), prediction, row, drawn[0] if drawn else None, query)

    carry = process.start(query, noise)
    drawn = process.draws(noise, steps)
    each = (process.rows(steps).to(query.present),) + (() if drawn is None else (drawn.transpose(0, 1),))
    if torch.compiler.is_exporting():  # one step in the graph, however many there are
        carry = scan(lambda held, now: (step(held, now), ()), carry, each)[0]
    else:
        for now in zip(*each, strict=True):
            carry = step(carry, now)
            if on_step is not None:
                on_step()
    return process.finish(carry, query)


def nothing_observed(query: Query, components: int) -> Tensor:  # (B, C)
    """The mask of a query that gives no component."""
    rows = query.present.shape[0]  # len() would bake the batch into a graph
    return show_none(rows, components, query.present.device)


class IterativeModel(GenerativeModel):
    """A model that draws in steps. A model writes `process`, `network` and `stages`."""

    config: IterativeRunConfig

    @property
    @abstractmethod
    def process(self) -> Process:
        """What turns noise into designs, given the network's predictions."""

    @abstractmethod
    def network(self, state: Tensor, time: Tensor, condition: Tensor, present: Tensor, mask: Tensor) -> Tensor:
        """A prediction from states (B, *) at times (B,); observed components stand in the state, mask (B, C)."""

    @property
    def steps(self) -> int:
        return self.config.sampling.steps

    def sampler(self, query: Query) -> Sampler:
        asked = self.config.sampling
        network, process = self.network, self.process
        return lambda noise: solve(network, process, query, noise, asked.steps, asked.guidance, self.on_step)

    def graphs(self) -> Sequence[Graph]:
        """`network`, one step's prediction, beside whole draws of the config's number of steps."""
        share = 1.0 if self.process.labels is None else SAME_DESIGNS
        drawn = (replace(graph, share=share) for graph in drawing_graphs(self))
        return (network_graph(self), *drawn)


class NetworkGraph(nn.Module):
    """State, time, condition and mask -> the network's prediction."""

    def __init__(self, model: IterativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, state: Tensor, time: Tensor, condition: Tensor, present: Tensor, mask: Tensor) -> Tensor:
        return self.model.network(state, time, condition, present, mask)


def network_graph(model: IterativeModel) -> Graph:
    """One evaluation of the network."""
    ports, process = model_ports(model), model.process
    query = Query(torch.zeros(1, model.cond_dim, device=model.device), torch.zeros(1, 1, device=model.device))
    state, mask = process.start(query, RecordedNoise(1))[0], nothing_observed(query, process.components)
    with torch.no_grad():
        prediction = model.network(state, query.present[:, 0], query.condition, query.present, mask)
    content = Content.VALUE if process.labels is None else Content.LABEL
    inputs = (
        Port("state", (BATCH, *state.shape[1:]), "what has been drawn so far", state.dtype, content, process.labels),
        Port("time", (BATCH,), "from 1 (noise) to 0 (a design)", content=Content.TIME),
        ports.condition,
        ports.present,
        ports.mask,
    )
    output = Port("prediction", (BATCH, *prediction.shape[1:]), "what the network predicts", prediction.dtype)
    return Graph("network", NetworkGraph(model), inputs, output)
