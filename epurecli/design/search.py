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
from epurecli.design.vary import can_vary, vary
from epurecli.listener import QUIET, Listener

_AS_GOOD = 0.25  # standard deviations: of one objective, what is no worse than the best
_MERIT = 0.3  # of an objective, against a violation, where candidates to refine are chosen
_SPREAD = 6  # candidates for each that is refined, among which those that differ are found
_FEWEST_JUDGED, _BEST_JUDGED = 64, 512  # candidates that are looked at in any case; of the best by the objectives
_CHOICE = 3  # designs for each that is wanted, at least, among which those that differ are found


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to search. Counts are of one round; a round follows where the last one has found too few."""

    proposals: int = 512  # a multiple of what is drawn at once on any device
    refined: int = 40  # designs whose noise is moved along the gradient
    steps: int = 30
    rounds: int = 3
    varied: int = 0  # designs of which, from the second round on, parts are drawn anew


QUICK = Effort()
IN_STEPS = Effort(proposals=256, refined=0, varied=8, rounds=4)  # a draw of many steps costs as much as many draws


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
        return Pool(self.candidates[rows], self.predicted[rows], self.valid[rows], self.distance[rows])


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
        found, predicted = None, None
        for turn in range(effort.rounds):
            self.listener.progress("searching", turn, effort.rounds)
            numbers = range(turn * effort.proposals, (turn + 1) * effort.proposals)
            if found is not None and predicted is not None and self._varies(found):
                start = found[self.shortlist(goals, found, predicted, effort.varied)]
                new = vary(self.trained, start, numbers, self.seed, self.given)
            else:
                new = propose(self.trained, goals, values, numbers, self.seed, self.given)
            told = self.predictor(new.bits)
            if found is not None and predicted is not None:
                new, told = found + new, predicted + told
            found, predicted = new, told
            if effort.refined:
                fresh = np.flatnonzero(~np.isin(found.number, found.number[found.refined]))
                start = found[fresh[self.shortlist(goals, found[fresh], predicted[fresh], effort.refined)]]
                asked = self.predictor, goals, start, self.seed, self.given, effort.steps, self.known.valid
                better = refine(self.trained, *asked)
                if better is not None:
                    better = better[better.refined]
                    found, predicted = found + better, predicted + self.predictor(better.bits)
            pool = self.judged(goals, found, predicted)
            if self.acceptable(goals, pool).sum() >= enough:
                break
        self.listener.progress("searching", effort.rounds, effort.rounds)
        return pool

    def in_order_of(self, goals: Goals) -> NDArray[np.float64]:  # (M, K)
        """Figures of the known designs in the goals' columns."""
        places = [self.known.columns.index(name) for name in goals.columns]
        return self.known.values[:, places]

    def _varies(self, found: Candidates) -> bool:
        return self.effort.varied > 0 and can_vary(self.trained, found.bits.shape[1], self.given)

    def shortlist(self, goals: Goals, found: Candidates, predicted: Predictions, count: int) -> NDArray[np.intp]:
        """Candidates to make better: the nearest to what is wanted, and that differ."""
        violation, merit = goals.violation(predicted.value), goals.merit(predicted.value)
        score = violation + goals.miss(predicted.value)
        if merit.shape[1]:
            score = score - _MERIT * merit.max(1) * (violation < 1)
        near = np.argsort(score, kind="stable")[: _SPREAD * count]
        return near[farthest(found.bits[near], 0, count)] if len(near) else near

    def judged(self, goals: Goals, found: Candidates, predicted: Predictions) -> Pool:
        """Whether candidates can be built, of those that meet the goals or nearly; the others are left out."""
        violation = goals.violation(predicted.value)
        rows = np.argsort(violation, kind="stable")[: max(_FEWEST_JUDGED, 4 * self.effort.refined)]
        met = np.flatnonzero(violation == 0)
        if goals.objectives and len(met):
            merit = goals.merit(predicted.value[met])
            best = np.argsort(-merit.sum(1))[:_BEST_JUDGED]
            rows = np.concatenate([rows, met[non_dominated(merit)], met[best]])
        rows = np.unique(rows)
        kept = found[rows]
        return Pool(kept, predicted[rows], self.known.valid(kept.bits), self.known.distance(kept.bits))

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
