"""Training: checks first, then the loop, then the run folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from epurecli import checkpoint
from epurecli.api.engines import parse_device
from epurecli.api.run import Run
from epurecli.config import RunConfig, dump_config, load_config
from epurecli.data.dataset import Dataset, open_dataset
from epurecli.data.source import infer_data, tell
from epurecli.errors import NotFound, UsageError
from epurecli.files import Lock, write_atomic
from epurecli.listener import QUIET, Listener
from epurecli.models.contract import GenerativeModel
from epurecli.models.registry import REGISTRY, build, schema_of
from epurecli.models.size import check_batch
from epurecli.threads import Threads
from epurecli.training.job import TrainingJob
from epurecli.training.loop import in_bfloat16, never
from epurecli.training.loop import train as fit
from epurecli.training.metrics import plot_curves
from epurecli.training.ranks import TrainingRanks
from epurecli.training.reporter import Reporter, Silent

EPURE_CSV = Path("data/epure/performances.csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where a run begins, and where it goes."""

    out: Path | None = None  # folder for runs (default: the config's)
    resume: Path | None = None  # go on with this run
    init_from: Path | None = None  # weights of another run
    stage: int | None = None  # this stage only, counted from 1


def train(
    config: str | Path,
    data: str | Path | None = None,
    *,
    settings: Sequence[str] = (),
    budget: str | float | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    reporter: Reporter | None = None,
    listener: Listener = QUIET,
) -> Run:
    """Train a model as `epure train` does, in this process; its run folder stays.

    Args:
        config: a YAML file, the name of a shipped config (`"vae_toy"`), or a model's name, for its usual one.
        data: a folder of designs (default: the config's data).
        settings: overrides of the config, as `--set`: `["training.lr=3e-4"]`.
        budget: train for this long instead of for the config's epochs: seconds, or `"3m"`.
        seed: of initial weights, order and noise.
        out: folder for runs (default: the config's).
        reporter: is told of stages, steps and epochs.
        listener: is told of the work before and after.

    Raises:
        ConfigError, NotFound, DataError: of config and data; nothing is written then.
        NumericalError: the loss left the finite numbers; the last good checkpoints are kept.
    """
    time = None if budget is None else str(budget)
    folder = None if data is None else Path(data)
    if str(config) in REGISTRY:
        resolved = resolve(str(config), None, folder, settings, time, seed, listener)
    else:
        model = load_config(config, schema_of).model.type
        resolved = resolve(model, config, folder, settings, time, seed, listener)
    start = Start(out=None if out is None else Path(out))
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
        path = run_training(
            resolved, parse_device(device), start, watch=lambda folder: reporter or Silent(), listener=listener
        )
    return Run(checkpoint.load_model(path), device, listener)


def run_training(
    resolved: RunConfig,
    device: torch.device,
    start: Start = Start(),
    *,
    ranks: TrainingRanks | None = None,
    watch: Callable[[Path], Reporter] = lambda folder: Silent(),
    listener: Listener = QUIET,
    stop_requested: Callable[[], int] = never,
) -> Path:
    """Train as configured; returns the run folder.

    Args:
        watch: makes, of the run folder, who is told of stages, steps and epochs.

    Raises:
        UsageError, NotFound: what does not go together; nothing is written then.
        NumericalError: the loss left the finite numbers.
        Stopped: `stop_requested` said so; the state is saved.
    """
    ranks = ranks or TrainingRanks()
    with ranks.first():
        dataset, model = open_training(resolved, device, start, ranks.count, listener)
    folder = start.resume
    if folder is None and ranks.writes:
        folder = checkpoint.start_run(resolved, dataset, start.out or resolved.paths.output_dir, ranks.count)
    folder = ranks.folder = ranks.agree_on(folder)
    assert folder is not None
    torch.use_deterministic_algorithms(resolved.training.deterministic)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS wants to see for that
    autocast = in_bfloat16(resolved.training.precision, device)
    # Two commands that go on with one run would overwrite each other's state.
    with Lock(folder / ".lock", str(folder)) if ranks.writes else nullcontext():
        if start.resume is not None and ranks.writes:  # more epochs, now that nothing is refused any more
            write_atomic(folder / "config.yaml", dump_config(resolved).encode())
        threads = Threads(fixed=resolved.training.deterministic or ranks.count > 1)
        seed, reporter = resolved.training.seed, watch(folder)
        job = TrainingJob(model, dataset, folder, seed, device, autocast, reporter, ranks, threads)
        only = None if start.stage is None else start.stage - 1
        fit(job, resume=start.resume is not None, only_stage=only, stop_requested=stop_requested)
        if ranks.writes:
            plot_curves(checkpoint.read_metrics(folder), folder / "curves.png", model.stages())
    return folder


