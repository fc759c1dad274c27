"""A training run as the command line shows it: progress, what stops it, then where the results are."""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from epurecli.cli import console

if TYPE_CHECKING:
    import torch

    from epurecli.api.training import Start
    from epurecli.config import RunConfig
    from epurecli.training.ranks import TrainingRanks
    from epurecli.training.reporter import Reporter


def show_training(
    resolved: RunConfig,
    device: torch.device,
    start: Start | None = None,
    ranks: TrainingRanks | None = None,
    *,
    tensorboard: bool = False,
    mlflow: bool = False,
) -> Path:
    """Train as configured, showing progress; returns the run folder."""
    from epurecli import checkpoint
    from epurecli.api.loading import runs_folder
    from epurecli.api.training import Start, run_training
    from epurecli.cli.progress import Shown, TrainingProgress, bar
    from epurecli.training.loop import Stopped
    from epurecli.training.ranks import TrainingRanks
    from epurecli.training.trackers import Several, to_mlflow, to_tensorboard

    start, ranks = start or Start(), ranks or TrainingRanks()
    folder, began = Path(), time.monotonic()
    with bar() as progress, stopping() as stop_requested:
        listener = Shown(progress)
        openers = [to_tensorboard()] if tensorboard and ranks.writes else []
        openers += [to_mlflow(listener)] if mlflow and ranks.writes else []
        try:
            with ExitStack() as opened:

                def watch(made: Path) -> Reporter:
                    nonlocal folder
                    folder = made
                    trackers = [opened.enter_context(opener(made, resolved)) for opener in openers]
                    return Several(TrainingProgress(progress), *trackers)

                run_training(
                    resolved, device, start,
                    ranks=ranks, watch=watch, listener=listener, stop_requested=stop_requested,
                )  # fmt: skip
        except Stopped as stopped:
            progress.stop()
            console.note(
                f"stopped; continue with: epure train {resolved.model.type} --resume {shlex.quote(str(folder))}"
            )
            raise typer.Exit(stopped.code if ranks.writes else 0) from None
    if not ranks.writes:
        return folder
    facts = checkpoint.read_run(folder)
    console.note(
        f"trained in {time.monotonic() - began:.0f} s; best epoch {facts['best_epoch']}, loss {facts['best']:.4g}"
    )
    console.say(f"run: {folder}")
    usual = folder.parent.resolve() == runs_folder(resolved.model.type).resolve()
    chosen = "" if usual else f" --checkpoint {shlex.quote(str(folder))}"
    mode = "" if facts["conditions"]["columns"] else " --mode unconditional"
    console.note(f"next: epure sample {resolved.model.type}{chosen}{mode}   (curves: {folder / 'curves.png'})")
    return folder


class StopFlag:
    """Set by the first Ctrl-C or SIGTERM; a second Ctrl-C stops at once."""

    code = 0

    def __call__(self) -> int:
        return self.code

    def handle(self, number: int, frame: object) -> None:
        if self.code:
            raise SystemExit(128 + number)
        self.code = 128 + number
        console.note("stopping after this step (again: at once) ...")


@contextmanager
def stopping() -> Iterator[StopFlag]:
    """Turns the stop signals into a flag while training runs."""
    flag = StopFlag()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        numbers.append(signal.SIGHUP)
    before = [signal.signal(n, flag.handle) for n in numbers]
    try:
        yield flag
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
