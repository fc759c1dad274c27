"""From a design to noise: x_t = a(t) x + s(t) n, with x in [-1, 1], n standard normal, t from 0 (the design) to 1.

At t = 1 nothing of the design is left in any of them. Source: Lin et al., "Common Diffusion Noise Schedules and Sample
Steps are Flawed", WACV 2024 (zero terminal signal).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Path(Protocol):
    """Weights of design and noise, elementwise on times of any shape."""

    def signal(self, time: Tensor) -> Tensor:
        """a(t), from 1 to 0."""
        ...

    def noise(self, time: Tensor) -> Tensor:
        """s(t), from 0 to 1."""
        ...

    def direction(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of design and noise in dx_t / dt, up to a factor."""
        ...

    def time_of(self, log_snr: Tensor) -> Tensor:
        """The time at which log a^2 / s^2 is this."""
        ...


@dataclass(frozen=True, slots=True)
class Linear:
    """a = 1 - t, s = t: a straight line. Source: Liu et al., "Flow Straight and Fast", ICLR 2023."""

    def signal(self, time: Tensor) -> Tensor:
        return 1 - time

    def noise(self, time: Tensor) -> Tensor:
        return time

    def direction(self, time: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.ones_like(time), torch.ones_like(time)

    def time_of(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-log_snr / 2)


class OnTheCircle(ABC):
    """Paths with a^2 + s^2 = 1, which keep the variance of data of variance one."""

    @abstractmethod
    def signal(self, time: Tensor) -> Tensor:
        """a(t)."""

    @abstractmethod
    def noise(self, time: Tensor) -> Tensor:
        """s(t)."""

    def direction(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """v = a n - s x. Source: Salimans & Ho, "Progressive Distillation", ICLR 2022, appendix D."""
        return -self.noise(time), self.signal(time)


@dataclass(frozen=True, slots=True)
class Cosine(OnTheCircle):
    """a = cos(pi t / 2), s = sin(pi t / 2). Source: Nichol & Dhariwal, "Improved DDPM", ICML 2021, without offset."""

    def signal(self, time: Tensor) -> Tensor:
        return torch.sin(math.pi / 2 * (1 - time))  # exactly 0 at t = 1

    def noise(self, time: Tensor) -> Tensor:
        return torch.sin(math.pi / 2 * time)

    def time_of(self, log_snr: Tensor) -> Tensor:
        return torch.atan(torch.exp(-log_snr / 2)) * (2 / math.pi)


@dataclass(frozen=True, slots=True)
class Sigmoid(OnTheCircle):
    """a^2 falls as a sigmoid between -3 and 3. Source: Jabri et al., "Scalable Adaptive Computation", ICML 2023, A."""

    def signal(self, time: Tensor) -> Tensor:
        top, bottom = self._ends(time)
        return ((top - torch.sigmoid(6 * time - 3)) / (top - bottom)).sqrt()

    def noise(self, time: Tensor) -> Tensor:
        top, bottom = self._ends(time)
        return ((torch.sigmoid(6 * time - 3) - bottom) / (top - bottom)).sqrt()

    def time_of(self, log_snr: Tensor) -> Tensor:
        top, bottom = self._ends(log_snr)
        return (torch.logit(top - torch.sigmoid(log_snr) * (top - bottom)) + 3) / 6

    def _ends(self, like: Tensor) -> tuple[Tensor, Tensor]:  # computed as the rest is: both ends are exact
        return torch.sigmoid(torch.full_like(like, 3.0)), torch.sigmoid(torch.full_like(like, -3.0))


def shifted(time: Tensor, shift: float) -> Tensor:
    """Times moved towards noise (shift > 1): t s / (1 + (s - 1) t).

    Pixels of one part agree, so its place shows through noise that hides each pixel: what a design is as a whole is
    decided near t = 1, and the more pixels there are the nearer. Source: Esser et al., "Scaling Rectified Flow
    Transformers", ICML 2024, eq. 23.
    """
    return shift * time / (1 + (shift - 1) * time)


def even_times(steps: int, shift: float) -> Tensor:  # (steps + 1,) float64
    """Times from 1 to 0, evenly but for the shift."""
    return shifted(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift)


def mixed(path: Path, x: Tensor, noise: Tensor, time: Tensor) -> Tensor:  # (B, *) twice, (B,) -> (B, *)
    """x_t."""
    return over(path.signal(time), x) * x + over(path.noise(time), x) * noise


def velocity(path: Path, x: Tensor, noise: Tensor, time: Tensor) -> Tensor:  # (B, *) twice, (B,) -> (B, *)
    """The direction of the path at x_t."""
    of_design, of_noise = path.direction(time)
    return over(of_design, x) * x + over(of_noise, x) * noise


def endpoint(path: Path, state: Tensor, moving: Tensor, time: Tensor) -> Tensor:  # (B, *) twice, (B,) -> (B, *)
    """The x of which x_t and its direction are these."""
    a, s = path.signal(time), path.noise(time)
    of_design, of_noise = path.direction(time)
    area = a * of_noise - s * of_design
    return over(of_noise / area, state) * state - over(s / area, state) * moving


def over(values: Tensor, like: Tensor) -> Tensor:  # (B,) -> (B, 1, ..., 1)
    """One figure a design, to be multiplied with tensors of designs."""
    return values.reshape(-1, *(1,) * (like.dim() - 1))
