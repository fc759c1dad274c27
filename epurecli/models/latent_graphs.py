"""The graphs of models with a latent: `decoder`, `sampler`, and an `inpaint` that encodes once for all draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from epurecli.models.graphs import (
    BATCH,
    DRAWS,
    Content,
    Drawing,
    DrawingGraph,
    Graph,
    Port,
    graph_of_designs,
    model_ports,
    noise_ports,
)
from epurecli.nn.distributions import Distribution

Infer = Callable[[Tensor, Tensor], Distribution]  # (B, C, H, W), (B, C) -> over (B, N)


class LatentDrawing(Drawing, Protocol):
    """What these graphs ask of a model (see `epurecli.models.latent.LatentModel`)."""

    @property
    def latent_size(self) -> int: ...

    def conditional(
        self, observed: Tensor, mask: Tensor, condition: Tensor, present: Tensor, infer: Infer | None = None
    ) -> Distribution: ...

    @property
    def noise_size(self) -> int: ...

    def decode(self, z: Tensor, condition: Tensor, present: Tensor) -> Tensor: ...

    def noise_parts(self, noise: Tensor) -> tuple[Tensor, ...]: ...

    def complete(
        self, z: Tensor, borders: Tensor, condition: Tensor, present: Tensor, observed: Tensor, mask: Tensor
    ) -> Tensor: ...


class DecoderGraph(nn.Module):
    """Latents and condition -> images."""

    def __init__(self, model: LatentDrawing) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, condition: Tensor, present: Tensor) -> Tensor:
        return self.model.decode(z, condition, present)


class InpaintGraph(nn.Module):
    """Partial designs, noise and condition -> draws of whole ones, what was observed pasted back."""

    def __init__(self, model: LatentDrawing, infer: Infer | None) -> None:
        super().__init__()
        self.model, self.infer = model, infer

    def forward(self, images: Tensor, mask: Tensor, noise: Tensor, condition: Tensor, present: Tensor) -> Tensor:
        inner, borders = self.model.noise_parts(noise)  # (S, B, N), (S, B, C)
        z = self.model.conditional(images, mask, condition, present, self.infer).sample(inner)
        draws = noise.shape[0]  # len() would bake it in
        given = (t.expand(draws, *t.shape).flatten(0, 1) for t in (condition, present, images, mask))
        return self.model.complete(z.flatten(0, 1), borders.flatten(0, 1), *given).unflatten(0, noise.shape[:2])


def latent_graphs(model: LatentDrawing, infer: Infer | None = None) -> tuple[Graph, ...]:
    """The graphs of any model with a latent.

    Args:
        infer: the model's `infer` in operations that can be traced, where its own cannot.
    """
    ports = model_ports(model)
    condition = (ports.condition, ports.present)
    z = Port("z", (BATCH, model.latent_size), "latents")
    (noise,) = noise_ports(model, observes=False)
    layers = "standard normal, one layer for each draw"
    draws = Port("noise", (DRAWS, BATCH, model.noise_size), layers, content=Content.NORMAL)
    inpaint = InpaintGraph(model, infer)
    return (
        Graph("decoder", DecoderGraph(model), (z, *condition), ports.designs),
        graph_of_designs("sampler", DrawingGraph(model, False), (noise, *condition), ports.designs),
        graph_of_designs("inpaint", inpaint, (ports.images, ports.mask, draws, *condition), ports.draws),
    )
