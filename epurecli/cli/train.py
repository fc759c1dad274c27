"""`epure train`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from epurecli.cli.completion import config_names, model_names, run_folders
from epurecli.errors import UsageError

EPOCHS = re.compile(r"training(\.\w+)?\.epochs=")  # the one key that may change when a run goes on


def train(
    model: Annotated[str, typer.Argument(help="What to train; `epure models` lists them.", autocompletion=model_names)],
    config: Annotated[
        str | None, typer.Option(help="A YAML file, or the name of a shipped config.", autocompletion=config_names)
    ] = None,
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
        typer.Option(
            help="Continue this run with its own config (more epochs: --set training.epochs=N).",
            autocompletion=run_folders,
        ),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(help="Start a new run from these weights (run folder or file).", autocompletion=run_folders),
    ] = None,
    stage: Annotated[
        int | None,
        typer.Option(min=1, help="Train this stage only; a later one starts from the newest run of the one before."),
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard events.")] = False,
    mlflow: Annotated[
        bool, typer.Option("--mlflow", help="Also tell MLflow: MLFLOW_TRACKING_URI, or mlflow.db here.")
    ] = False,
) -> None:
    """Train a model; the run folder it makes is what `epure sample` takes.

    Without --config and --data: the EPURE data set with the plan's config where data/epure is found, otherwise the
    built-in toy tyres with the toy config.
    """
    from epurecli.cli.ranks import follow_quietly, joined
    from epurecli.models.registry import entry_of

    entry_of(model)
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

    from epurecli import checkpoint
    from epurecli.api.engines import parse_device
    from epurecli.api.training import Start, resolve
    from epurecli.cli.progress import listening
    from epurecli.cli.training import show_training
    from epurecli.config import load_config
    from epurecli.models.registry import schema_of
    from epurecli.training.ranks import TrainingRanks

    if resume is None:
        extra = ["training.deterministic=true"] if deterministic else []
        with listening() as listener:
            resolved = resolve(model, config, data, [*set_, *extra], budget, seed, listener)
    where = parse_device(device)
    if resume is not None:
        facts = checkpoint.read_run(resume)
        if facts["model"] != model:
            raise UsageError(f"{resume} is a run of {facts['model']}, not of {model}")
        resolved = load_config(resume / "config.yaml", schema_of, set_)
    start = Start(out=out, resume=resume, init_from=init_from, stage=stage)
    with joined(devices, num_nodes, where, TrainingRanks, "training") as (ranks, where):
        show_training(resolved, where, start, ranks, tensorboard=tensorboard, mlflow=mlflow)
