"""Why no design answers a brief: which constraint stands in the way, and what would open it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from epurecli.design.brief import Constraint, Goals
from epurecli.design.search import Pool, Search
from epurecli.errors import Infeasible

_TRIED = 32  # acceptable designs, among which the nearest is taken


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
        reached = search.run(relaxed, _TRIED)
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
    values = pool.predicted.value
    met = goals.violation(values) == 0
    but, hint = "", ""
    if (met & pool.valid).any():
        near = int(pool.distance[met & pool.valid].min())
        but = (
            f" (designs that meet all of it differ by {near} px or more from every training design, real designs by at "
        )
        but += f"most {search.known.furthest}: what is predicted for them cannot be trusted)"
        hint = "; or see them all the same: --extrapolate"
    elif met.any():
        but = " (designs that seem to meet all of it cannot be built: parts in pieces, gaps, ragged borders)"
    opened = relaxations(search, goals, pool)
    if not opened:
        nearest = values[[goals.violation(values).argmin()]]
        excess = goals.excess(nearest)[0]
        order = [j for j in np.argsort(-excess) if excess[j] > 0]
        missed = [f"{goals.constraints[j].text} (got {nearest[0, goals.constraints[j].index]:.4g})" for j in order]
        told = f"; the nearest misses {', '.join(missed)}" if missed else ""
        return Infeasible(
            f"no design meets the brief, nor all of its wishes but one{told}{but}", f"relax two of them or more{hint}"
        )
    binding, *rest = opened
    ways = [f"{binding.constraint.text}: {binding.reachable:.4g}"]
    ways += [f"{r.constraint.text}: {r.reachable:.4g}" for r in rest]
    return Infeasible(
        f"no design meets the brief: {binding.constraint.text} stands in the way; with all else met, "
        f"the nearest is {binding.reachable:.4g}{but}",
        f"relax one of these to what can be reached: {'; or '.join(ways)}{hint}",
    )