def resolve(
    model: str,
    config: str | Path | None = None,
    data: Path | None = None,
    overrides: Sequence[str] = (),
    budget: str | None = None,
    seed: int | None = None,
    listener: Listener = QUIET,
) -> RunConfig:
    """The config of a new run: decides between the plan's and the toy's, and says which and why.

    Raises: NotFound, ConfigError, DataError; UsageError: a config of another model.
    """
    sections, extra = {}, []
    if data is not None:
        sections["data"] = infer_data(data, overrides, listener)
        extra.append("model.cond_dim=null")  # what a file states is of its own columns
    if config is None:
        real = data is None and EPURE_CSV.is_file()
        config = f"{model}_epure_full" if real else f"{model}_toy"
        if data is not None:
            listener.note(f"config {config} (shipped) on {data}")
        elif real:
            listener.note(f"config {config}: found {EPURE_CSV}")
        else:
            listener.note(
                f"config {config} on the built-in toy tyres: there is no {EPURE_CSV} here (--data DIR takes a folder)"
            )
    extra += overrides
    if seed is not None:
        extra += [f"training.seed={seed}"]
    if budget is not None:
        extra += [f"training.budget_s={parse_seconds(budget)}"]
    resolved = load_config(config, schema_of, extra, sections)
    if resolved.model.type != model:
        raise UsageError(f"{config} configures a {resolved.model.type}, not a {model}")
    return resolved


def parse_seconds(text: str) -> float:
    """`180`, `180s`, `3m`, `2h` in seconds. Raises: UsageError."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1]) if text[-1:] in units else (text, "s")
    try:
        seconds = float(number) * units[unit]
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--budget {text}: expected a time such as 180s, 3m or 2h")
    return seconds


def open_training(
    resolved: RunConfig, device: torch.device, start: Start = Start(), processes: int = 1, listener: Listener = QUIET
) -> tuple[Dataset, GenerativeModel]:
    """Data and an untrained model: all that may be refused before anything is written. Seeds torch's generator.

    Raises: UsageError, NotFound, ConfigError, DataError.
    """
    dataset = open_dataset(resolved.data, listener.progress)
    tell(dataset, listener)
    _check_fits(resolved, dataset)
    listener.note(
        f"data: {dataset.source}: {len(dataset.train):,} designs to train, "
        f"{len(dataset.validation):,} to validate, {len(dataset.test):,} to test; "
        f"{', '.join(dataset.components)}"
    )
    torch.manual_seed(resolved.training.seed)  # initial weights; everything later has generators of its own
    model = build(resolved)
    dataset = _trainable(model, dataset, listener)
    if start.init_from is not None:
        source = start.init_from / "best.safetensors" if start.init_from.is_dir() else start.init_from
        checkpoint.load_weights(model, source)
        listener.note(f"starting from the weights of {source}")
    if start.resume is None:
        model.load_pretrained()
    else:
        _check_resumes(start.resume, dataset)
    if start.stage is not None:
        _before_stage(model, start.stage, start.out or resolved.paths.output_dir, dataset, listener)
    _check_shares(model, dataset, processes)
    largest = max(stage.settings.batch_size for stage in model.stages() if stage.encode is None)
    check_batch(min(largest, len(dataset.train)), len(dataset.components), dataset.image_size)
    total = sum(p.numel() for p in model.parameters())
    together = f", {processes} processes" if processes > 1 else ""
    listener.note(f"model: {resolved.model.type}, {total / 1e6:.2f} M parameters, on {device}{together}")
    return dataset, model


def _trainable(model: GenerativeModel, dataset: Dataset, listener: Listener) -> Dataset:
    """The data without the designs that lack a component, where the model cannot learn from them."""
    train, validation = dataset.whole(dataset.train), dataset.whole(dataset.validation)
    left_out = len(dataset.train) + len(dataset.validation) - len(train) - len(validation)
    if model.learns_from_parts or not left_out:
        return dataset
    if not len(train) or not len(validation):
        raise UsageError(f"{model.config.model.type} trains on whole designs, and the data has too few of them")
    listener.warn(f"{left_out:,} designs that lack components are left out: this model trains on whole ones")
    return replace(dataset, train=train, validation=validation)


def _check_resumes(folder: Path, dataset: Dataset) -> None:
    if checkpoint.read_run(folder)["data"]["digest"] != dataset.digest:
        raise UsageError(
            f"{folder}: the data has changed since this run began", hint="start a new run instead of --resume"
        )
    if not (folder / "state.safetensors").is_file():
        raise NotFound(f"{folder}: there is no state.safetensors to resume from")


def _before_stage(model: GenerativeModel, number: int, parent: Path, dataset: Dataset, listener: Listener) -> None:
    """Weights of the stage before, from the newest run that has them on the same data."""
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
            hint=f"train it first: the same command with --stage {number - 1}",
        )
    checkpoint.load_weights(model, path)
    listener.note(f"stage {number} ({names[number - 1]}) starts from {path}")


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
