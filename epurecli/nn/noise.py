"""Noise from a torch generator, and noise that a graph is given. See `epurecli.types.Noise`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from epurecli.types import Noise


@dataclass(frozen=True, slots=True)
class GeneratorNoise:
    """One draw of `count` designs from a torch generator."""

    generator: torch.Generator
    count: int
    device: torch.device | str = "cpu"

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(self.count, *shape, generator=self.generator, device=self.generator.device).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self.count, *shape, generator=self.generator, device=self.generator.device).to(self.device)


def generator_noise(
    generator: torch.Generator, count: int, draws: int, device: torch.device | str = "cpu"
) -> list[GeneratorNoise]:
    """S draws of B designs."""
    return [GeneratorNoise(generator, count, device)] * draws


class GivenNoise:
    """Noise that was drawn elsewhere: tensors (B, *shape), handed out in order."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors = iter(tensors)

    def normal(self, *shape: int) -> Tensor:
        return next(self._tensors)

    uniform = normal


class KeptNoise:
    """Another's noise, of which it keeps what it has given, in order: `GivenNoise` draws the same again."""

    def __init__(self, noise: Noise) -> None:
        self._noise = noise
        self.kept: list[tuple[str, Tensor]] = []  # ("normal" or "uniform", (B, *shape))

    def normal(self, *shape: int) -> Tensor:
        self.kept.append(("normal", self._noise.normal(*shape)))
        return self.kept[-1][1]

    def uniform(self, *shape: int) -> Tensor:
        self.kept.append(("uniform", self._noise.uniform(*shape)))
        return self.kept[-1][1]


@dataclass(frozen=True, slots=True)
class RecordedNoise:
    """Noise that notes what it is asked for: how a graph learns which inputs it needs."""

    count: int
    asked: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)  # ("normal" or "uniform", shape)

    def normal(self, *shape: int) -> Tensor:
        self.asked.append(("normal", shape))
        return torch.zeros(self.count, *shape)

    def uniform(self, *shape: int) -> Tensor:
        self.asked.append(("uniform", shape))
        return torch.full((self.count, *shape), 0.5)
