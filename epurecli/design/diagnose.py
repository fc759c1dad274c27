"""Why no design answers a brief: which constraint stands in the way, and what would open it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from epurecli.design.brief import Constraint, Goals
from epurecli.design.search import Pool, Search
from epurecli.errors import Infeasible


@dataclass(frozen=True, slots=True)
class Relaxation:
    """What giving up one constraint would open."""

    constraint: Constraint
    reachable: float  # the value nearest to what was wanted, of designs that meet all the rest
    excess: float  # by which that misses it, in standard deviations


def relaxations(search: Search, goals: Goals, pool: Pool) -> tuple[Relaxation, ...]:
    """For each constraint, the nearest to it that designs come which meet all others; the least sacrifice first. Those
    without which there is no design either are left out.

    Args:
        pool: what was found in vain.
    """
    found = []
    for constraint in goals.constraints:
        rest = tuple(c for c in goals.constraints if c is not constraint)
        values = pool.predicted.value
        others = replace(goals, constraints=rest, objectives=())
        nearest = values[others.violation(values).argmin(), constraint.index]
        towards = 1 if nearest < constraint.low else -1
        relaxed = replace(goals, constraints=rest, objectives=((constraint.index, towards),))
        reached = search.run(relaxed, 1)
        good = search.acceptable(relaxed, reached)
        if not good.any():
            continue
        reachable = reached.predicted.value[good, constraint.index]
        away = np.maximum(constraint.low - reachable, reachable - constraint.high)
        best = int(away.argmin())
        excess = float(max(away[best], 0) / goals.scale[constraint.index])
        found.append(Relaxation(constraint, float(reachable[best]), excess))
    return tuple(sorted(found, key=lambda r: r.excess))


def infeasible(search: Search, goals: Goals, pool: Pool) -> Infeasible:
    """The reason, as an error for people."""
    met = goals.violation(pool.predicted.value) == 0
    if (met & pool.valid).any():
        near = int(pool.distance[met & pool.valid].min())
        return Infeasible(
            f"designs that meet the brief differ by {near} px or more from every training design, real designs by at "
            f"most {search.known.furthest}: what is predicted for them cannot be trusted",
            "ask for something nearer to the data, or see them all the same: --extrapolate",
        )
    if met.any():
        return Infeasible(
            f"of the {int(met.sum())} designs found that meet the brief none can be built: parts in pieces, gaps or "
            "overlaps",
            "ask for less at once, or train the model for longer",
        )
    opened = relaxations(search, goals, pool)
    if not opened:
        nearest = pool.predicted.value[[goals.violation(pool.predicted.value).argmin()]]
        excess = goals.excess(nearest)[0]
        order = [j for j in np.argsort(-excess) if excess[j] > 0]
        missed = [f"{goals.constraints[j].text} (got {nearest[0, goals.constraints[j].index]:.4g})" for j in order]
        return Infeasible(
            f"no design meets the brief, nor all but one of its wishes; the nearest misses {', '.join(missed)}",
            "relax two of them or more",
        )
    binding, *rest = opened
    also = "".join(f"; or {r.constraint.text}: {r.reachable:.4g}" for r in rest)
    return Infeasible(
        f"no design meets the brief: {binding.constraint.text} stands in the way; with all else met, "
        f"the nearest is {binding.reachable:.4g}",
        f"relax one of these to what can be reached: {binding.constraint.text}: {binding.reachable:.4g}{also}",
    )
