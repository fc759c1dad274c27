"""Many trainings, each a process of `epure train`, as the command line shows them: what runs, and what has come out."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from epurecli.cli import console
from epurecli.cli.children import Command, Ended, run_beside
from epurecli.errors import EpureError

if TYPE_CHECKING:
    from rich.progress import Progress

    from epurecli.api.comparing import Standing, Training

_EPOCH = re.compile(r"epoch +(?P<number>\d+) .*?(?P<speed>\S+ designs/s)")  # as `epure train` says it


def train_all(trainings: Sequence[Training], jobs: int, device: str) -> list[Path]:
    """The finished run of each training, in order: one that stands, or a new one.

    Args:
        jobs: how many run beside each other.

    Raises:
        UsageError: another process is at one of them; nothing was started.
        EpureError: some of them failed; all others were trained.
        typer.Exit: it was asked to stop; what ran has saved where it stood.
    """
    from epurecli.api.comparing import standing
    from epurecli.cli.progress import bar
    from epurecli.cli.training import stopping

    found = [standing(training) for training in trainings]
    for training, run in zip(trainings, found, strict=True):
        if run is not None:
            console.note(_result(training, run.folder) if run.finished else f"{training}: goes on with {run.folder}")
    missing = [(t, run) for t, run in zip(trainings, found, strict=True) if run is None or not run.finished]
    with tempfile.TemporaryDirectory() as folder, bar() as progress, stopping() as stop_requested:
        commands = {
            _command(training, run, device, Path(folder) / f"{i}.yaml"): training
            for i, (training, run) in enumerate(missing)
        }
        watcher = _Watcher(progress, commands)
        done = run_beside(list(commands), jobs, watcher, stop_requested)
    if not done:
        raise typer.Exit(stop_requested())
    if watcher.faults:
        some = f"{len(watcher.faults)} of {len(trainings)} trainings failed:"
        raise EpureError(
            "\n".join((some, *watcher.faults)), hint="the others are kept; the same command tries these again"
        )
    return [_finished(training) for training in trainings]


def _command(training: Training, run: Standing | None, device: str, config: Path) -> Command:
    """What trains it; the whole config is written to the file that `config` names."""
    from epurecli.config import dump_config

    model = training.config.model.type
    if run is not None:
        return Command(str(training), ("train", model, "--resume", str(run.folder), "--device", device))
    config.write_text(dump_config(training.config), encoding="utf-8")
    return Command(str(training), ("train", model, "--config", str(config), "--device", device))


def _finished(training: Training) -> Path:
    """Raises: EpureError: there is no finished run."""
    from epurecli.api.comparing import standing

    run = standing(training)
    if run is None or not run.finished:
        raise EpureError(
            f"{training}: no finished run under {training.config.paths.output_dir}", hint="was it removed?"
        )
    return run.folder


def _result(training: Training, folder: Path) -> str:
    """One line: what came of it."""
    from epurecli.api.cost import training_cost

    cost = training_cost(folder)
    figures = f"loss {cost.best:.4g}, {cost.epochs} epochs, {cost.designs_per_s:,.0f} designs/s, {cost.seconds:.0f} s"
    return f"{training}: {figures}   {folder}"


class _Watcher:
    """Shows how far the trainings are; a line for each that has ended."""

    def __init__(self, progress: Progress, commands: Mapping[Command, Training]) -> None:
        self._progress, self._trainings = progress, commands
        self._all = progress.add_task("trainings", total=len(commands), extra="", visible=len(commands) > 0)
        self._tasks: dict[Command, Any] = {}
        self.faults: list[str] = []

    def began(self, command: Command) -> None:
        console.note(f"{command.name}: training ({len(self._tasks) + 1} of {len(self._trainings)})")
        self._tasks[command] = self._progress.add_task(command.name, total=None, extra="")

    def said(self, command: Command, line: str) -> None:
        found = _EPOCH.match(line)
        if found and command in self._tasks:
            self._progress.update(self._tasks[command], completed=int(found["number"]), extra=found["speed"])

    def ended(self, how: Ended) -> None:
        self._progress.update(self._tasks[how.command], visible=False)
        self._progress.advance(self._all)
        if how.code and how.stopped:
            console.note(f"{how.command.name}: stopped")
        elif how.code:
            self.faults.append(f"{how.command.name}: {how.fault}")
            console.warn(self.faults[-1])
        else:
            training = self._trainings[how.command]
            console.note(_result(training, _finished(training)))
