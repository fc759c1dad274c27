"""`epure compare`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from epurecli.cli import console
from epurecli.cli.completion import models_and_runs
from epurecli.cli.evaluate import Completions, Nll, NumSamples
from epurecli.cli.options import Device
from epurecli.cli.report import REPORTS, publish
from epurecli.cli.trainings import train_all
from epurecli.errors import UsageError

if TYPE_CHECKING:
    from epurecli.api.comparing import Training


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Models to put side by side (their newest runs), or run folders: those of one model are its seeds. "
            "With --train also configs: vae_toy, my.yaml.",
            autocompletion=models_and_runs,
        ),
    ],
    data: Annotated[Path | None, typer.Option(help="A folder of designs (default: each run's own data).")] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train each model first, once per seed; what stands already is kept.")
    ] = False,
    budget: Annotated[str | None, typer.Option(help="Time limit of each training, such as 180s.")] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the trainings: 0,1,2.")] = "0",
    jobs: Annotated[int, typer.Option(min=1, help="Trainings beside each other, which share the cores.")] = 1,
    set_: Annotated[list[str], typer.Option("--set", help="Override a key of every config (repeatable).")] = [],  # noqa: B006
    num_samples: NumSamples = 500,
    completions: Completions = 3000,
    device: Device = "auto",
    nll: Nll = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the report (default: reports/compare-<n>).")] = None,
) -> None:
    """Put models side by side in one report: mean and spread over seeds, each metric beside what real designs score.

    The same command goes on where it was interrupted: what was trained with the same config, data, seed and budget is
    not trained again, and what was judged is not judged again.
    """
    from epurecli.cli.options import check_out

    check_out(out, REPORTS)
    numbers = _seeds(seeds)
    asked = {"num_samples": num_samples, "completions": completions, "nll": nll}
    if not train:
        _refuse_without_train({"--budget": budget, "--seeds": numbers != [0], "--jobs": jobs > 1, "--set": set_})
        _publish(_known(models), data, device, asked, out)
        return
    if any((Path(what) / "run.json").is_file() for what in models):
        raise UsageError("--train takes models, not run folders", "leave --train out to compare runs that stand")
    trainings = _planned(models, numbers, data, set_, budget, device, nll)
    with _says_how_to_go_on():
        folders = train_all(trainings, jobs, device)
        names = [training.name for training in trainings]
        _publish(list(zip(names, folders, strict=True)), None, device, asked, out, keep=True)


def _seeds(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = [-1]
    if min(numbers) < 0 or len(set(numbers)) != len(numbers):
        raise UsageError(f"--seeds {text}: expected different whole numbers, for example 0,1,2")
    return numbers


def _refuse_without_train(given: dict[str, object]) -> None:
    clash = [flag for flag, value in given.items() if value]
    if clash:
        raise UsageError(f"{', '.join(clash)}: only with --train")


def _known(models: Sequence[str]) -> list[tuple[str, Path | None]]:
    """(model, its run folder where one was named). Raises: UsageError: neither, or one of them twice."""
    from epurecli.checkpoint import read_run
    from epurecli.models.registry import entry_of

    found: list[tuple[str, Path | None]] = []
    for what in models:
        if models.count(what) > 1:
            raise UsageError(f"{what} is named twice", hint="name each model, or each run, once")
        if (Path(what) / "run.json").is_file():
            found.append((read_run(Path(what))["model"], Path(what)))
        else:
            entry_of(what)
            found.append((what, None))
    return found


def _planned(
    models: Sequence[str],
    seeds: Sequence[int],
    data: Path | None,
    settings: Sequence[str],
    budget: str | None,
    device: str,
    nll: bool,
) -> list[Training]:
    """All that may be refused, before anything is trained."""
    from epurecli.api.comparing import plan_trainings
    from epurecli.api.engines import parse_device
    from epurecli.cli.options import check_out
    from epurecli.cli.progress import Once, listening
    from epurecli.models.registry import models_with_a_bound

    with listening() as listener:
        trainings = plan_trainings(models, seeds, data, settings, budget, parse_device(device), Once(listener))
    for training in trainings:
        check_out(None, training.config.paths.output_dir)
        if nll and training.config.model.type not in models_with_a_bound():
            raise UsageError(
                f"--nll: {training.name} has no bound on the likelihood of a design",
                hint=f"models that have one: {', '.join(models_with_a_bound())}",
            )
    return trainings


@contextmanager
def _says_how_to_go_on() -> Iterator[None]:
    """Where it is stopped within."""
    try:
        yield
    except (typer.Exit, SystemExit):
        console.note(f"stopped; go on with: {shlex.join(['epure', *sys.argv[1:]])}")
        raise


def _publish(
    chosen: Sequence[tuple[str, Path | None]],
    data: Path | None,
    device: str,
    asked: dict[str, Any],
    out: Path | None,
    keep: bool = False,
) -> None:
    """Judge runs, each with its own seed (or the newest finished one of each model), and put them side by side.

    Args:
        asked: of `Run.evaluate`.
        keep: judgements in the run folders, and take those that are there.
    """
    from epurecli.api.judged import Asked, judge, judge_once
    from epurecli.api.loading import open_run
    from epurecli.api.tables import parameter_table, run_table
    from epurecli.checkpoint import read_run
    from epurecli.cli.progress import listening

    reports, configs, runs = [], {}, []
    for name, folder in chosen:
        with listening() as listener:
            model = name if folder is None else read_run(folder)["model"]
            run = open_run(model, folder, device=device, listener=listener)
            seed = run.config.training.seed
            how = Asked(**asked) if folder is None else Asked(**asked, seed=seed)
            found = judge_once(run, how) if keep else judge(run, how, data)
        reports.append(replace(found, model=name))
        configs[name] = run.config
        runs.append((name, seed, run.path))
    publish(reports, out, "compare", (parameter_table(configs), run_table(runs)))
