"""Progress on stderr: a bar on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from epurecli.cli import console

if TYPE_CHECKING:
    from epurecli.training.reporter import StagePlan


def bar() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[extra]}"),
    )
    return Progress(*columns, console=console.err, disable=not console.interactive(), transient=True)


class Shown:
    """A `Listener` that shows what it is told: notes, warnings, and a bar for each piece of work."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def note(self, text: str) -> None:
        console.note(text)

    def warn(self, text: str) -> None:
        console.warn(text)

    def progress(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, extra="")
        self._progress.update(self._tasks[what], completed=done, total=total)


class Once:
    """A `Listener` that hands on what it has not been told before."""

    def __init__(self, listener: Shown) -> None:
        self._listener, self._told = listener, set[str]()

    def note(self, text: str) -> None:
        if self._is_new(text):
            self._listener.note(text)

    def warn(self, text: str) -> None:
        if self._is_new(text):
            self._listener.warn(text)

    def progress(self, what: str, done: int, total: int) -> None:
        self._listener.progress(what, done, total)

    def _is_new(self, text: str) -> bool:
        new = text not in self._told
        self._told.add(text)
        return new


@contextmanager
def listening() -> Iterator[Shown]:
    """Somebody who shows on the terminal what the library tells."""
    with bar() as progress:
        yield Shown(progress)


class TrainingProgress:
    """Shows a run. A `Reporter` of `epurecli.training`."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.task: Any = None

    def stage(self, plan: StagePlan) -> None:
        which = f"stage {plan.index + 1} of {plan.count}: " if plan.count > 1 else ""
        length = f"{plan.budget_s:g} s" if plan.budget_s else f"{plan.epochs} epochs"
        console.note(f"{which}{plan.name}, {length}, {plan.steps_per_epoch} steps an epoch")
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.steps = plan.steps_per_epoch
        total = None if plan.budget_s else plan.epochs * plan.steps_per_epoch
        self.task = self.progress.add_task(plan.name, total=total, extra="")

    def step(self, epoch: int, batch: int) -> None:
        self.progress.update(self.task, completed=epoch * self.steps + batch)

    def epoch(self, row: Mapping[str, float | int | str], improved: bool) -> None:
        from epurecli.training.reporter import terms

        found = terms(row).items()
        shown = "  ".join(f"{k.replace('train_', '').replace('val_', 'val ')} {v:.4g}" for k, v in found)
        line = f"epoch {row['epoch']:>3}  {shown}  {row['designs_per_s']:.0f} designs/s{'  *' if improved else ''}"
        console.note(line)
