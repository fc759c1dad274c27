"""Designs that may answer a brief, as the model draws them when it is asked for what is wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epurecli.checkpoint import TrainedModel
from epurecli.design.brief import Goals
from epurecli.listener import SILENT
from epurecli.sample.drawn import join
from epurecli.sample.request import SampleOptions, fill_open
from epurecli.sample.sampler import Numbered, Request, draw
from epurecli.types import Mode

_NEAREST = 64  # real designs, at least, that conditions are taken from
_JITTER = 0.25  # standard deviations, where a range leaves room
_LOOSE = 0.3  # standard deviations by which those may be worse that conditions near the front are taken from
_PUSHED, _PUSH = 0.5, 1.5  # share that is asked for more than any design has; standard deviations beyond


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Components of one design that are kept."""

    image: NDArray[np.uint8]  # (C, H, W)
    mask: NDArray[np.bool_]  # (C,) True = kept


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Designs and what they were drawn from."""

    bits: NDArray[np.bool_]  # (B, C, H, W)
    condition: NDArray[np.float64]  # (B, D) raw units that the model was asked for
    number: NDArray[np.int64]  # (B,) of the design's noise
    refined: NDArray[np.bool_]  # (B,) whether the noise was moved afterwards

    def __len__(self) -> int:
        return len(self.bits)

    def __getitem__(self, rows: NDArray[np.generic]) -> Candidates:
        return Candidates(self.bits[rows], self.condition[rows], self.number[rows], self.refined[rows])

    def __add__(self, other: Candidates) -> Candidates:
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__slots__)
        return Candidates(*(np.concatenate(pair) for pair in pairs))


def propose(
    trained: TrainedModel,
    goals: Goals,
    values: NDArray[np.float64],
    numbers: range,
    seed: int,
    given: Given | None,
) -> Candidates:
    """Draw designs at conditions that fit the goals.

    Args:
        values: (M, K) figures of real designs in the goals' columns, NaN where unknown.
        numbers: of the designs: each has its own noise, a Philox stream per seed and number.
    """
    scaler, count = trained.scaler, len(numbers)
    conditions = np.empty((count, 0))
    if scaler.columns:
        rng = np.random.default_rng((seed, numbers.start))
        conditions = wanted_conditions(goals, values, scaler.columns, count, rng)
        parts = None
        if given is not None:
            parts = np.repeat(given.image[None], count, 0), np.repeat(given.mask[None], count, 0)
        conditions = fill_open(trained, conditions, SampleOptions(seed=seed + numbers.start), SILENT, parts)
    bits = draw_bits(trained, request_of(conditions, numbers, seed, given))
    return Candidates(bits, conditions, np.array(numbers), np.zeros(count, bool))


def draw_bits(trained: TrainedModel, request: Request) -> NDArray[np.bool_]:  # (B, C, H, W)
    """What a request is answered with, in black and white."""
    model = trained.model
    drawn = join(list(draw(request, model.generate, trained.scaler, model.device)))
    bits: NDArray[np.bool_] = drawn.images >= 0.5
    return bits


def request_of(conditions: NDArray[np.float64], numbers: range, seed: int, given: Given | None) -> Request:
    """Crisp designs at these conditions, around what is given."""
    if given is None:
        return crisp_request(conditions, numbers, seed)
    rows, mask = np.zeros(len(numbers), np.int64), np.repeat(given.mask[None], len(numbers), 0)
    return crisp_request(conditions, numbers, seed, images=given.image[None], rows=rows, mask=mask)


def crisp_request(conditions: NDArray[np.float64], numbers: range, seed: int, **observed: Any) -> Request:
    """Crisp designs at these conditions.

    Args:
        observed: `images`, `rows` and `mask` of a `Request`, where components are given.
    """
    return Request(
        mode=Mode.INPAINTING if observed else Mode.CONDITIONAL,
        names=Numbered(len(numbers)),
        seed=seed,
        crisp=True,
        conditions=conditions if conditions.shape[1] else None,
        first=numbers.start,
        **observed,
    )


def wanted_conditions(
    goals: Goals, values: NDArray[np.float64], columns: tuple[str, ...], count: int, rng: np.random.Generator
) -> NDArray[np.float64]:  # (B, D)
    """What to ask a model of: conditions of real designs near the brief, moved to where it wants them; NaN for columns
    that the brief says nothing of. For what is to be more or less, half are asked for more than any has.
    """
    known = np.where(np.isfinite(values), values, np.nanmean(values, 0))
    order = np.argsort(goals.violation(known), kind="stable")
    met = int((goals.violation(known) == 0).sum())
    near = known[order[: max(_NEAREST, met)]]
    merit = goals.merit(near)
    if merit.shape[1]:  # near the front: the best by weights that differ from design to design
        weights = rng.dirichlet(np.ones(merit.shape[1]), count)
        scores = weights @ merit.T + rng.gumbel(0, _LOOSE, (count, len(near)))
        rows = near[scores.argmax(1)].copy()
    else:
        rows = near[rng.integers(len(near), size=count)].copy()
    rows[:, goals.asked] += _JITTER * rng.standard_normal((count, len(goals.asked))) * goals.scale[list(goals.asked)]
    pushed = rng.random(count) < _PUSHED
    for index, sign in goals.objectives:
        rows[:, index] += sign * pushed * rng.uniform(0, _PUSH, count) * goals.scale[index]
    for constraint in goals.constraints:
        if constraint.target is not None:
            rows[:, constraint.index] = constraint.target
        else:
            rows[:, constraint.index] = rows[:, constraint.index].clip(constraint.low, constraint.high)
    asked = np.full((count, len(columns)), np.nan)
    for place, name in enumerate(columns):
        if name in goals.columns and goals.columns.index(name) in goals.asked:
            asked[:, place] = rows[:, goals.columns.index(name)]
    return asked
