"""Designs made better by moving the noise that they are drawn from, along the gradient of what they lack."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epurecli.checkpoint import TrainedModel
from epurecli.design.brief import Goals
from epurecli.design.predictor import Predictor
from epurecli.design.propose import Candidates, Given, request_of
from epurecli.models.contract import hidden, paste
from epurecli.nn.labels import owned
from epurecli.nn.noise import GivenNoise, KeptNoise
from epurecli.sample.noise import DesignNoise
from epurecli.sample.sampler import query_of

_RATE = 0.06  # of Adam, in standard deviations of the noise
_GUARD = 1e-2  # of the squared length of the noise: it stays noise that the model was trained on
_VIOLATION = 10.0
_LOOK = 5  # steps between looks at what has become of the designs
_SHARP = 20.0  # of the smooth maximum over objectives


@torch.enable_grad()
def refine(
    trained: TrainedModel,
    predictor: Predictor,
    goals: Goals,
    start: Candidates,
    seed: int,
    given: Given | None,
    steps: int,
    valid: Callable[[NDArray[np.bool_]], NDArray[np.bool_]],
) -> Candidates | None:
    """The best that each design becomes in so many steps, of what is valid; None where the model has no gradient.

    What is looked at and what is stepped on are the crisp design; the gradient is that of the soft one ("straight
    through": Bengio, Leonard & Courville 2013, sec. 4).
    """
    model, count = trained.model, len(start)
    request = request_of(start.condition, range(count), seed, given)
    query = hidden(query_of(request, trained.scaler, model.device))
    draw = model.sampler(query)
    noise = KeptNoise(DesignNoise(seed, start.number.tolist(), device=model.device))
    with torch.no_grad():
        draw(noise)
    leaves = [numbers.requires_grad_() for kind, numbers in noise.kept if kind == "normal"]
    if not leaves:
        return None
    optimizer = torch.optim.Adam(leaves, lr=_RATE)
    weights = torch.from_numpy(_weights(goals, count, seed)).float()
    best, bits = np.full(count, np.inf), start.bits.copy()
    for step in range(steps + 1):
        soft = paste(draw(GivenNoise([numbers for _, numbers in noise.kept])).clamp(0, 1), query).cpu()
        if not soft.requires_grad:
            return None
        crisp = owned(soft.detach()).to(soft.dtype)
        mean, spread = predictor.standardised(soft + (crisp - soft).detach())
        losses = _losses(goals, predictor, mean, spread, weights)
        if step % _LOOK == 0 or step == steps:
            now = crisp.numpy() >= 0.5
            found = losses.detach().double().numpy()
            better = found < best
            better[better] &= valid(now[better])
            best[better], bits[better] = found[better], now[better]
        if step < steps:
            guard = sum(numbers.square().flatten(1).sum(1).cpu() for numbers in leaves)
            optimizer.zero_grad()
            (losses + _GUARD * guard).sum().backward()
            optimizer.step()
    return Candidates(bits, start.condition, start.number, np.isfinite(best))


def _weights(goals: Goals, count: int, seed: int) -> NDArray[np.float64]:  # (B, J)
    """What each design gives to each objective; different, so that together they follow the front."""
    objectives = len(goals.objectives)
    return np.random.default_rng(seed).dirichlet(np.ones(objectives), count) if objectives else np.zeros((count, 0))


def _losses(goals: Goals, predictor: Predictor, mean: Tensor, spread: Tensor, weights: Tensor) -> Tensor:  # -> (B,)
    """What designs lack: distance from targets, violated bounds, and objectives as a smooth weighted maximum.

    Bounds and objectives are held to the worse end of the interval: where the predictor is unsure there is nothing to
    be gained. Source of the maximum: Steuer & Choo, "An Interactive Weighted Tchebycheff Procedure", 1983.
    """
    shift, scale = predictor.shift, predictor.scale
    half = spread * predictor.quantile
    total = mean.new_zeros(len(mean))
    for constraint in goals.constraints:
        k = constraint.index
        if constraint.target is not None:
            reach = (constraint.high - constraint.low) / 2 / scale[k]
            total = total + ((mean[:, k] - (constraint.target - shift[k]) / scale[k]) / reach).square()
            continue
        room = (constraint.high - constraint.low) / scale[k] / 2
        margin = torch.minimum(half[:, k], 0.5 * room.clamp(max=10.0))
        low, high = (constraint.low - shift[k]) / scale[k], (constraint.high - shift[k]) / scale[k]
        total = total + _VIOLATION * ((low + margin - mean[:, k]).relu() + (mean[:, k] + margin - high).relu()).square()
    if goals.objectives:
        index = [k for k, _ in goals.objectives]
        sign = mean.new_tensor([float(s) for _, s in goals.objectives])
        worse = sign * mean[:, index] - half[:, index]
        total = total + torch.logsumexp(-_SHARP * weights * worse, 1) / _SHARP
    return total
