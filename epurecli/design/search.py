"""From what is wanted to designs: propose, keep what is nearest, refine it, choose among the acceptable."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from epurecli.checkpoint import TrainedModel
from epurecli.design.brief import Goals
from epurecli.design.choose import farthest, non_dominated, spread_over_front
from epurecli.design.known import KnownDesigns
from epurecli.design.predictor import Predictions, Predictor
from epurecli.design.propose import Candidates, Given, propose
from epurecli.design.refine import refine
from epurecli.listener import QUIET, Listener

_AS_GOOD = 0.25  # standard deviations: of one objective, what is no worse than the best
_CHOICE = 3  # designs for each that is wanted, at least, among which those that differ are found


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to search. Counts are of one round; a round follows where the last one has found too few."""

    proposals: int = 512  # a multiple of what is drawn at once on any device
    refined: int = 40
    steps: int = 30
    rounds: int = 3


QUICK = Effort()
IN_STEPS = Effort(proposals=256, refined=0, rounds=2)  # a draw of many steps costs as much as many draws


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Candidates with what is known of each."""

    candidates: Candidates
    predicted: Predictions
    valid: NDArray[np.bool_]
    distance: NDArray[np.intp]  # pixels to the nearest training design

    def __len__(self) -> int:
        return len(self.candidates)

    def __getitem__(self, rows: NDArray[np.generic]) -> Pool:
        told = self.predicted
        predicted = Predictions(told.columns, told.value[rows], told.low[rows], told.high[rows])
        return Pool(self.candidates[rows], predicted, self.valid[rows], self.distance[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A trained model, what predicts figures, and the designs that there are."""

    trained: TrainedModel
    predictor: Predictor
    known: KnownDesigns
    seed: int = 0
    given: Given | None = None
    effort: Effort = QUICK
    extrapolate: bool = False  # whether designs further from the data than real ones count
    listener: Listener = field(default=QUIET)

    def run(self, goals: Goals, enough: int) -> Pool:
        """All that was found, the acceptable and the others; rounds end once `enough` are acceptable."""
        effort, values = self.effort, self.in_order_of(goals)
        found: Candidates | None = None
        for turn in range(effort.rounds):
            self.listener.progress("searching", turn, effort.rounds)
            numbers = range(turn * effort.proposals, (turn + 1) * effort.proposals)
            new = propose(self.trained, goals, values, numbers, self.seed, self.given)
            found = new if found is None else found + new
            if effort.refined:
                start = found[self.shortlist(goals, found)]
                asked = self.predictor, goals, start, self.seed, self.given, effort.steps, self.known.valid
                better = refine(self.trained, *asked)
                found = found if better is None else found + better[better.refined]
            pool = self.judged(goals, found)
            if self.acceptable(goals, pool).sum() >= enough:
                break
        self.listener.progress("searching", self.effort.rounds, self.effort.rounds)
        return pool

    def in_order_of(self, goals: Goals) -> NDArray[np.float64]:  # (M, K)
        """Figures of the known designs in the goals' columns."""
        places = [self.known.columns.index(name) for name in goals.columns]
        return self.known.values[:, places]

    def shortlist(self, goals: Goals, found: Candidates) -> NDArray[np.intp]:
        """Candidates to refine: the nearest to what is wanted that have not been, and that differ."""
        fresh = np.flatnonzero(~np.isin(found.number, found.number[found.refined]))
        value = self.predictor(_ink(found.bits[fresh])).value
        score = goals.violation(value) + goals.miss(value)
        merit = goals.merit(value)
        if merit.shape[1]:
            score = score - 0.3 * merit.max(1) * (goals.violation(value) < 1)
        near = fresh[np.argsort(score, kind="stable")[: 6 * self.effort.refined]]
        if not len(near):
            return near
        return near[farthest(found.bits[near], 0, self.effort.refined)]

    def judged(self, goals: Goals, found: Candidates) -> Pool:
        """Candidates with figures; whether they can be built is looked at for those that meet the goals, or nearly."""
        predicted = self.predictor(_ink(found.bits))
        near = np.argsort(goals.violation(predicted.value), kind="stable")[: max(64, 4 * self.effort.refined)]
        met = np.flatnonzero(goals.violation(predicted.value) == 0)
        if goals.objectives and len(met):
            front = non_dominated(goals.merit(predicted.value[met]))
            best = met[np.argsort(-goals.merit(predicted.value[met]).sum(1))[: 8 * 64]]
            near = np.unique(np.concatenate([near, met[front], best]))
        rows = np.sort(near)
        kept = found[rows]
        told = Predictions(predicted.columns, predicted.value[rows], predicted.low[rows], predicted.high[rows])
        return Pool(kept, told, self.known.valid(kept.bits), self.known.distance(kept.bits))

    def acceptable(self, goals: Goals, pool: Pool) -> NDArray[np.bool_]:
        """What may be shown: it meets all constraints, can be built, and lies within what the data tells of."""
        near = self.extrapolate | (pool.distance <= self.known.furthest)
        return (goals.violation(pool.predicted.value) == 0) & pool.valid & near

    def choose(self, goals: Goals, pool: Pool, count: int) -> Pool:
        """The best of what is acceptable, and others that differ from it and from each other, the best first."""
        good = pool[np.flatnonzero(self.acceptable(goals, pool))]
        if not len(good):
            return good
        merit = goals.merit(good.predicted.value)
        if merit.shape[1] > 1:
            picked: list[int] = []
            left = np.arange(len(good))
            while len(picked) < count and len(left):  # the front, then what is the front without it
                front = non_dominated(merit[left])
                layer = left[front]
                picked += layer[spread_over_front(merit[layer], count - len(picked))].tolist()
                left = left[~front]
            return good[np.array(picked)]
        if merit.shape[1] == 1:
            order = np.argsort(-merit[:, 0], kind="stable")
            as_good = int((merit[:, 0] >= merit[:, 0].max() - _AS_GOOD).sum())
            close = order[: max(as_good, _CHOICE * count)]
            picked = close[farthest(good.candidates.bits[close], int(merit[close, 0].argmax()), count)]
            return good[picked[np.argsort(-merit[picked, 0], kind="stable")]]
        miss = goals.miss(good.predicted.value)
        picked = np.array(farthest(good.candidates.bits, int(miss.argmin()), count))
        return good[picked[np.argsort(miss[picked], kind="stable")]]


def _ink(bits: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return bits.astype(np.uint8) * 255
