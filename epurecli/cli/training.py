"""A training run as the command line shows it: checks first, then progress, then where the results are."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from epurecli.cli import console
from epurecli.errors import NotFound, UsageError

if TYPE_CHECKING:
    import torch

    from epurecli.config import RunConfig
    from epurecli.data.dataset import Dataset
    from epurecli.models.contract import GenerativeModel
    from epurecli.train.ranks import Ranks


def run_training(
    resolved: RunConfig,
    device: torch.device,
    out: Path | None = None,
    resume: Path | None = None,
    init_from: Path | None = None,
    tensorboard: bool = False,
    only_stage: int | None = None,
    ranks: Ranks | None = None,
) -> Path:
    """Train as configured, showing progress; returns the run folder."""
    import torch

    from epurecli import checkpoint
    from epurecli.cli.progress import TrainingProgress, bar
    from epurecli.threads import Threads
    from epurecli.train.job import TrainingJob
    from epurecli.train.loop import Stopped, in_bfloat16
    from epurecli.train.loop import train as fit
    from epurecli.train.metrics import plot_curves
    from epurecli.train.ranks import Ranks

    ranks = ranks or Ranks()
    with ranks.first():
        dataset, model = _opened(resolved, device, out, resume, init_from, only_stage, ranks.count)
    writer = _tensorboard(tensorboard and ranks.writes)
    folder = resume
    if folder is None and ranks.writes:
        folder = checkpoint.start_run(resolved, dataset, out or resolved.paths.output_dir, ranks.count)
    folder = ranks.agree_on(folder)
    torch.use_deterministic_algorithms(resolved.training.deterministic)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS wants to see for that
    autocast = in_bfloat16(resolved.training.precision, device)
    events = writer(str(folder / "tensorboard")) if writer else None
    began = time.monotonic()
    with _in_use(folder, ranks), bar() as progress, stopping() as stop_requested:
        reporter = TrainingProgress(progress, events)
        threads = Threads(fixed=resolved.training.deterministic or ranks.count > 1)
        job = TrainingJob(model, dataset, folder, resolved.training.seed, device, autocast, reporter, ranks, threads)
        try:
            only = None if only_stage is None else only_stage - 1
            fit(job, resume=resume is not None, only_stage=only, stop_requested=stop_requested)
        except Stopped as stopped:
            progress.stop()
            console.note(f"stopped; continue with: epure train {resolved.model.type} --resume {folder}")
            raise typer.Exit(stopped.code if ranks.writes else 0) from None
    if not ranks.writes:
        return folder
    if events is not None:
        events.close()
    rows = checkpoint.read_metrics(folder)
    plot_curves(rows, folder / "curves.png", model.stages())
    facts = checkpoint.read_run(folder)
    console.note(
        f"trained in {time.monotonic() - began:.0f} s; best epoch {facts['best_epoch']}, loss {facts['best']:.4g}"
    )
    console.say(f"run: {folder}")
    console.note(f"next: epure sample {resolved.model.type}   (curves: {folder / 'curves.png'})")
    return folder


def _in_use(folder: Path, ranks: Ranks) -> AbstractContextManager[object]:
    """Two commands that go on with one run would overwrite each other's state. Raises: UsageError."""
    from epurecli.files import Lock

    return Lock(folder / ".lock", str(folder)) if ranks.writes else nullcontext()


def _opened(
    resolved: RunConfig,
    device: torch.device,
    out: Path | None,
    resume: Path | None,
    init_from: Path | None,
    only_stage: int | None,
    processes: int,
) -> tuple[Dataset, GenerativeModel]:
    """All that may be refused before anything is written."""
    import torch

    from epurecli import checkpoint
    from epurecli.cli.progress import counting
    from epurecli.data.dataset import open_dataset
    from epurecli.models.registry import build

    with counting() as report:
        dataset = open_dataset(resolved.data, report)
    _check_fits(resolved, dataset)
    console.note(
        f"data: {dataset.source}: {len(dataset.train):,} designs to train, "
        f"{len(dataset.validation):,} to validate, {len(dataset.test):,} to test; "
        f"{', '.join(dataset.components)}"
    )
    torch.manual_seed(resolved.training.seed)  # initial weights; everything later has generators of its own
    model = build(resolved)
    if init_from is not None:
        source = init_from / "best.safetensors" if init_from.is_dir() else init_from
        checkpoint.load_weights(model, source)
        console.note(f"starting from the weights of {source}")
    if resume is None:
        model.load_pretrained()
    else:
        _check_resumes(resume, dataset)
    if only_stage is not None:
        _before_stage(model, only_stage, out or resolved.paths.output_dir, dataset)
    _check_shares(model, dataset, processes)
    total = sum(p.numel() for p in model.parameters())
    together = f", {processes} processes" if processes > 1 else ""
    console.note(f"model: {resolved.model.type}, {total / 1e6:.2f} M parameters, on {device}{together}")
    return dataset, model


def _check_resumes(folder: Path, dataset: Dataset) -> None:
    from epurecli import checkpoint

    if checkpoint.read_run(folder)["data"]["digest"] != dataset.digest:
        raise UsageError(
            f"{folder}: the data has changed since this run began", hint="start a new run instead of --resume"
        )
    if not (folder / "state.safetensors").is_file():
        raise NotFound(f"{folder}: there is no state.safetensors to resume from")


def _before_stage(model: GenerativeModel, number: int, parent: Path, dataset: Dataset) -> None:
    """Weights of the stage before, from the newest run that has them on the same data."""
    from epurecli import checkpoint

    names = [stage.name for stage in model.stages()]
    kind = model.config.model.type
    if number > len(names):
        raise UsageError(f"--stage {number}: {kind} has {len(names)}: {', '.join(names)}")
    if number == 1:
        return
    path = checkpoint.newest_stage(parent, names[number - 2], dataset.digest)
    if path is None:
        raise NotFound(
            f"no run under {parent} has finished stage {number - 1} ({names[number - 2]}) on this data",
            hint=f"train it: epure train {kind} --stage {number - 1}",
        )
    checkpoint.load_weights(model, path)
    console.note(f"stage {number} ({names[number - 1]}) starts from {path}")


def _check_fits(config: RunConfig, dataset: Dataset) -> None:
    if tuple(dataset.image_size) != tuple(config.model.image_size):
        raise UsageError(
            f"the images are {dataset.image_size[0]}x{dataset.image_size[1]}, "
            f"but model.image_size is {config.model.image_size[0]}x{config.model.image_size[1]} (height x width)",
            hint=f"--set model.image_size=[{dataset.image_size[0]},{dataset.image_size[1]}]",
        )
    if not len(dataset.validation):
        raise UsageError(
            "the data has a single training design: none is left to validate, so which epoch is best could not be told",
            hint="epure data check DIR",
        )


def _check_shares(model: GenerativeModel, dataset: Dataset, count: int) -> None:
    smallest = min(len(dataset.train), *(stage.settings.batch_size for stage in model.stages()))
    if count > smallest:
        raise UsageError(
            f"{count} processes cannot share a batch of {smallest} designs",
            hint="use fewer --devices or a larger batch",
        )


def _tensorboard(wanted: bool):
    if not wanted:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "--tensorboard needs the tensorboard package", hint="pip install 'epurecli[tensorboard]'"
        ) from None
    return SummaryWriter


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
    before = [signal.signal(n, flag.handle) for n in numbers]
    try:
        yield flag
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
