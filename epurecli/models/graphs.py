"""What a model shows to the exporter: plain modules without randomness, and how to call them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from epurecli.nn.noise import GivenNoise, RecordedNoise
from epurecli.types import Mode, Noise, Query

BATCH, DRAWS = "batch", "draws"  # the dynamic axes there may be


class Content(StrEnum):
    """What an input holds: tells a program how to fill it."""

    NORMAL = "normal"  # standard normal noise
    UNIFORM = "uniform"  # noise uniform in [0, 1)
    CONDITION = "condition"  # standardised conditions
    PRESENT = "present"  # 1 where the row's condition holds, else 0
    IMAGE = "image"  # designs: float32 in [0, 1] or uint8
    MASK = "mask"  # true = observed
    LABEL = "label"  # integers 0 .. high - 1
    TIME = "time"  # in [0, 1]
    VALUE = "value"  # any real numbers


NOISE = (Content.NORMAL, Content.UNIFORM)


@dataclass(frozen=True, slots=True)
class Port:
    """One input or the output of a graph. A string in the shape is a dynamic axis."""

    name: str
    shape: tuple[int | str, ...]
    meaning: str
    dtype: torch.dtype = torch.float32  # float32, bool, uint8 or int64
    content: Content = Content.VALUE
    high: int | None = None  # of labels


@dataclass(frozen=True, slots=True)
class Graph:
    """A module to export, its inputs in the order of `forward`, its one output, and when that is as good as torch's.

    Attributes:
        tolerance: largest difference from torch, in units of the output, or of its largest value where that is above 1.
        typical: the same of half of the rows: rounding's tail is long, and what is wrong is wrong everywhere.
        same_owners: whether every pixel must also have the owner (see `pictures.crisp`) that it has in torch.
        share: of designs that must be so. Where a draw is made of labels, a difference of 1e-6 may tip one, and the
            steps after it follow.
    """

    name: str
    module: nn.Module
    inputs: tuple[Port, ...]
    output: Port
    tolerance: float = 1e-4  # of images in [0, 1]: a fortieth of a grey level
    typical: float = 1e-4
    same_owners: bool = False
    share: float = 1.0


def graph_of_designs(name: str, module: nn.Module, inputs: tuple[Port, ...], output: Port) -> Graph:
    """A graph that draws whole designs.

    A trained flow, the posterior of a conjugate model and many steps widen float32's rounding: by how much differs from
    training to training, at undecided pixels of one design in a thousand by more than a grey level's quarter. What must
    not change is which part a pixel belongs to.
    """
    return Graph(name, module, inputs, output, tolerance=1e-2, same_owners=True)


class Drawing(Protocol):
    """What a graph asks of a model (see `epurecli.models.contract.GenerativeModel`)."""

    modes: ClassVar[frozenset[Mode]]
    components: tuple[str, ...]
    image_size: tuple[int, int]
    cond_dim: int

    @property
    def device(self) -> torch.device: ...

    def generate(self, query: Query, noise: Sequence[Noise]) -> Tensor: ...


class DrawingGraph(nn.Module):
    """Everything that a model needs to draw, as tensors -> images: `generate` with its noise as inputs."""

    def __init__(self, model: Drawing, observes: bool) -> None:
        super().__init__()
        self.model, self.observes = model, observes

    def forward(self, *inputs: Tensor) -> Tensor:
        if not self.observes:
            *noise, condition, present = inputs
            return self.model.generate(Query(condition, present), [GivenNoise(noise)])[0]
        images, mask, *noise, condition, present = inputs
        draws, rows = noise[0].shape[:2]

        def repeated(x: Tensor) -> Tensor:
            return x.expand(draws, *x.shape).flatten(0, 1)

        query = Query(*(repeated(x) for x in (condition, present, images, mask)))
        drawn = self.model.generate(query, [GivenNoise(n.flatten(0, 1) for n in noise)])[0]
        return drawn.unflatten(0, (draws, rows))


def drawing_graphs(model: Drawing) -> tuple[Graph, ...]:
    """`sampler`, and `inpaint` where the model has that mode, of any model: one draw of free designs, S draws of
    completed ones."""
    ports = model_ports(model)
    noise = noise_ports(model, observes=False)
    inputs = (*noise, ports.condition, ports.present)
    graphs = [graph_of_designs("sampler", DrawingGraph(model, False), inputs, ports.designs)]
    if Mode.INPAINTING in model.modes:
        noise = noise_ports(model, observes=True)
        inputs = (ports.images, ports.mask, *noise, ports.condition, ports.present)
        graphs.append(graph_of_designs("inpaint", DrawingGraph(model, True), inputs, ports.draws))
    return tuple(graphs)


@dataclass(frozen=True, slots=True)
class ModelPorts:
    """The inputs and outputs that graphs of all models share."""

    condition: Port
    present: Port
    images: Port
    mask: Port
    designs: Port
    draws: Port


def model_ports(model: Drawing) -> ModelPorts:
    size = (len(model.components), *model.image_size)
    formula = "standardised conditions: (raw - shift) / scale"
    holds = "1 where the row's condition holds, 0 where it has none"
    given = "designs in [0, 1]; what the mask hides is ignored"
    drawn = "designs in [0, 1], observed components as they were given"
    return ModelPorts(
        condition=Port("condition", (BATCH, model.cond_dim), formula, content=Content.CONDITION),
        present=Port("present", (BATCH, 1), holds, content=Content.PRESENT),
        images=Port("images", (BATCH, *size), given, content=Content.IMAGE),
        mask=Port("mask", (BATCH, size[0]), "true = observed", torch.bool, Content.MASK),
        designs=Port("images", (BATCH, *size), "designs in [0, 1]", content=Content.IMAGE),
        draws=Port("draws", (DRAWS, BATCH, *size), drawn, content=Content.IMAGE),
    )


def noise_ports(model: Drawing, *, observes: bool) -> tuple[Port, ...]:
    """An input for each time that drawing asks for noise, found out by drawing once."""
    noise, device = RecordedNoise(1), model.device
    query = Query(torch.zeros(1, model.cond_dim, device=device), torch.zeros(1, 1, device=device))
    if observes:
        parts = len(model.components)
        mask = torch.arange(parts, device=device).unsqueeze(0) > 0
        images = torch.zeros(1, parts, *model.image_size, device=device)
        query = Query(query.condition, query.present, images, mask)
    model.generate(query, [noise])
    lead = (DRAWS, BATCH) if observes else (BATCH,)
    per_draw = ", one layer for each draw" if observes else ""
    words = {"normal": "standard normal", "uniform": "uniform in [0, 1)"}
    return tuple(
        Port(
            "noise" if len(noise.asked) == 1 else f"noise_{i}",
            (*lead, *shape),
            words[kind] + per_draw,
            content=Content(kind),
        )
        for i, (kind, shape) in enumerate(noise.asked)
    )
