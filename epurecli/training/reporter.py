"""What the loop tells whoever watches. The loop never prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What is known of a stage before it begins."""

    name: str
    index: int  # 0-based
    count: int  # stages in all
    epochs: int
    steps_per_epoch: int
    budget_s: float | None  # trains for this long instead of for `epochs`


class Reporter(Protocol):
    """Receives the events of a run."""

    def stage(self, plan: StagePlan) -> None: ...

    def step(self, epoch: int, batch: int) -> None: ...

    def epoch(self, row: Mapping[str, float | int | str], improved: bool) -> None: ...


class Silent:
    """Watches nothing: for tests and library use."""

    def stage(self, plan: StagePlan) -> None: ...

    def step(self, epoch: int, batch: int) -> None: ...

    def epoch(self, row: Mapping[str, float | int | str], improved: bool) -> None: ...


def terms(row: Mapping[str, float | int | str]) -> dict[str, float]:
    """The losses of an epoch: those in training, and of the validation designs where they were evaluated."""
    return {key: float(value) for key, value in row.items() if key.startswith(("train_", "val_"))}
