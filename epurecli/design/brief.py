"""What is wanted, and how far values are from it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from epurecli.errors import UsageError

_FAR = 1.0  # ranges of the data beyond its ends, from where on nothing is known


class Brief(BaseModel):
    """Figures that are wanted, in raw units, and parts that are kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: dict[str, FiniteFloat] = {}
    range: dict[str, tuple[FiniteFloat, FiniteFloat]] = {}
    at_least: dict[str, FiniteFloat] = {}
    at_most: dict[str, FiniteFloat] = {}
    maximise: tuple[str, ...] = ()
    minimise: tuple[str, ...] = ()
    fix: tuple[str, ...] = ()  # components that are kept as `input` has them
    input: Path | None = None  # folder with the one design that they are taken from
    tolerance: Annotated[FiniteFloat, Field(gt=0)] = 0.1  # of targets, in standard deviations of the column

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str = "the brief") -> Brief:
        """Raises: UsageError: what is not as it should be, by its key."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            hint = f"keys: {', '.join(cls.model_fields)}; figures are finite numbers, a range is [low, high]"
            raise UsageError(f"{where}: {key}: {first['msg']}", hint) from None

    @property
    def yaml(self) -> str:
        """As a file that `epure design --spec` takes."""
        told = self.model_dump(mode="json", exclude_defaults=True)
        return str(yaml.safe_dump(told, sort_keys=False, allow_unicode=True))

    @property
    def text(self) -> str:
        """What is asked for, in words."""
        said = [f"{name} = {value:g}" for name, value in self.target.items()]
        said += [f"{name} from {low:g} to {high:g}" for name, (low, high) in self.range.items()]
        said += [f"{name} at least {value:g}" for name, value in self.at_least.items()]
        said += [f"{name} at most {value:g}" for name, value in self.at_most.items()]
        said += [f"as much {name} as possible" for name in self.maximise]
        said += [f"as little {name} as possible" for name in self.minimise]
        return ", ".join([*said, *([f"keeping {', '.join(self.fix)}"] if self.fix else [])])


@dataclass(frozen=True, slots=True)
class Constraint:
    """low <= value <= high of a column."""

    text: str  # as people say it
    index: int  # of the column
    low: float
    high: float
    target: float | None = None  # what is best within


@dataclass(frozen=True)
class Goals:
    """A brief in terms of columns 0..K - 1. `scale` is the standard deviation of each, in which distances are told."""

    columns: tuple[str, ...]
    scale: NDArray[np.float64]  # (K,)
    constraints: tuple[Constraint, ...]
    objectives: tuple[tuple[int, int], ...]  # column, +1 for more and -1 for less

    @cached_property
    def asked(self) -> tuple[int, ...]:
        """The columns that the brief speaks of."""
        return tuple(sorted({c.index for c in self.constraints} | {index for index, _ in self.objectives}))

    def excess(self, values: NDArray[np.float64]) -> NDArray[np.float64]:  # (B, K) -> (B, J)
        """By how much each constraint is missed, in standard deviations; 0 where it is met."""
        found = [np.maximum(c.low - values[:, c.index], values[:, c.index] - c.high) for c in self.constraints]
        scale = [self.scale[c.index] for c in self.constraints]
        return np.maximum(np.stack(found, 1) / scale, 0) if found else np.zeros((len(values), 0))

    def violation(self, values: NDArray[np.float64]) -> NDArray[np.float64]:  # (B, K) -> (B,)
        """The largest excess; 0 where all constraints are met."""
        return self.excess(values).max(1, initial=0)

    def miss(self, values: NDArray[np.float64]) -> NDArray[np.float64]:  # (B, K) -> (B,)
        """The largest distance from a target, in standard deviations."""
        found = [
            abs(values[:, c.index] - c.target) / self.scale[c.index] for c in self.constraints if c.target is not None
        ]
        return np.max(found, axis=0) if found else np.zeros(len(values))

    def merit(self, values: NDArray[np.float64]) -> NDArray[np.float64]:  # (B, K) -> (B, J)
        """Objectives in standard deviations, more is better."""
        found = [sign * values[:, index] / self.scale[index] for index, sign in self.objectives]
        return np.stack(found, 1) if found else np.zeros((len(values), 0))


def goals_of(
    brief: Brief,
    columns: Sequence[str],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    scale: NDArray[np.float64],
    steps: NDArray[np.float64],
) -> Goals:
    """Settle a brief.

    Args:
        columns: those that can be predicted.
        low, high: (K,) ends of the data.
        scale: (K,) standard deviations.
        steps: (K,) smallest difference of two values of a size that is measured in pixels; 0 elsewhere.

    Raises: UsageError: nothing is asked for, a column that there is not, contradictions, values far beyond the data.
    """
    wanted: list[Constraint] = []
    for name, value in brief.target.items():
        k = _index(name, columns)
        reach = max(brief.tolerance * scale[k], steps[k])
        wanted.append(Constraint(f"{name} = {value:g}", k, value - reach, value + reach, value))
    for name, (start, stop) in brief.range.items():
        if start > stop:
            raise UsageError(f"range {name}={start:g}:{stop:g} is empty", f"write {name}={stop:g}:{start:g}")
        wanted.append(Constraint(f"{name} from {start:g} to {stop:g}", _index(name, columns), start, stop))
    wanted += [Constraint(f"{n} at least {v:g}", _index(n, columns), v, np.inf) for n, v in brief.at_least.items()]
    wanted += [Constraint(f"{n} at most {v:g}", _index(n, columns), -np.inf, v) for n, v in brief.at_most.items()]
    aims = [(_index(n, columns), +1) for n in brief.maximise] + [(_index(n, columns), -1) for n in brief.minimise]
    goals = Goals(tuple(columns), scale, tuple(wanted), tuple(aims))
    if not goals.asked:
        hint = f"for example a target, a range or a bound of one of {', '.join(columns)}"
        raise UsageError("nothing is asked for", hint)
    for k in goals.asked:
        _check_column(
            columns[k], [c for c in wanted if c.index == k], [s for index, s in aims if index == k], low[k], high[k]
        )
    return goals


def _check_column(name: str, wanted: list[Constraint], aims: list[int], low: float, high: float) -> None:
    """Raises: UsageError: what is said of one column does not go together, or with the data."""
    if len(aims) > 1:
        raise UsageError(f"{name} is named twice among what is maximised and minimised")
    if any(c.target is not None for c in wanted) and (len(wanted) > 1 or aims):
        raise UsageError(f"{name} has a target, and something else is asked of it too", "a target says all of a column")
    for one in wanted:
        for other in wanted:
            if one.low > other.high:
                raise UsageError(f"{one.text} and {other.text} contradict each other")
        reach = _FAR * (high - low)
        if one.low > high + reach or one.high < low - reach:
            raise UsageError(
                f"{one.text} lies far beyond the data, where {name} goes from {low:g} to {high:g}",
                "nothing is known there: ask for something nearer",
            )


def _index(name: str, columns: Sequence[str]) -> int:
    if name in columns:
        return columns.index(name)
    near = difflib.get_close_matches(name, columns, n=1)
    raise UsageError(
        f"no column {name!r} that could be predicted" + (f" - did you mean {near[0]!r}?" if near else ""),
        f"there are {', '.join(columns)}",
    )
