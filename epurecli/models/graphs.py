"""What a model shows to the exporter: plain modules without randomness, and how to call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from epurecli.models.base import LatentModel
    from epurecli.nn.belief import Belief

Infer = Callable[[Tensor, Tensor], "Belief"]  # (B, C, H, W), (B, C) -> over (B, N)

BATCH, DRAWS = "batch", "draws"  # the dynamic axes there may be


@dataclass(frozen=True, slots=True)
class Port:
    """One input or the output of a graph. A string in the shape is a dynamic axis; the dtype is float32 or bool."""

    name: str
    shape: tuple[int | str, ...]
    meaning: str
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True, slots=True)
class Graph:
    """A module to export, its inputs in the order of `forward`, its one output, and when that is as good as torch's.

    Attributes:
        tolerance: largest difference from torch, in units of the output.
        same_owners: whether every pixel must also have the owner (see `pictures.crisp`) that it has in torch.
    """

    name: str
    module: nn.Module
    inputs: tuple[Port, ...]
    output: Port
    tolerance: float = 1e-4  # of images in [0, 1]: a fortieth of a grey level
    same_owners: bool = False


class DecoderGraph(nn.Module):
    """Latents and condition -> images."""

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, condition: Tensor, present: Tensor) -> Tensor:
        return self.model.decode(z, condition, present)


class SamplerGraph(nn.Module):
    """Noise and condition -> images: the prior (and its flow), then the decoder."""

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, noise: Tensor, condition: Tensor, present: Tensor) -> Tensor:
        return self.model.decode(self.model.from_prior(noise, condition, present), condition, present)


class InpaintGraph(nn.Module):
    """Partial designs, noise and condition -> draws of whole ones, what was observed pasted back."""

    def __init__(self, model: LatentModel, infer: Infer) -> None:
        super().__init__()
        self.model, self.infer = model, infer

    def forward(self, images: Tensor, mask: Tensor, noise: Tensor, condition: Tensor, present: Tensor) -> Tensor:
        z = self.infer(images, mask).sample(noise)  # (S, B, N)
        draws = noise.shape[0]  # len() would bake it in
        given = (t.expand(draws, *t.shape).flatten(0, 1) for t in (condition, present, images, mask))
        return self.model.complete(z.flatten(0, 1), *given).unflatten(0, noise.shape[:2])


def latent_graphs(model: LatentModel, infer: Infer | None = None) -> tuple[Graph, ...]:
    """The graphs of any model with a latent: `decoder`, `sampler`, `inpaint`.

    Args:
        infer: the model's `infer` in operations that can be traced, where its own cannot.
    """
    size = (len(model.components), *model.image_size)
    condition = Port("condition", (BATCH, model.cond_dim), "standardised conditions: (raw - shift) / scale")
    present = Port("present", (BATCH, 1), "1 where the row's condition holds, 0 where it has none")
    z = Port("z", (BATCH, model.latent_size), "latents")
    noise = Port("noise", (BATCH, model.noise_dim), "standard normal")
    images = Port("images", (BATCH, *size), "designs in [0, 1]; what the mask hides is ignored")
    mask = Port("mask", (BATCH, size[0]), "true = observed", torch.bool)
    draw_noise = Port("noise", (DRAWS, BATCH, model.noise_dim), "standard normal, one layer for each draw")
    output = Port("images", (BATCH, *size), "designs in [0, 1]")
    draws = Port("draws", (DRAWS, BATCH, *size), "designs in [0, 1], observed components as they were given")
    # A trained flow, and the posterior of a conjugate model, widen float32's rounding before the decoder sees it: up to
    # a tenth of a grey level at undecided pixels. What must not change is which part a pixel belongs to.
    whole = {"tolerance": 1e-3, "same_owners": True}
    complete = InpaintGraph(model, infer or model.infer)
    return (
        Graph("decoder", DecoderGraph(model), (z, condition, present), output),
        Graph("sampler", SamplerGraph(model), (noise, condition, present), output, **whole),
        Graph("inpaint", complete, (images, mask, draw_noise, condition, present), draws, **whole),
    )
