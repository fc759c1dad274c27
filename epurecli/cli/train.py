"""`epure train`."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from epurecli.cli import console
from epurecli.errors import EpureError, NotFound, UsageError

if TYPE_CHECKING:
    import torch

    from epurecli.config import RunConfig
    from epurecli.data.dataset import Dataset
    from epurecli.models.base import GenerativeModel
    from epurecli.train.ranks import Ranks

FLOW_SHARE = 0.25  # of --budget, for fitting the flow prior where there is one
EPURE_CSV = Path("data/epure/performances.csv")
EPOCHS = re.compile(r"training(\.\w+)?\.epochs=")  # the one key that may change when a run goes on


def train(
    model: Annotated[str, typer.Argument(help="What to train; `epure models` lists them.")],
    config: Annotated[str | None, typer.Option(help="A YAML file, or the name of a shipped config.")] = None,
    data: Annotated[Path | None, typer.Option(help="A folder of designs; overrides the config's data section.")] = None,
    set_: Annotated[list[str], typer.Option("--set", help="Override a key: training.lr=3e-4 (repeatable).")] = [],  # noqa: B006
    budget: Annotated[
        str | None, typer.Option(help="Train for this long, such as 180s or 3m, whatever the config's epochs.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Overrides training.seed.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0, ...")] = "auto",
    devices: Annotated[
        str | None,
        typer.Option(help="Processes that train together: a number, or auto for one a GPU. A batch stays as large."),
    ] = None,
    num_nodes: Annotated[
        int, typer.Option(min=1, help="Machines; each runs the same command (MASTER_ADDR, NODE_RANK; or torchrun).")
    ] = 1,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Refuse operations that may differ from run to run (on GPUs).")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for runs (default: the config's paths.output_dir).")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Continue this run with its own config (more epochs: --set training.epochs=N)."),
    ] = None,
    init_from: Annotated[
        Path | None, typer.Option(help="Start a new run from these weights (run folder or file).")
    ] = None,
    stage: Annotated[
        int | None,
        typer.Option(min=1, help="Train this stage only; a later one starts from the newest run of the one before."),
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard events.")] = False,
) -> None:
    """Train a model; the run folder it makes is what `epure sample` takes.

    Without --config and --data: the EPURE data set with the plan's config where data/epure is found, otherwise the
    built-in toy tyres with the toy config.
    """
    from epurecli.cli.ranks import follow_quietly, joined
    from epurecli.models.registry import room_of

    room_of(model)
    follow_quietly()
    if resume is not None:
        given = {
            "--config": config,
            "--data": data,
            "--set": [t for t in set_ if not EPOCHS.match(t)],
            "--seed": seed,
            "--out": out,
            "--init-from": init_from,
            "--budget": budget,
            "--stage": stage,
            "--deterministic": deterministic or None,
        }
        clash = [flag for flag, value in given.items() if value not in (None, [])]
        if clash:
            raise UsageError(
                f"--resume continues a run as it was configured; {', '.join(clash)} cannot be given with it"
            )
    else:
        extra = ["training.deterministic=true"] if deterministic else []
        resolved = resolve(model, config, data, [*set_, *extra], budget, seed)

    from epurecli import checkpoint
    from epurecli.cli.options import parse_device
    from epurecli.config import dump_config, load_config
    from epurecli.models.registry import schema_of

    where = parse_device(device)
    if resume is not None:
        facts = checkpoint.read_run(resume)
        if facts["model"] != model:
            raise UsageError(f"{resume} is a run of {facts['model']}, not of {model}")
        resolved = load_config(resume / "config.yaml", schema_of, set_)
        if set_:  # more epochs
            checkpoint.write_atomic(resume / "config.yaml", dump_config(resolved).encode())
    with joined(devices, num_nodes, where) as (ranks, where):
        run_training(resolved, where, out, resume, init_from, tensorboard, stage, ranks)


def resolve(
    model: str,
    config: str | None,
    data: Path | None,
    overrides: list[str],
    budget: str | None = None,
    seed: int | None = None,
) -> RunConfig:
    """The config of a new run: decides between the plan's and the toy's, and says which and why."""
    from epurecli.cli.options import data_section, parse_seconds
    from epurecli.config import load_config
    from epurecli.models.registry import schema_of

    sections = {}
    if data is not None:
        sections["data"] = data_section(data)
    if config is None:
        real = data is None and EPURE_CSV.is_file()
        config = f"{model}_epure_full" if real else f"{model}_toy"
        if data is not None:
            console.note(f"config {config} (shipped) on {data}")
        elif real:
            console.note(f"config {config}: found {EPURE_CSV}")
        else:
            console.note(
                f"config {config} on the built-in toy tyres: there is no {EPURE_CSV} here (--data DIR takes a folder)"
            )
    extra = list(overrides)
    if seed is not None:
        extra += [f"training.seed={seed}"]
    resolved = load_config(config, schema_of, extra, sections)
    seconds = parse_seconds(budget)
    if seconds is not None:
        resolved = with_budget(resolved, seconds)
    if resolved.model.type != model:
        raise UsageError(f"{config} configures a {resolved.model.type}, not a {model}")
    return resolved


def with_budget(config: RunConfig, seconds: float) -> RunConfig:
    """The same run, made to last this long; the fit of its flow prior, where there is one, takes a share of it."""
    prior = config.model.latent_prior
    flow = FLOW_SHARE * seconds if prior.kind == "flow" else None
    prior = prior.model_copy(update={"budget_s": flow})
    training = config.training.model_copy(update={"budget_s": seconds - (flow or 0.0)})
    model = config.model.model_copy(update={"latent_prior": prior})
    return config.model_copy(update={"model": model, "training": training})


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
    from epurecli.cli.progress import TrainingProgress, bar, counting
    from epurecli.data.dataset import open_dataset
    from epurecli.models.registry import build
    from epurecli.train.loop import Run, Stopped
    from epurecli.train.loop import train as fit
    from epurecli.train.metrics import plot_curves
    from epurecli.train.ranks import Ranks

    ranks = ranks or Ranks()
    with ranks.first(), counting() as report:
        dataset = open_dataset(resolved.data, report)
    _check_fits(resolved, dataset)
    console.note(
        f"data: {dataset.source}: {len(dataset.train):,} designs to train, {len(dataset.test):,} to test; "
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
    if only_stage is not None:
        _before_stage(model, only_stage, out or resolved.paths.output_dir, dataset)
    total = sum(p.numel() for p in model.parameters())
    together = f", {ranks.count} processes" if ranks.count > 1 else ""
    console.note(f"model: {resolved.model.type}, {total / 1e6:.2f} M parameters, on {device}{together}")
    _check_shares(model, dataset, ranks.count)
    writer = _tensorboard(tensorboard and ranks.writes)
    if resume is not None:
        folder = resume
        found = checkpoint.read_run(folder)["data"]["digest"]
        if found != dataset.digest:
            raise UsageError(
                f"{folder}: the data has changed since this run began", hint="start a new run instead of --resume"
            )
        if not (folder / "state.safetensors").is_file():
            raise NotFound(f"{folder}: there is no state.safetensors to resume from")
    else:
        parent = out or resolved.paths.output_dir
        folder = ranks.agree_on(checkpoint.start_run(resolved, dataset, parent, ranks.count) if ranks.writes else None)
    torch.use_deterministic_algorithms(resolved.training.deterministic)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS wants to see for that
    autocast = device.type == "cuda" if resolved.training.precision == "auto" else resolved.training.precision == "bf16"
    events = writer(str(folder / "tensorboard")) if writer else None
    began = time.monotonic()
    with bar() as progress, stopping() as stop_requested:
        reporter = TrainingProgress(progress, events)
        run = Run(model, dataset, folder, resolved.training.seed, device, autocast, reporter, ranks)
        try:
            only = None if only_stage is None else only_stage - 1
            fit(run, resume=resume is not None, only_stage=only, stop_requested=stop_requested)
        except Stopped:
            progress.stop()
            console.note(f"stopped; continue with: epure train {resolved.model.type} --resume {folder}")
            raise typer.Exit(stop_requested.code if ranks.writes else 0) from None
        except RuntimeError as error:
            if ranks.count == 1:
                raise
            raise EpureError(
                f"training ended in process {ranks.index} of {ranks.count}: {str(error).splitlines()[0]}",
                hint=f"continue from the last saved state: epure train {resolved.model.type} --resume {folder}",
            ) from error
    if not ranks.writes:
        return folder
    if events is not None:
        events.close()
    rows = checkpoint.read_metrics(folder)
    plot_curves(rows, folder / "curves.png")
    facts = checkpoint.read_run(folder)
    console.note(
        f"trained in {time.monotonic() - began:.0f} s; best epoch {facts['best_epoch']}, loss {facts['best']:.4g}"
    )
    console.say(f"run: {folder}")
    console.note(f"next: epure sample {resolved.model.type}   (curves: {folder / 'curves.png'})")
    return folder


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
    if not len(dataset.test):
        raise UsageError(
            "the data has no test designs: which epoch is best could not be told", hint="epure data check DIR"
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
            "--tensorboard needs the tensorboard package", hint="pip install 'epure[tensorboard]'"
        ) from None
    return SummaryWriter


class StopFlag:
    """Set by the first Ctrl-C or SIGTERM; a second Ctrl-C stops at once."""

    code = 0

    def __call__(self) -> bool:
        return self.code != 0

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
